"""Things that go on: a line on stderr that tells how it goes, and records that are shown as they come."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..times import sort_key
from . import is_terminal, tell
from .text import one_line, printable

if TYPE_CHECKING:
    from ..settings import Settings


class Line:
    """One line on stderr that is written over. It hides no cursor, so there is nothing to restore."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown

    def update(self, text: str) -> None:
        """Show ``text`` in place of what stood there."""
        if self._shown:
            width = shutil.get_terminal_size().columns - 1
            self._write(f"\r\x1b[K{printable(text)[:width]}")

    def tell(self, text: str) -> None:
        """A line that stays."""
        self.clear()
        tell(text)

    def clear(self) -> None:
        """Leave nothing behind."""
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
def line(s: Settings) -> Iterator[Line]:
    """A line that is written over where somebody watches stderr, and silent elsewhere; cleared at the end."""
    import os

    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    shown = Line(not s.quiet and not plain and is_terminal(sys.stderr))
    try:
        yield shown
    finally:
        shown.clear()


def as_they_come(items: Iterable[Any]) -> Iterator[Any]:
    """The same items; what was written of one is on its way before the next is waited for."""
    for item in items:
        yield item
        sys.stdout.flush()


def change(item: Any) -> None:
    """One change of the table for a person, in one line: when, what was done, to which entity, what it says."""
    at = sort_key(item.at)[:19].replace("T", " ") if item.at else "at some time"
    said = item.item.get("message", "")
    who = item.item.get("user_handle") or item.item.get("user_display_name") or item.item.get("user_uuid") or ""
    match item.entity:
        case "message":
            about = f"message in {item.owner} from {who}: {said}" if said else f"message in {item.owner}"
        case "group":
            group = item.item.get("message_group_uuid", "")
            about = f"group row of {item.owner}" + (f", {group} with {who}: {said}" if said or group else "")
        case _:
            about = f"other item {item.item}"
    sys.stdout.write(one_line(f"{at}  {item.event:6}  {about}") + "\n")
