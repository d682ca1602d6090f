"""Pages of help. They are drawn here: Typer's drawing loads a reader of Markdown first, which is a third of ``--help``,
and cuts names in half where the terminal is narrow."""

from __future__ import annotations

import shutil
from typing import Any

from typer.core import TyperCommand, TyperGroup

from .. import output

WIDTH = shutil.get_terminal_size().columns
IS_NARROW = WIDTH < output.NARROW


class Group(TyperGroup):
    """A group whose help is our own page, shown for the group alone too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Typer's own, but for a group without a word behind it."""
        return super().parse_args(ctx, args if args or ctx.resilient_parsing else ["--help"])

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Draw the page; the formatter, which Typer would print, stays empty."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        shown = [(name, _meaning(command)) for name, command in commands if command and not command.hidden]
        output.page(self.get_usage(ctx), self.help or "", {**_parameters(self, ctx), "Commands": shown})


class Command(TyperCommand):
    """A command whose help is our own page."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **{**settings, "rich_markup_mode": None})

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Draw the page; the formatter, which Typer would print, stays empty."""
        output.page(self.get_usage(ctx), self.help or "", _parameters(self, ctx))


def _parameters(command: Any, ctx: Any) -> dict[str, list[tuple[str, str]]]:
    """What a command takes, by the panel that it belongs to."""
    found: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
            found.setdefault(getattr(parameter, "rich_help_panel", None) or kind, []).append(record)
    return found


def _meaning(command: Any) -> str:
    return " ".join((command.help or "").partition("\n\n")[0].split())
