"""``cruddur ddb list-conversations`` and ``get-conversation``: what people wrote to each other."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import output, times
from ..dynamodb import messages, tables
from ..dynamodb.client import DynamoDB
from ..dynamodb.conversation import Person
from ..errors import BadInput, NotFound
from ..output.text import counted
from ..postgres import users
from ..settings import SEEDED_GROUP, Settings
from . import stores
from .options import command

Year = Annotated[int | None, typer.Option("--year", help="Only this year (UTC), as the application asks for it.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Not before this date or time (local unless it says).")
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Before this time; a bare date is included.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="At most this many.")]


def register(app: typer.Typer) -> None:
    """Add the commands to their group."""
    command(app, shows=True, table=True, handles=True, explains=True)(list_conversations)
    command(app, shows=True, table=True, handles=True, explains=True)(get_conversation)


def list_conversations(
    s: Settings,
    handle: Annotated[str | None, typer.Argument(metavar="[HANDLE]", help="Whose; by default yours.")] = None,
    year: Year = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
) -> None:
    """List a person's conversations, newest first, with the other person and the last message."""
    window = times.window(year=year, since=since, until=until)
    with stores.postgres(s) as conn:
        user = users.find(conn, handle or s.my_handle)
    with stores.dynamodb(s) as dynamodb:
        groups = messages.list_groups(dynamodb, user.uuid, window=window, limit=limit)
        why = "" if groups else _why(s, dynamodb, f"{user.handle} has no conversation", f"GRP#{user.uuid}", window)
        output.show(s, groups, draw=output.inbox, meter=dynamodb.meter)
    if why:
        output.note(s, why)


def get_conversation(
    s: Settings,
    group: Annotated[str | None, typer.Argument(metavar="[GROUP]", help="Which; by default the seeded one.")] = None,
    partner: Annotated[
        str | None, typer.Option("--with", metavar="HANDLE", help="The one between you and this person.")
    ] = None,
    year: Year = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="At most this many, the last ones.")] = 20,
) -> None:
    """Show a conversation, oldest message first; on a terminal it reads like a chat.

    cruddur ddb get-conversation --with bayko --limit 50
    """
    if group and partner:
        raise BadInput("GROUP and --with name two conversations: give one of them.")
    window = times.window(year=year, since=since, until=until)
    found = (users_pair(s, partner) if partner else None, group or SEEDED_GROUP)
    with stores.dynamodb(s) as dynamodb:
        uuid = _find(s, dynamodb, *found[0]) if found[0] else found[1]
        read = messages.latest(dynamodb, uuid, window=window, limit=limit)
        why = "" if read else _why(s, dynamodb, f"Conversation {uuid} has no message", f"MSG#{uuid}", window)
        output.show(s, read, draw=output.chat(s.my_handle), meter=dynamodb.meter)
    if why:
        output.note(s, why)


def users_pair(s: Settings, partner: str) -> tuple[users.User, users.User]:
    """The reader and the person they name. Raises NotFound."""
    with stores.postgres(s) as conn:
        return users.find(conn, s.my_handle), users.find(conn, partner)


def _find(s: Settings, dynamodb: DynamoDB, mine: users.User, other: users.User) -> str:
    group = messages.find_group(dynamodb, mine=mine.uuid, other=Person(other.uuid, other.handle, other.display_name))
    if group is None:
        raise NotFound(
            f"{mine.handle} and {other.handle} have no conversation in table {s.table!r}.",
            hint=f"cruddur ddb list-conversations {mine.handle}",
            code="conversation_not_found",
        )
    return group.message_group_uuid


def _why(s: Settings, dynamodb: DynamoDB, nothing: str, pk: str, window: times.Window) -> str:
    """Why nothing was found: other years, the wrong store, an empty table. Asked before the capacity is shown."""
    around = messages.span(dynamodb, pk) if window != times.Window() else None
    if around:
        first, last = (output.when(text) for text in around)
        return f"{nothing} in that time; it has rows from {first} to {last}."
    items = tables.describe(dynamodb).items
    return f"{nothing}. Table {s.table} on {dynamodb.at.label} holds {counted(items, 'item')}" + (
        "." if items else ": cruddur ddb seed fills it."
    )
