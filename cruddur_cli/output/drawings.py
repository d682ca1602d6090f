"""A conversation as a chat: days, people, bubbles; and the single table by entity."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from rich import box
from rich.align import Align
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from .terminal import console, when, who
from .text import one_line, printable

_NARROW = 60  # columns, in fewer of which a table breaks every word


def draw_chat(out: Console, messages: Sequence[Any], mine: str | None) -> None:
    """Bubbles, the reader's own on the right; a name only where the speaker changes, a rule where the day does."""
    widest = max(20, int(out.width * 0.72))
    day = speaker = None
    for message in messages:
        today = when(message.created_at, "%A %d %B %Y")
        if today != day:
            out.print(Rule(Text(today, style="dim"), style="dim"))
            day, speaker = today, None
        own = mine is not None and message.user_handle == mine
        side: Literal["left", "right"] = "right" if own else "left"
        colour = "cyan" if own else "green"
        if message.user_uuid != speaker:
            out.print(Align(Text(who(message), style=f"bold {colour}"), side))
            speaker = message.user_uuid
        words = Text(printable(message.message, keep="\n"), overflow="fold")
        bubble = Panel(
            words, box=box.ROUNDED, border_style=colour, subtitle=when(message.created_at, "%H:%M"),
            subtitle_align="right", width=min(widest, max(11, _width(words) + 4)),
        )  # fmt: skip
        out.print(Align(bubble, side))


def _width(words: Text) -> int:
    return max((line.cell_len for line in words.split("\n")), default=0)


def draw_items(rows: Sequence[Any]) -> None:
    """Rows of the single table by entity, their keys decoded: groups, messages by conversation, and the rest."""
    out = console(sys.stdout)
    conversations: dict[str, list[Any]] = {}
    for row in rows:
        if row.entity == "message":
            conversations.setdefault(row.owner, []).append(row.record)
    _draw_groups(out, [row for row in rows if row.entity == "group"])
    for uuid, messages in conversations.items():
        _draw_messages(out, uuid, sorted(messages, key=lambda message: str(message.created_at)))
    others = [row for row in rows if row.entity == "other"]
    if others:
        _section(out, "Other items", "keys of no known entity", len(others))
    for row in others:
        out.print(Padding(Text(one_line(str(row.record))), (0, 0, 0, 2)))


def _draw_groups(out: Console, rows: Sequence[Any]) -> None:
    if not rows:
        return
    _section(out, "Message groups", "pk = GRP#user, sk = time of the last message", len(rows))
    drawn = _table("user", "with", "last message", "at", "conversation")
    for row in rows:
        group = row.record
        if out.width < _NARROW:
            _entry(out, group.last_message_at, who(group), _clip(group.message))
        at = when(group.last_message_at)
        drawn.add_row(_id(row.owner), who(group), _clip(group.message), at, _id(group.message_group_uuid))
    if out.width >= _NARROW:
        out.print(drawn)


def _draw_messages(out: Console, uuid: str, messages: Sequence[Any]) -> None:
    _section(out, "Messages", f"pk = MSG#{printable(uuid)}, sk = time", len(messages))
    drawn = _table("at", "from", "message")
    for message in messages:
        if out.width < _NARROW:
            _entry(out, message.created_at, who(message), _clip(message.message, 200))
        drawn.add_row(when(message.created_at), who(message), _clip(message.message, 200))
    if out.width >= _NARROW:
        out.print(drawn)


def _entry(out: Console, moment: datetime | None, name: str, message: str) -> None:
    """One row where a table has no room: when and who, and the words below."""
    out.print(Text.assemble((f"{when(moment)}\n", "dim"), name))
    out.print(Padding(Text(one_line(message)), (0, 0, 0, 2)))


def _section(out: Console, title: str, keys: str, count: int) -> None:
    gap = "\n" if out.width < _NARROW else "  "
    out.print(Text.assemble((title, "bold"), f" {count:,}{gap}", (keys, "dim")))


def _table(*names: str) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for name in names:
        drawn.add_column(name, overflow="fold")
    return drawn


def _id(uuid: str) -> str:
    """Enough of an id to tell it from others; the whole one stands in the JSON."""
    return printable(f"{uuid[:8]}…" if len(uuid) > 12 else uuid)


def _clip(text: str, most: int = 60) -> str:
    text = one_line(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"
