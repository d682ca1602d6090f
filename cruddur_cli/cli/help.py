"""Builds the pages of help: the classes of commands and groups that Typer uses.

Typer's own pages are not used. They load a Markdown parser, which takes a third of the time of ``--help``, and they cut
names in half where the terminal is narrow.
"""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

from .. import output


class CommandGroup(TyperGroup):
    """A group of commands with this program's help page; the group alone, without a command, shows it too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments as Typer does; without arguments, parse ``--help``. Completion parses no help."""
        return super().parse_args(ctx, args if args or ctx.resilient_parsing else ["--help"])

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help page. The formatter stays empty: Typer would print its text."""
        lists: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            if command and not command.hidden:
                heading = getattr(command, "rich_help_panel", None) or "Commands"
                lists.setdefault(heading, []).append((name, first_sentence(command.help or "")))
        lists |= _parameters(self, ctx)
        output.page(self.get_usage(ctx), self.help or "", lists, compact=True)


class Command(TyperCommand):
    """A command with this program's help page."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **{**settings, "rich_markup_mode": None})

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The arguments in the usage line. Typer writes a required argument as ``{TEXT}``; this writes ``TEXT``."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help page. The formatter stays empty: Typer would print its text."""
        output.page(self.get_usage(ctx), self.help or "", _parameters(self, ctx))


def _parameters(command: Any, ctx: Any) -> dict[str, list[tuple[str, str]]]:
    """The help records of a command's arguments and options, by the title of their list."""
    lists: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        record = help_record(parameter, ctx)
        if record is not None:
            kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
            lists.setdefault(getattr(parameter, "rich_help_panel", None) or kind, []).append(record)
    # The command's own parameters come first; the shared ones are on every page.
    own = {title: lists.pop(title) for title in ("Arguments", "Options") if title in lists}
    return own | lists


def help_record(parameter: Any, ctx: Any) -> tuple[str, str] | None:
    """A parameter's names and its meaning, from Typer; None for a hidden parameter.

    A whole default such as ``86400.0`` loses its ``.0``. The minimum of an option is left out, because an error shows
    it.
    """
    record = parameter.get_help_record(ctx)
    if not record:
        return None
    name, meaning = record
    if name == "--show-completion":
        return name, "Print the script of completion for the current shell."
    meaning = re.sub(r"(\[default: \d+)\.0\b", r"\1", meaning)
    meaning = re.sub(r"; x>=[\d.]+(?=\]$)|\s*\[x>=[\d.]+\]$", "", meaning)
    return name, re.sub(r"(\d+)<=x<=(\d+)", r"\1 to \2", meaning)


def first_sentence(text: str) -> str:
    """The first sentence of a command's help, which a group's page shows alone."""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"(?<=[.!?]) (?=[A-Z`(])", paragraph)[0]
