"""Seeds the written conversation for a command: chooses its id, under a lock against other seeding commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ... import output, times
from ...dynamodb import schema
from ...dynamodb.capacity import estimate as estimates
from ...dynamodb.capacity.estimate import Estimate
from ...dynamodb.capacity.rules import item_size
from ...dynamodb.client import DynamoDB
from ...dynamodb.conversations import model, participants, seed
from ...dynamodb.conversations import send as sending
from ...dynamodb.conversations.model import Line, Person
from ...postgres import database, users
from ...settings import SEEDED_GROUP, Settings
from . import connections, people, seed_files

if TYPE_CHECKING:
    from psycopg import Connection


@dataclass(frozen=True)
class SeedPlan:
    """What a command seeds: ``count`` messages from the lines of the file ``source``, between two people."""

    lines: list[Line]
    source: str
    people: tuple[Person, Person]
    count: int


def plan(s: Settings, script: str | None, count: int | None) -> SeedPlan:
    """The plan for the options: the named script or the built-in one, and ``count`` messages or one for each line.

    Raises BadInput for a script that cannot be read, NotFound for a missing person.
    """
    lines, source = read_script(script)
    return SeedPlan(lines, source, people.pair(s), count or len(lines))


def read_script(script: str | None) -> tuple[list[Line], str]:
    """The lines of the conversation file, else of the built-in one, and its name. Raises BadInput."""
    content, source = seed_files.given(script) if script else (seed_files.read("conversation.txt"), "conversation.txt")
    return model.parse(content, source), source


def estimate(planned: SeedPlan) -> Estimate:
    """The estimate of seeding where nothing is seeded yet, from the mean size of the lines' items."""
    number = len(planned.lines)
    schedule = model.Schedule(times.now())
    messages = model.compose(planned.lines, planned.people, group=SEEDED_GROUP, schedule=schedule, count=number)
    size = sum(item_size(schema.message_item(SEEDED_GROUP, message)) for message in messages) // number
    return estimates.seed(planned.count, message_bytes=size, group_bytes=size, index=schema.INDEX)


def seed_conversation(s: Settings, dynamodb: DynamoDB, planned: SeedPlan) -> list[seed.Seeded]:
    """Seed the planned conversation under a lock; returns the result for its messages and for its group rows."""
    now = times.now()
    seed.check(planned.lines, planned.people, group=SEEDED_GROUP, source=planned.source, now=now)
    with _alone(s) as conn, output.progress(s, "seeding messages", planned.count) as advance:
        return seed.replace_conversation(
            dynamodb,
            planned.lines,
            planned.people,
            group=_group_for(s, dynamodb, planned.people, conn),
            count=planned.count,
            now=now,
            dry_run=s.dry_run,
            advance=advance,
            say=lambda text: output.note(s, text),
        )


def kept_for_a_deleted_person(s: Settings, dynamodb: DynamoDB, pair: tuple[Person, Person]) -> bool:
    """Whether the well-known conversation is one of ``pair`` with a deleted person, and people have written in it.

    Then it is kept, and a set-up does not seed another conversation with the next person.
    """
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

    The pair's own has the id that it would have if they had started it. It is also chosen where it was seeded before:
    the well-known one may have belonged to others then. A seeded conversation of people who are all deleted has no
    owner, and is replaced.
    """
    mine = {person.uuid for person in pair}
    own = sending.group_of(*pair)
    members = participants.members(dynamodb, SEEDED_GROUP)
    if members and members <= mine:
        return SEEDED_GROUP
    seeded_before = _holds_seeds(dynamodb, own)
    if not members:
        return own if seeded_before else SEEDED_GROUP
    has_no_owner = not seeded_before and not users.present(conn, members - mine)
    if has_no_owner and all(seed.is_seeded(SEEDED_GROUP, item) for item in seed.stored(dynamodb, SEEDED_GROUP)):
        output.note(s, f"conversation {SEEDED_GROUP} was seeded for people who no longer exist; it is replaced")
        return SEEDED_GROUP
    output.note(s, f"conversation {SEEDED_GROUP} belongs to other people and is kept; yours is {own}")
    return own


def _holds_seeds(dynamodb: DynamoDB, group: str) -> bool:
    return any(seed.is_seeded(group, item) for item in seed.stored(dynamodb, group))


@contextmanager
def _alone(s: Settings) -> Iterator[Connection[Any]]:
    """An open transaction of the database, while no other command seeds the same table.

    Two at the same time would both find no rows, and write their own times. The lock ends with the transaction, so also
    when the process is killed. A pooler in transaction mode keeps a transaction with its client. Raises Refused.
    """
    with connections.postgres(s) as conn:
        if not s.dry_run:
            # The transaction is idle as long as DynamoDB takes.
            conn.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            database.lock(conn, f"cruddur seeds {s.table}", wait_s=120)
        yield conn
