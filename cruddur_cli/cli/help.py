"""Pages of help. They are drawn here: Typer's drawing loads a reader of Markdown first, which is a third of ``--help``,
and cuts names in half where the terminal is narrow."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

from .. import output


class CommandGroup(TyperGroup):
    """A group with a help page of this program, also shown for the group without a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Typer's own, but for a group without a word behind it."""
        return super().parse_args(ctx, args if args or ctx.resilient_parsing else ["--help"])

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Draw the page; the formatter, which Typer would print, stays empty."""
        lists: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            if command and not command.hidden:
                heading = getattr(command, "rich_help_panel", None) or "Commands"
                lists.setdefault(heading, []).append((name, first_sentence(command.help or "")))
        lists |= _parameters(self, ctx)
        output.page(self.get_usage(ctx), self.help or "", lists, compact=True)


class Command(TyperCommand):
    """A command with a help page of this program."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **{**settings, "rich_markup_mode": None})

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What follows the command in the usage line: Typer writes a required argument as ``{TEXT}``, this ``TEXT``."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Draw the page; the formatter, which Typer would print, stays empty."""
        output.page(self.get_usage(ctx), self.help or "", _parameters(self, ctx))


def _parameters(command: Any, ctx: Any) -> dict[str, list[tuple[str, str]]]:
    """What a command takes, by the panel that it belongs to."""
    found: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        record = help_record(parameter, ctx)
        if record is not None:
            kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
            found.setdefault(getattr(parameter, "rich_help_panel", None) or kind, []).append(record)
    # A command's own first: the others are on every page.
    own = {title: found.pop(title) for title in ("Arguments", "Options") if title in found}
    return own | found


def help_record(parameter: Any, ctx: Any) -> tuple[str, str] | None:
    """A parameter's names and what they mean, as Typer has them, but for ``86400.0``, which is a whole number."""
    record = parameter.get_help_record(ctx)
    return record and (record[0], re.sub(r"(\[default: \d+)\.0\b", r"\1", record[1]))


def first_sentence(text: str) -> str:
    """What a group's page shows of a command's help: the first sentence, which stands alone."""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"(?<=[.!?]) (?=[A-Z`(])", paragraph)[0]
