"""What a stream can show: whether a person watches it, its width, its colours."""

from __future__ import annotations

import os
import re
import sys
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console

NARROW = 60  # columns; with fewer, tables and frames break every word
_PIPE_WIDTH = 160  # columns of what a program or a file gets
_STYLE = r"\x1b\[[\d;]*m"
_PADDING = re.compile(rf" (?: |{_STYLE})*(?=\n)")
_SGR = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person is on the other side of the stream."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def is_coloured(stream: TextIO | None) -> bool:
    """Whether the stream is a terminal that shows colours, and the person wants them."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, style: str) -> str:
    """``text`` in a style, such as ``bold red``, as a terminal reads it."""
    codes = ";".join(_SGR[word] for word in style.split())
    return "\n".join(f"\x1b[{codes}m{line}\x1b[0m" if line else line for line in text.split("\n"))


def is_narrow() -> bool:
    """Whether the terminal is too narrow for tables and frames."""
    return columns(sys.stdout) < NARROW


def columns(stream: TextIO) -> int:
    """How many columns the terminal has that the stream leads to; ``COLUMNS`` wins, as everywhere."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said):
        return int(said)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
        return 80


def terminal_lines(stream: TextIO) -> int:
    """How many lines the terminal has that the stream leads to; 0 where it leads to none."""
    try:
        return os.get_terminal_size(stream.fileno()).lines if is_terminal(stream) else 0
    except (OSError, ValueError, AttributeError):
        return 0


def console(stream: TextIO, *, piped: int = _PIPE_WIDTH) -> Console:
    """A console for one stream, as wide as COLUMNS or its terminal says.

    A pipe is as wide as stderr's terminal, where a person sees its end (``| head``, ``| less``), else ``piped``.
    Where no person watches, or colour is not wanted, no escape byte leaves it.
    """
    from rich.console import Console

    file = cast("IO[str]", _Trimmed(stream))
    watched = is_terminal(stream)
    seen = stream if watched or "COLUMNS" in os.environ else sys.stderr if is_terminal(sys.stderr) else None
    width = columns(seen) if seen is not None else piped
    if not is_coloured(stream):
        return Console(
            file=file, force_terminal=watched, color_system=None, no_color=True, width=width, height=25,
            highlight=False, markup=False, emoji=False,
        )  # fmt: skip
    # What rows hold is text: neither [bold] nor :smile: in it is markup.
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


class _Trimmed:
    """The stream without the spaces that would pad a line to the width of its column: what is copied has none."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write whole lines, as a console does."""
        return self._stream.write(_PADDING.sub(lambda found: "".join(re.findall(_STYLE, found[0])), text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
