"""Pages of help. A group's is drawn here, as Typer's loads a reader of Markdown first, which is a third of ``--help``;
a command's is Typer's, but in a narrow terminal without frames, which would cut names in half."""

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
        options = [record for parameter in self.get_params(ctx) if (record := parameter.get_help_record(ctx))]
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        shown = [(name, _meaning(command)) for name, command in commands if command and not command.hidden]
        output.page(self.get_usage(ctx), self.help or "", {"Options": options, "Commands": shown})


def _meaning(command: Any) -> str:
    return " ".join((command.help or "").partition("\n\n")[0].split())


class Command(TyperCommand):
    """A command that shows its help without frames where the terminal is narrow."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        if IS_NARROW:
            settings["rich_markup_mode"] = None
        super().__init__(*arguments, **settings)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The options, when they are shown without frames."""
        with formatter.section("Options"):
            for name, text in filter(None, (parameter.get_help_record(ctx) for parameter in self.get_params(ctx))):
                formatter.write_text(name)
                with formatter.indentation():
                    formatter.write_text(text)
