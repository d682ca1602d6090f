"""What a stream can show: escapes, colours, a width."""

from __future__ import annotations

import os
from typing import TextIO

from rich.console import Console

from . import is_terminal
from .text import columns as columns_of

PIPE_WIDTH = 160  # columns, of what is read by grep


def console(stream: TextIO, *, piped: int = PIPE_WIDTH) -> Console:
    """A console for one stream, ``piped`` columns wide where that is no terminal and COLUMNS says nothing.

    Where nobody watches, or colour is not wanted, no escape byte leaves it.
    """
    watched = is_terminal(stream)
    plain = not watched or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    width = columns_of(stream) if watched or "COLUMNS" in os.environ else piped
    if plain:
        return Console(
            file=stream, force_terminal=False, color_system=None, no_color=True, width=width,
            highlight=False, markup=False, emoji=False,
        )  # fmt: skip
    # What rows hold is text: neither [bold] nor :smile: in it is ours.
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
