"""What a set-up looks at before it makes the first thing, so that a refusal leaves nothing half made."""

from __future__ import annotations

from ... import times
from ...dynamodb.client import DynamoDB
from ...dynamodb.conversations import seed
from ...dynamodb.conversations.model import Line, Person
from ...errors import NotFound
from ...postgres import database, users
from ...postgres.connection import Server
from ...settings import SEEDED_GROUP, Settings
from . import connections, load_sql, people, setup_steps

_ANY_UUID = "00000000-0000-0000-0000-000000000000"


def check(
    s: Settings, at: Server, dynamodb: DynamoDB, lines: list[Line], source: str, *, scripts: load_sql.Scripts
) -> None:
    """Raise what would stop a set-up half-way: a table of another schema, a line that is too long, a missing person.

    The database need not be there. A table that is marked as production was refused when it was opened.
    """
    setup_steps.check_schema(s, dynamodb)
    check_people(s, at, scripts)
    pair = (Person(_ANY_UUID, s.my_handle, s.my_handle), Person(_ANY_UUID, s.other_handle, s.other_handle))
    seed.check(lines, pair, group=SEEDED_GROUP, source=source, now=times.now())


def check_people(s: Settings, at: Server, scripts: load_sql.Scripts) -> None:
    """Raise NotFound where a handle that is set is neither in the database nor in the seeds that would fill it."""
    is_fixed = s.prod or connections.is_foreign(at)
    try:
        with connections.postgres(s, at=at) as conn:
            if "users" not in database.missing_tables(conn) and users.handles(conn):
                if len(users.first(conn, 2)) < 2 and not is_fixed:
                    return  # the set-up skips the conversation, and says why
                chosen = people.handles(s, conn, at)
                for handle in (chosen.mine, chosen.other):
                    users.find(conn, handle)
                return
    except NotFound as error:
        if error.code != "database_not_found":
            raise
    fixed = [name for name in ("my_handle", "other_handle") if is_fixed or s.origins[name] != "default"]
    seeds = scripts.seed if fixed else None
    for name in fixed:
        handle = str(getattr(s, name)).removeprefix("@")
        if seeds is not None and handle not in seeds.text:
            raise NotFound(
                f"There is no user {handle!r}: {at.label} has no users yet, and {seeds.source} does not name this one.",
                hint="name a person of the seed file with --my-handle and --other-handle",
                code="user_not_found",
            )
