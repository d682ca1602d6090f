"""Seeds the script's conversation for a command: which conversation, under a lock against other seeding sessions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ... import output, times
from ...dynamodb.client import DynamoDB
from ...dynamodb.conversations import model, participants, seed
from ...dynamodb.conversations import send as sending
from ...dynamodb.conversations.model import Line, Person
from ...postgres import database, users
from ...settings import SEEDED_GROUP, Settings
from . import connections, seed_files

if TYPE_CHECKING:
    from psycopg import Connection


def read_script(script: str | None) -> tuple[list[Line], str]:
    """The lines of the written conversation that was named, else of the built-in one. Raises BadInput."""
    content, source = seed_files.given(script) if script else (seed_files.read("conversation.txt"), "conversation.txt")
    return model.parse(content, source), source


def seed_conversation(
    s: Settings,
    dynamodb: DynamoDB,
    pair: tuple[Person, Person],
    lines: list[Line],
    source: str,
    count: int | None = None,
) -> list[seed.Seeded]:
    """Make the seeded conversation ``count`` (else as many as there are lines) messages between two people."""
    now = times.now()
    count = count or len(lines)
    seed.check(lines, pair, group=SEEDED_GROUP, source=source, now=now)
    with _alone(s) as conn, output.progress(s, "seeding messages", count) as advance:
        group = _group_for(s, dynamodb, pair, conn)
        return seed.replace_conversation(
            dynamodb,
            lines,
            pair,
            group=group,
            count=count,
            now=now,
            dry_run=s.dry_run,
            advance=advance,
            say=lambda text: output.note(s, text),
        )


def kept_for_a_deleted_person(s: Settings, dynamodb: DynamoDB, pair: tuple[Person, Person]) -> bool:
    """Whether the well-known conversation is one of ``pair`` with a person who is no longer in the database, and people
    have written in it: then it is theirs, and another one for the next person is not what they miss."""
    mine = {person.uuid for person in pair}
    members = participants.members(dynamodb, SEEDED_GROUP)
    if not members & mine or members <= mine:
        return False
    with connections.postgres(s) as conn:
        if users.present(conn, members - mine):
            return False
    return not all(seed.is_seeded(SEEDED_GROUP, item) for item in seed.stored(dynamodb, SEEDED_GROUP))


def _group_for(s: Settings, dynamodb: DynamoDB, pair: tuple[Person, Person], conn: Connection[Any]) -> str:
    """The conversation to seed: the well-known one unless it belongs to other people, else the pair's own.

    The pair's own has the id that it would have if they had started it. It is also taken where it was seeded before:
    the well-known one may have belonged to others then. A seeded conversation of people who are no longer in the
    database has no owner.
    """
    mine = {person.uuid for person in pair}
    own = sending.group_of(*pair)
    members = participants.members(dynamodb, SEEDED_GROUP)
    if members and members <= mine:
        return SEEDED_GROUP
    seeded_before = _holds_seeds(dynamodb, own)
    if not members:
        return own if seeded_before else SEEDED_GROUP
    is_left = not seeded_before and not users.present(conn, members - mine)
    if is_left and all(seed.is_seeded(SEEDED_GROUP, item) for item in seed.stored(dynamodb, SEEDED_GROUP)):
        output.note(s, f"conversation {SEEDED_GROUP} was seeded for people who no longer exist; it is replaced")
        return SEEDED_GROUP
    output.note(s, f"conversation {SEEDED_GROUP} belongs to other people and is kept; yours is {own}")
    return own


def _holds_seeds(dynamodb: DynamoDB, group: str) -> bool:
    return any(seed.is_seeded(group, item) for item in seed.stored(dynamodb, group))


@contextmanager
def _alone(s: Settings) -> Iterator[Connection[Any]]:
    """The database, and no other seeding of the same table: each would find no rows yet and write its own times.

    The lock belongs to the transaction, so that it ends with the process, however that ends, and a pooler in
    transaction mode keeps it with this client. Raises Refused.
    """
    with connections.postgres(s) as conn:
        if not s.dry_run:
            conn.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # DynamoDB takes its time
            database.lock(conn, f"cruddur seeds {s.table}", wait_s=120)
        yield conn
