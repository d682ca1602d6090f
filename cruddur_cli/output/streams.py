"""Tells what a stream can show: if it is a terminal, its width and its colours."""

from __future__ import annotations

import os
import re
import sys
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console

NARROW = 60  # columns; with fewer, tables and frames would break every word
_PIPE_WIDTH = 160  # columns for a program or a file
_STYLE = r"\x1b\[[\d;]*m"
_PADDING = re.compile(rf" (?: |{_STYLE})*(?=\n)")
_SGR = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def is_terminal(stream: TextIO | None) -> bool:
    """Whether the stream is a terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def is_coloured(stream: TextIO | None) -> bool:
    """Whether the stream is a terminal that shows colours, and NO_COLOR is not set."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, style: str) -> str:
    """The text in a style such as ``bold red``, with the escape sequences of a terminal."""
    codes = ";".join(_SGR[word] for word in style.split())
    return "\n".join(f"\x1b[{codes}m{line}\x1b[0m" if line else line for line in text.split("\n"))


def is_narrow() -> bool:
    """Whether the terminal is too narrow for tables and frames."""
    return columns(sys.stdout) < NARROW


def columns(stream: TextIO) -> int:
    """The width of the stream's terminal in columns, or 80; the variable ``COLUMNS`` overrides it."""
    from_variable = os.environ.get("COLUMNS", "")
    if from_variable.isdecimal() and int(from_variable):
        return int(from_variable)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
        return 80


def terminal_lines(stream: TextIO) -> int:
    """The number of lines of the stream's terminal; 0 for a stream that is not a terminal."""
    try:
        return os.get_terminal_size(stream.fileno()).lines if is_terminal(stream) else 0
    except (OSError, ValueError, AttributeError):
        return 0


def console(stream: TextIO, *, piped: int = _PIPE_WIDTH) -> Console:
    """A rich console for one stream, as wide as COLUMNS or its terminal says.

    A pipe is as wide as stderr's terminal, because a person may see its output there (``| head``, ``| less``); else it
    has ``piped`` columns. Without a terminal or without colours, it writes no escape sequence.
    """
    from rich.console import Console

    file = cast("IO[str]", _Trimmed(stream))
    has_terminal = is_terminal(stream)
    measured = stream if has_terminal or "COLUMNS" in os.environ else sys.stderr if is_terminal(sys.stderr) else None
    width = columns(measured) if measured is not None else piped
    if not is_coloured(stream):
        return Console(
            file=file, force_terminal=has_terminal, color_system=None, no_color=True, width=width, height=25,
            highlight=False, markup=False, emoji=False,
        )  # fmt: skip
    # Values are text: [bold] and :smile: in them are not markup.
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


class _Trimmed:
    """The stream, without the spaces at line ends with which rich fills columns: they would be copied, too."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write whole lines, as a rich console does."""
        return self._stream.write(_PADDING.sub(lambda match: "".join(re.findall(_STYLE, match[0])), text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
