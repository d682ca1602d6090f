"""Draws conversations for a person: a list, a chat, and the items of the single table by entity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol

from rich import box
from rich.align import Align
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from .machine import dumps
from .streams import NARROW
from .tables import draw_table, natural_width
from .text import cut, one_line, printable, when, width_of, wrapped

_GAP = 2  # spaces between two columns, so that tables below each other are aligned
_SENTENCE = 60  # columns that a list has at least for the last message


class NamedPerson(Protocol):
    """The person that a row names: the sender of a message, or the other person of a conversation."""

    @property
    def user_uuid(self) -> str: ...
    @property
    def user_handle(self) -> str | None: ...
    @property
    def user_display_name(self) -> str | None: ...


class Message(NamedPerson, Protocol):
    """One message of a conversation."""

    @property
    def message(self) -> str: ...
    @property
    def created_at(self) -> datetime | None: ...


class MessageGroup(NamedPerson, Protocol):
    """One conversation of a person: the other person, the last message and its time."""

    @property
    def message_group_uuid(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def last_message_at(self) -> datetime | None: ...


class Row(Protocol):
    """One item of the single table: a group row, a message, or an item of an unknown entity.

    ``owner`` is the user or the conversation in its partition key.
    """

    @property
    def owner(self) -> str: ...
    @property
    def group(self) -> MessageGroup | None: ...
    @property
    def message(self) -> Message | None: ...
    @property
    def other(self) -> Mapping[str, object] | None: ...


def who(record: NamedPerson) -> str:
    """The name and the handle of a row's person; one of them, or the UUID, where the row has no more."""
    handle = f"@{record.user_handle}" if record.user_handle else ""
    return one_line(f"{record.user_display_name or ''} {handle}".strip() or record.user_uuid or "unknown person")


def _handle(record: NamedPerson) -> str:
    """The shortest name of a person, for a column of a table."""
    return one_line(f"@{record.user_handle}") if record.user_handle else who(record)


def draw_list(out: Console, groups: Sequence[MessageGroup], *, more: str | None = None) -> None:
    """Draw a person's conversations: the other person, the time, the last message, and the id for get-conversation.

    ``more`` is a text about the conversations that are not drawn.
    """
    for number, group in enumerate(groups):
        if number:
            out.print()
        at = when(group.last_message_at)
        if out.is_terminal:
            head = Table.grid(expand=True, padding=(0, 1))
            head.add_column(overflow="fold")
            head.add_column(justify="right", style="dim")
            name = wrapped(who(group), max(1, out.width - width_of(at) - 1), cut=True)
            head.add_row(Text(name, style="bold"), at)
            out.print(head)
        else:
            out.print(Text(f"{who(group)}  {at}"))
        out.print(Text(f"  {cut(one_line(group.message), out.width - 2)}"))
        out.print(Text(f"  {printable(group.message_group_uuid)}", style="dim"))
    if more:
        out.print()
        out.print(Text(more, style="dim"))


def draw_chat(out: Console, messages: Sequence[Message], mine: str | None, after: Message | None = None) -> None:
    """Draw messages as a chat: bubbles, those of ``mine`` on the right. Into a pipe, draw one line for each message.

    A name is drawn where the sender changes, and a rule where the day changes. ``after`` is the message before the
    first, which is drawn already.
    """
    if not out.is_terminal:
        for message in messages:
            name = one_line(message.user_handle or message.user_display_name or "unknown person")
            out.file.write(f"{when(message.created_at)}  {name}: {one_line(message.message)}\n")
        return
    widest = max(20, int(out.width * 0.72))
    day = when(after.created_at, "%A %Y-%m-%d") if after else None
    sender = after.user_uuid if after else None
    for message in messages:
        today = when(message.created_at, "%A %Y-%m-%d")
        if today != day:
            out.print(Rule(Text(today, style="dim"), style="dim"))
            day, sender = today, None
        own = mine is not None and message.user_handle == mine
        side: Literal["left", "right"] = "right" if own else "left"
        colour = "cyan" if own else "green"
        if message.user_uuid != sender:
            out.print(Align(Text(who(message), style="bold"), side))
            sender = message.user_uuid
        words = wrapped(printable(message.message, keep="\n"), widest - 4, cut=True)
        bubble = Panel(
            Text(words), box=box.ROUNDED, border_style=colour, subtitle=when(message.created_at, "%H:%M"),
            subtitle_align="right", width=max(11, max(map(width_of, words.split("\n"))) + 4),
        )  # fmt: skip
        out.print(Align(bubble, side))


def draw_items(out: Console, rows: Sequence[Row]) -> None:
    """Draw the items of the single table: group rows, messages by conversation, and other items."""
    conversations: dict[str, list[Message]] = {}
    for row in rows:
        if row.message is not None:
            conversations.setdefault(row.owner, []).append(row.message)
    groups = [(row.owner, row.group) for row in rows if row.group is not None]
    _draw_groups(out, groups)
    is_first = not groups
    for uuid, messages in conversations.items():
        if not is_first:
            out.print()
        is_first = False
        _draw_messages(out, uuid, sorted(messages, key=lambda message: str(message.created_at)))
    others = [row.other for row in rows if row.other is not None]
    if others:
        if not is_first:
            out.print()
        _section(out, "Other items", "keys of an unknown kind", len(others))
    for item in others:
        out.print(Padding(Text(one_line(dumps(item))), (0, 0, 0, 2)))


def _draw_groups(out: Console, groups: Sequence[tuple[str, MessageGroup]]) -> None:
    if not groups:
        return
    _section(out, "Message groups", "pk = GRP#user, sk = time of the last message", len(groups))
    keys = [
        [when(group.last_message_at), _id(owner), _handle(group), _id(group.message_group_uuid)]
        for owner, group in groups
    ]  # fmt: skip
    headers = ["at", "user", "with", "conversation"]
    if natural_width(headers, keys) + _SENTENCE > out.width:  # the message gets the room of the shortened id
        headers, keys = headers[:3], [row[:3] for row in keys]
    room = max(_SENTENCE, out.width - natural_width(headers, keys) - 3)
    rows = [[*row, _clip(group.message, room)] for row, (_, group) in zip(keys, groups, strict=True)]
    if out.width < NARROW or not draw_table(out, [*headers, "last message"], rows, words=len(headers), gap=_GAP):
        for at, _, name, *_, message in rows:
            _entry(out, at, name, message)


def _draw_messages(out: Console, uuid: str, messages: Sequence[Message]) -> None:
    key = f"MSG#{printable(uuid)}"
    _section(out, "Messages", key if out.width < NARROW else f"pk = {key}, sk = time", len(messages))
    rows = [[when(message.created_at), _handle(message), _clip(message.message, 200)] for message in messages]
    if out.width < NARROW or not draw_table(out, ["at", "from", "message"], rows, words=2, gap=_GAP):
        for row in rows:
            _entry(out, *row)


def _entry(out: Console, at: str, name: str, message: str) -> None:
    """Draw one row without a table: time and name, and the message below."""
    out.print(Text.assemble((f"{at}\n", "dim"), wrapped(name, out.width, cut=True)))
    out.print(Padding(Text(wrapped(message, out.width - 2, cut=True)), (0, 0, 0, 2)))


def _section(out: Console, title: str, keys: str, count: int) -> None:
    gap = "\n" if out.width < NARROW else "  "
    out.print(Text.assemble((title, "bold"), f" {count:,}{gap}", (keys, "dim")))


def _id(uuid: str) -> str:
    """The first 8 characters of an id, which tell it from others; JSON has all of it."""
    return printable(f"{uuid[:8]}…" if len(uuid) > 12 else uuid)


def _clip(text: str, most: int) -> str:
    """The text on one line, cut to ``most`` columns."""
    return cut(one_line(text), most)
