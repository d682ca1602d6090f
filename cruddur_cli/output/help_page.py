"""Draws a page of help in Typer's look: usage, paragraphs, and a frame for each list of options or commands."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.text import Text

from .streams import NARROW, console, terminal_lines
from .text import wrapped

_PIPE_WIDTH = 80
_NAMES = 26  # columns that a list has at most for names, unless a word is longer
_EXAMPLE = re.compile(r"(^|\| )cruddur ", re.MULTILINE)
_OPTION = r"(?<![\w-])--?[a-z][\w-]*"


def draw(usage: str, about: str, lists: Mapping[str, Sequence[tuple[str, str]]], *, compact: bool) -> None:
    """Print the page without the end of its last line, which Typer prints. ``about`` has paragraphs; each list has
    names and meanings.

    ``compact`` is for a group: it has headings instead of frames, and a line for each command.
    """
    out = console(sys.stdout, piped=_PIPE_WIDTH)
    with out.capture() as page:
        (_draw_group if compact else _draw_command)(out, usage, about, lists)
    out.file.write(page.get().rstrip())


def _draw_command(out: Console, usage: str, about: str, lists: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    # A group's page does not need these imports, which take a tenth of its time.
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.table import Table

    out.print(Padding(_marked(usage, "bold"), 1))
    for paragraph in about.split("\n\n"):
        if _EXAMPLE.search(paragraph):  # lines of a shell are not wrapped
            out.print(Padding(Text("$ " + "\n  ".join(line.strip() for line in paragraph.splitlines())), (0, 1, 1, 3)))
        else:
            out.print(Padding(_marked(" ".join(paragraph.split())), (0, 1, 1, 1)))
    for title, entries in lists.items():
        if out.width < NARROW:  # a frame would leave no room for the text
            out.print(Text(f" {title}", "bold"))
            for name, meaning in entries:
                out.print(Padding(Text(name, "bold"), (0, 1, 0, 3)))
                out.print(Padding(_marked(meaning), (0, 1, 0, 7)))
            out.print()
            continue
        grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
        grid.add_column(style="bold", width=_width([name for name, _ in entries]))
        grid.add_column(ratio=1)
        for name, meaning in entries:
            grid.add_row(name, _marked(meaning))
        out.print(Panel(grid, title=title, title_align="left", border_style="dim"))


def _draw_group(out: Console, usage: str, about: str, lists: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """Print a group's page, with an empty line between its parts if the terminal has enough lines."""
    with out.capture() as first:
        out.print(_marked(usage, "bold"))
        for paragraph in about.split("\n\n"):
            out.print(_marked(" ".join(paragraph.split())))
    parts = [first.get(), *_headed(out, lists)]
    is_roomy = sum(part.count("\n") for part in parts) + len(parts) <= terminal_lines(sys.stdout)
    for number, part in enumerate(parts):
        out.out(("\n" if number and is_roomy else "") + part, end="", highlight=False)


def _headed(out: Console, lists: Mapping[str, Sequence[tuple[str, str]]]) -> Iterator[str]:
    """Yield each list as text: a heading, and the names with their meanings."""
    names = max((len(name) for entries in lists.values() for name, _ in entries), default=0) + 4
    below = out.width < NARROW  # the meaning is drawn below the name
    for title, entries in lists.items():
        with out.capture() as part:
            out.print(Text(title, "bold"))
            for name, meaning in entries:
                margin = 4 if below else names
                first, *more = wrapped(meaning, out.width - margin).split("\n")
                head = Text.assemble("  ", (name, "bold"))
                if below:
                    out.print(head)
                    more = [first, *more]
                else:
                    out.print(Text.assemble(head, " " * (names - 2 - len(name)), _marked(first)))
                for line in more:
                    out.print(Text.assemble(" " * margin, _marked(line)))
        yield part.get()


def _width(names: Sequence[str]) -> int:
    """The width of a column of names. A longer name is broken between words."""
    longest_word = max(len(word) for name in names for word in name.split())
    return min(max(map(len, names)), max(_NAMES, longest_word))


def _marked(text: str, style: str = "") -> Text:
    marked = Text(text, style)
    marked.highlight_regex(r"^Usage: ", "bold")
    marked.highlight_regex(_OPTION, "bold")
    return marked
