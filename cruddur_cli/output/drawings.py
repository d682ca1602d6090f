"""A conversation as a chat: days, people, bubbles; and the single table by entity."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Literal

from rich import box
from rich.align import Align
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from . import NARROW
from .machine import dumps
from .streams import console
from .terminal import draw_table, when, who
from .text import one_line, printable


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
        out.print(Padding(Text(one_line(dumps(row.record))), (0, 0, 0, 2)))


def _draw_groups(out: Console, rows: Sequence[Any]) -> None:
    if not rows:
        return
    _section(out, "Message groups", "pk = GRP#user, sk = time of the last message", len(rows))
    found = [
        [_id(row.owner), who(row.record), _clip(row.record.message), when(row.record.last_message_at),
         _id(row.record.message_group_uuid)]
        for row in rows
    ]  # fmt: skip
    if out.width < NARROW or not draw_table(
        out, ["user", "with", "last message", "at", "conversation"], found, dim=True
    ):
        for _, name, message, at, _ in found:
            _entry(out, at, name, message)


def _draw_messages(out: Console, uuid: str, messages: Sequence[Any]) -> None:
    _section(out, "Messages", f"pk = MSG#{printable(uuid)}, sk = time", len(messages))
    found = [[when(message.created_at), who(message), _clip(message.message, 200)] for message in messages]
    if out.width < NARROW or not draw_table(out, ["at", "from", "message"], found, dim=True):
        for row in found:
            _entry(out, *row)


def _entry(out: Console, at: str, name: str, message: str) -> None:
    """One row where a table has no room: when and who, and the words below."""
    out.print(Text.assemble((f"{at}\n", "dim"), name))
    out.print(Padding(Text(message), (0, 0, 0, 2)))


def _section(out: Console, title: str, keys: str, count: int) -> None:
    gap = "\n" if out.width < NARROW else "  "
    out.print(Text.assemble((title, "bold"), f" {count:,}{gap}", (keys, "dim")))


def _id(uuid: str) -> str:
    """Enough of an id to tell it from others; the whole one stands in the JSON."""
    return printable(f"{uuid[:8]}…" if len(uuid) > 12 else uuid)


def _clip(text: str, most: int = 60) -> str:
    text = one_line(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"
