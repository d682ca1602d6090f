"""``cruddur ddb list-conversations`` and ``get-conversation``: show the conversations of a person, and one of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ... import output, times
from ...errors import Again, BadInput, CannotConnect, CruddurError, Interrupted, NotConfigured, NotFound
from ...output import live
from ...output.text import counted
from ...settings import SEEDED_GROUP, Settings
from ..shared import completions
from ..shared.options import Since, Until, command

if TYPE_CHECKING:
    from ...dynamodb.client import DynamoDB
    from ...dynamodb.schema import Item, Message, Person


Year = Annotated[
    int | None, typer.Option("--year", metavar="YEAR", help="Show only this year (UTC), as the application does.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Show at most N conversations.")]


# Seconds between two requests for new messages: locally, and on AWS, where each uses at least half a unit.
_PAUSE_S = {True: 0.25, False: 1.0}


class RowsWithoutZone:
    """Collects the rows whose time has no time zone: the id of each, and the handle in it."""

    def __init__(self) -> None:
        self._handles: dict[str, str] = {}

    def see(self, item: Item) -> None:
        """Add a row, if its time has no time zone."""
        from ...dynamodb.conversations import queries

        if times.has_no_zone(item["sk"]["S"]):
            row = queries.decode(item)
            if row.message is not None:
                self._handles[row.message.message_uuid] = row.message.user_handle or row.message.user_uuid
            elif row.group is not None:
                self._handles[row.group.message_group_uuid] = row.group.user_handle or row.group.user_uuid

    def report(self, s: Settings, shown: set[str], what: str, word: str) -> None:
        """Print a note on how many of the shown rows have no time zone, and whose they are.

        ``what`` is the noun for the rows, and ``word`` the word before the handles.
        """
        handles = [handle for uuid, handle in self._handles.items() if uuid in shown]
        if handles:
            names = ", ".join(sorted(set(handles)))
            predicate = "has a time" if len(handles) == 1 else "have times"
            output.note(
                s, f"{counted(len(handles), what)} {word} {names} {predicate} without a time zone, read as UTC."
            )


@command(shows=True, table=True, handles=True, explains=True)
def list_conversations(
    s: Settings,
    handle: Annotated[
        str | None,
        typer.Argument(
            metavar="[HANDLE]", autocompletion=completions.handles, help="The person's handle. Default: yours."
        ),
    ] = None,
    partner: Annotated[
        str | None,
        typer.Option(
            "--with",
            metavar="HANDLE",
            autocompletion=completions.handles,
            help="List only conversations with this person.",
        ),
    ] = None,
    year: Year = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
) -> None:
    """List a person's conversations, newest first. Shows the other person and the last message of each.

    cruddur ddb list-conversations --with bayko
    """
    from ...dynamodb import schema
    from ...dynamodb.conversations import queries
    from ..shared import connections, people, targets

    window = times.window(year=year, since=since, until=until)
    at = targets.server(s)
    with connections.postgres(s, at=at) as conn:
        user = people.me_in(s, conn, at, writes=False) if handle is None else people.person(conn, handle)
        other = None if partner is None else people.person(conn, partner)
    if other is not None and other.uuid == user.uuid:
        raise BadInput(f"{user.handle!r} has no conversation with {other.handle!r}: a conversation needs two people.")
    with connections.dynamodb(s) as dynamodb:
        rows_without_zone = RowsWithoutZone()
        groups = queries.list_groups(
            dynamodb, user.uuid, other=other, window=window, limit=limit, see=rows_without_zone.see
        )
        nothing = f"{user.handle} has no conversation" + (f" with {other.handle}" if other else "")
        reason = "" if groups else _why(s, dynamodb, nothing, f"GRP#{user.uuid}", window)
        output.show(s, groups, draw=output.inbox, record=schema.MessageGroup, meter=dynamodb.meter)
    rows_without_zone.report(s, {group.message_group_uuid for group in groups}, "conversation", "with")
    if reason:
        output.note(s, reason)


@command(shows=True, table=True, handles=True, explains=True)
def get_conversation(
    s: Settings,
    group: Annotated[
        str | None,
        typer.Argument(
            metavar="[GROUP]",
            autocompletion=completions.conversations,
            help="Conversation id. Default: your conversation with --with, or --other-handle, or else the seeded one.",
        ),
    ] = None,
    partner: Annotated[
        str | None,
        typer.Option(
            "--with",
            metavar="HANDLE",
            autocompletion=completions.handles,
            help="Show your conversation with this person.",
        ),
    ] = None,
    year: Year = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="Show the last N messages.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", help="Then show new messages until you press Ctrl-C.")] = False,
) -> None:
    """Show a conversation, oldest message first. On a terminal the output looks like a chat.

    With --follow it asks for new messages every second, locally more often, and waits while the store does not answer.

    cruddur ddb get-conversation --with bayko --follow
    """
    from ...dynamodb import schema
    from ...dynamodb.conversations import queries
    from ..shared import connections

    _check(s, group, partner, follow=follow, has_end=year is not None or until is not None)
    window = times.window(year=year, since=since, until=until)
    pair = None if partner is None else _pair(s, partner)
    my_handle = pair[0].handle if pair else s.my_handle
    with connections.dynamodb(s) as dynamodb:
        if follow:
            _follow(s, dynamodb, _to_follow(s, dynamodb, group, pair), my_handle, window, limit)
        rows_without_zone = RowsWithoutZone()
        latest = partial(queries.latest, dynamodb, window=window, limit=limit, see=rows_without_zone.see)
        uuid, messages = _read(s, dynamodb, group, pair, latest)
        reason = "" if messages else _why_none(s, dynamodb, uuid, pair, window)
        output.show(s, messages, draw=output.chat(my_handle), record=schema.Message, meter=dynamodb.meter)
    rows_without_zone.report(s, {message.message_uuid for message in messages}, "message", "of")
    if reason:
        output.note(s, reason)


def _check(s: Settings, group: str | None, partner: str | None, *, follow: bool, has_end: bool) -> None:
    """Raise BadInput for options of ``get-conversation`` that contradict each other."""
    if follow and has_end:
        raise BadInput(
            "--follow has no end, so it takes neither --year nor --until.", again=Again(without=("--year", "--until"))
        )
    if follow and s.output == "json":
        raise BadInput("-o json prints one object at the end, and --follow has no end.", again=Again(("-o", "jsonl")))
    if follow and s.svg:
        raise BadInput(
            "--svg cannot be used with --follow, which does not end by itself.", again=Again(without=("--follow",))
        )
    if group is not None and partner is not None:
        raise BadInput("GROUP and --with name two conversations: give one of them.")
    if group is not None and not group.strip():
        raise BadInput("GROUP is empty.", hint="cruddur ddb list-conversations")


def _read(
    s: Settings,
    dynamodb: DynamoDB,
    group: str | None,
    pair: tuple[Person, Person] | None,
    latest: Callable[[str], list[Message]],
) -> tuple[str | None, list[Message]]:
    """The id and the messages of the conversation that the options name; None where the ``pair`` has none."""
    if group is not None:
        return group, latest(group)
    if pair:
        uuid = _between(dynamodb, *pair)
        return uuid, latest(uuid) if uuid else []
    # Most users want the seeded conversation. Its messages show if it is theirs.
    seeded = latest(SEEDED_GROUP)
    uuid = _mine(s, dynamodb, seeded)
    return uuid, seeded if uuid == SEEDED_GROUP else latest(uuid)


def _to_follow(s: Settings, dynamodb: DynamoDB, group: str | None, pair: tuple[Person, Person] | None) -> str:
    """The id of the conversation that the options name. Raises NotFound where the ``pair`` has none."""
    if group is not None:
        return group
    if not pair:
        return _mine(s, dynamodb, [])
    uuid = _between(dynamodb, *pair)
    if uuid is None:
        mine, other = (person.handle for person in pair)
        raise NotFound(
            f"{mine} and {other} have no conversation in table {s.table!r}.",
            hint=f"cruddur ddb list-conversations {mine}",
            code="conversation_not_found",
        )
    return uuid


def _follow(
    s: Settings, dynamodb: DynamoDB, group: str, mine: str | None, window: times.Window, limit: int
) -> NoReturn:
    """Show the last messages, then each new one, until Ctrl-C; then raise Interrupted."""
    from ...dynamodb import schema

    shown = 0

    def batches() -> Iterator[list[Message]]:
        nonlocal shown
        for batch in _batches(s, dynamodb, group, window, limit):
            shown += len(batch)
            yield batch

    try:
        if s.output != "table":
            output.show(
                s, live.as_they_come(message for batch in batches() for message in batch), record=schema.Message
            )
        last: Message | None = None
        for batch in batches():
            output.show(s, batch, record=schema.Message, draw=output.chat(mine, after=last))
            last = batch[-1]
    except KeyboardInterrupt as error:
        used = "" if s.quiet else f"; {output.read(dynamodb.meter)}"
        raise Interrupted(f"{counted(shown, 'message')} shown{used}.") from error
    raise AssertionError("a conversation has no end")


def _batches(s: Settings, dynamodb: DynamoDB, group: str, window: times.Window, limit: int) -> Iterator[list[Message]]:
    """Yield the last messages of a conversation, then new messages as they arrive. It has no end."""
    from ...dynamodb import schema
    from ...dynamodb.conversations import follower, queries

    # The follower starts before the read, so that no message is missed in between.
    watcher = follower.Follower(dynamodb, group)
    sort_keys: dict[str, str] = {}

    def see(item: Item) -> None:
        sort_keys[schema.read_message(item).message_uuid] = item["sk"]["S"]

    batch = queries.latest(dynamodb, group, window=window, limit=limit, see=see)
    watcher.know(batch, sort_keys)
    if not batch:
        output.note(s, f"Conversation {group} has no message yet. Waiting for one; press Ctrl-C to stop.")
    outage = live.Outage(output.tell, f"Table {s.table}")
    while True:
        if batch:
            yield batch
        else:
            time.sleep(_PAUSE_S[dynamodb.at.local])
        try:
            batch = [message for message in watcher.new() if window.holds(message.created_at)]
        except CruddurError as error:
            outage.begins(error)
            batch = []
            continue
        outage.ends()


def _pair(s: Settings, partner: str) -> tuple[Person, Person]:
    """You and the person that ``--with`` names. Raises NotFound."""
    from ..shared import connections, people, targets

    at = targets.server(s)
    with connections.postgres(s, at=at) as conn:
        return people.me_in(s, conn, at, writes=False), people.person(conn, partner)


def _between(dynamodb: DynamoDB, mine: Person, other: Person) -> str | None:
    """The id of the conversation of two people; None where they have none."""
    from ...dynamodb.conversations import queries

    row = queries.find_group(dynamodb, mine=mine.uuid, other=other)
    return row.message_group_uuid if row else None


def _mine(s: Settings, dynamodb: DynamoDB, seeded: list[Message]) -> str:
    """The id of your conversation with the other person; the seeded one where there is none, or you are not known.

    If the messages ``seeded`` of the seeded conversation are from the two, neither the index nor PostgreSQL is asked.
    PostgreSQL takes longer than the rest of the command.
    """
    from ...dynamodb.conversations import queries

    both = {s.my_handle, s.other_handle}
    if {message.user_handle for message in seeded} == both:
        return SEEDED_GROUP
    from ...dynamodb.conversations import participants
    from ..shared import people

    if participants.handles(dynamodb, SEEDED_GROUP) == both:
        return SEEDED_GROUP
    try:
        mine, other = people.pair(s, writes=False)
    except (NotFound, NotConfigured, CannotConnect) as error:
        output.note(s, f"Your conversation was not found, so the seeded one is shown: {error.message}")
        return SEEDED_GROUP
    row = queries.find_group(dynamodb, mine=mine.uuid, other=other, prefer=SEEDED_GROUP)
    if row is None:
        output.note(s, f"{mine.handle} and {other.handle} have no conversation; the seeded conversation is shown.")
        return SEEDED_GROUP
    return row.message_group_uuid


def _why_none(
    s: Settings, dynamodb: DynamoDB, uuid: str | None, pair: tuple[Person, Person] | None, window: times.Window
) -> str:
    """Why a conversation has no message to show, or why there is no conversation."""
    if pair and uuid is None:
        mine, other = (person.handle for person in pair)
        return (
            f"{mine} and {other} have no conversation in table {s.table!r}: "
            f"cruddur ddb list-conversations {mine} lists those of {mine}."
        )
    return _why(s, dynamodb, f"Conversation {uuid} has no message", f"MSG#{uuid}", window)


def _why(s: Settings, dynamodb: DynamoDB, nothing: str, pk: str, window: times.Window) -> str:
    """Why nothing was found: messages at other times only, or how many items this table on this store has.

    It sends requests, so it is called before the used capacity is shown.
    """
    from ...dynamodb import tables
    from ...dynamodb.conversations import queries

    span = queries.span(dynamodb, pk) if window != times.Window() else None
    if span:
        first, last = (output.when(text) for text in span)
        what = "the last messages of all conversations" if pk.startswith("GRP#") else "all messages"
        return f"{nothing} in that time; {what} are from {first} to {last}."
    items = tables.describe(dynamodb).items
    return f"{nothing}. Table {s.table} on {dynamodb.at.label} holds {counted(items, 'item')}" + (
        "." if items else f": cruddur ddb seed{s.table_option} fills it."
    )
