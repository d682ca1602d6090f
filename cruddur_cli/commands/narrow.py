"""Help in a narrow terminal: each option on a line of its own, its text below; frames would cut names in half."""

from __future__ import annotations

import shutil
from typing import Any

from typer.core import TyperCommand

WIDTH = shutil.get_terminal_size().columns
IS_NARROW = WIDTH < 60


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
