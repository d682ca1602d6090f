"""Shows work that takes time: a progress bar, a line that is overwritten, and records as they arrive."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from ..errors import CannotConnect, CruddurError
from .stderr import tell, warn
from .streams import NARROW, columns, console, is_coloured, is_terminal
from .text import cut, one_line, printable, when, wrapped

if TYPE_CHECKING:
    from datetime import datetime

    from ..settings import Settings
    from .show import Draw

Item = TypeVar("Item")
_HANGING = 4  # columns by which the later lines of one change are indented
# The colours of a progress bar. rich's own mean errors and questions here, and its grey looks black on a light page.
_BAR = {
    "bar.back": "dim",
    "bar.complete": "cyan",
    "bar.finished": "cyan",
    "bar.pulse": "cyan",
    "progress.download": "none",
    "progress.data.speed": "dim",
    "progress.remaining": "dim",
    "progress.spinner": "dim",
}


@contextmanager
def progress(s: Settings, text: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A function that advances a progress bar on stderr by a number of items.

    There is no bar with ``--quiet``, or where stderr is not a terminal with colours: only there it can be removed.
    """
    if s.quiet or not is_coloured(sys.stderr):
        yield lambda _: None
        return
    with bar(text, total) as advance:
        yield advance


@contextmanager
def bar(text: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr, with rate and remaining time. It is removed at the end."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        SpinnerColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text
    from rich.theme import Theme

    class Rate(ProgressColumn):
        """The number of items a second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")

    out = console(sys.stderr)
    out.push_theme(Theme(_BAR))
    column_list: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
    if out.width >= NARROW:
        column_list = [SpinnerColumn(), *column_list, Rate(), TimeRemainingColumn()]
    else:
        count = 2 * len(str(total)) + 1 if total else 11
        column_list[1] = BarColumn(max(1, out.width - len(text) - count - 2))
    with Progress(*column_list, console=out, transient=True) as progress:
        task = progress.add_task(text, total=total)
        yield lambda count: progress.advance(task, count)


class StatusLine:
    """One line on stderr that is overwritten. The cursor is not hidden, so nothing has to be restored."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown

    def update(self, text: str) -> None:
        """Show ``text`` instead of the previous text."""
        if self._shown:
            self._write(f"\r\x1b[K{printable(text)[: columns(sys.stderr) - 1]}")

    def tell(self, text: str) -> None:
        """Print a line that stays."""
        self.clear()
        tell(text)

    def warn(self, text: str) -> None:
        """Print a warning that stays."""
        self.clear()
        warn(text)

    def clear(self) -> None:
        """Remove the line."""
        if self._shown:
            self._write("\r\x1b[K")

    @staticmethod
    def _write(text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            return


@contextmanager
def line(s: Settings) -> Iterator[StatusLine]:
    """A line that is overwritten on a terminal, and not shown elsewhere; cleared at the end."""
    status = StatusLine(not s.quiet and is_coloured(sys.stderr))
    try:
        yield status
    finally:
        status.clear()


class Outage:
    """A store that a command waits for: reported once when it stops answering, and once when it answers again."""

    def __init__(self, tell: Callable[[str], None], store: str) -> None:
        self._tell, self._store = tell, store
        self.lasts = False

    def begins(self, error: CruddurError) -> None:
        """Report that the store did not answer. Raises the error if waiting does not help."""
        if not isinstance(error, CannotConnect) and error.code != "throttled":
            raise error
        if not self.lasts:
            self._tell(f"{error.message} Waiting for it; press Ctrl-C to stop.")
        self.lasts = True

    def ends(self) -> None:
        """Report that the store answered."""
        if self.lasts:
            self._tell(f"{self._store} answers again.")
        self.lasts = False


class Block:
    """Lines on stdout that the next lines overwrite. Without colours the next lines follow instead.

    The cursor is not hidden, so nothing has to be restored.
    """

    def __init__(self, draw: Draw[object]) -> None:
        self._lines, self._draw = 0, draw

    def draw(self, title: str, items: Sequence[object]) -> None:
        """Show records under a title."""
        out = console(sys.stdout)
        with out.capture() as captured:
            self._draw(out, items)
        text = f"{cut(printable(title), out.width)}\n{captured.get()}"
        if not is_coloured(sys.stdout):
            sys.stdout.write(f"{text}\n")
        else:
            rows = text.splitlines()[: max(1, os.get_terminal_size(sys.stdout.fileno()).lines - 1)]
            up = f"\x1b[{self._lines}A" if self._lines else ""
            sys.stdout.write(f"{up}\r\x1b[J" + "\n".join(rows) + "\n")
            self._lines = len(rows)
        sys.stdout.flush()

    def leave(self) -> None:
        """Keep the lines that are shown, because other lines follow."""
        self._lines = 0


def as_they_come(items: Iterable[Item]) -> Iterator[Item]:
    """The same items; stdout is flushed after each, before the next one is waited for."""
    for item in items:
        yield item
        sys.stdout.flush()


class StreamRecord(Protocol):
    """One change of the table, from its stream."""

    @property
    def at(self) -> datetime | None: ...
    @property
    def event(self) -> str: ...
    @property
    def entity(self) -> str: ...
    @property
    def owner(self) -> str: ...
    @property
    def item(self) -> Mapping[str, object]: ...


def stream_line(item: StreamRecord) -> str:
    """One change of the table in one line: time, event, entity and text."""
    text = item.item.get("message", "")
    who = item.item.get("user_handle") or item.item.get("user_display_name") or item.item.get("user_uuid") or ""
    match item.entity:
        case "message":
            description = f"message in {item.owner} from {who}: {text}" if text else f"message in {item.owner}"
        case "group":
            group = item.item.get("message_group_uuid", "")
            description = f"group row of {item.owner}" + (f", {group} with {who}: {text}" if text or group else "")
        case _:
            description = f"other item {item.item}"
    return f"{when(item.at)}  {item.event:6}  {description}"


def stream_record(item: StreamRecord) -> None:
    """Print one change of the table; on a terminal its line is wrapped between words."""
    line = one_line(stream_line(item))
    if is_terminal(sys.stdout):
        line = wrapped(line, columns(sys.stdout) - _HANGING).replace("\n", f"\n{'':{_HANGING}}")
    sys.stdout.write(line + "\n")
