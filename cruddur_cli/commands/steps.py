"""The steps that the ``setup`` commands share: each makes what is missing, destroys nothing, and says what it did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .. import output, sdk, seed_files
from ..aws import user_pool
from ..dynamodb import conversation, replacing, sending, sides, tables
from ..dynamodb import seeding as message_seeding
from ..dynamodb.client import DynamoDB
from ..dynamodb.conversation import Line, Person
from ..errors import BadInput, Incomplete, NotFound
from ..local import home
from ..output.text import counted
from ..postgres import connection, database, stamp, users
from ..settings import SEEDED_GROUP, Settings
from . import stores

if TYPE_CHECKING:
    from psycopg import Connection
# What reads and runs files of SQL is imported by the steps that do so: every ddb command comes by here.


@dataclass(frozen=True)
class Step:
    """One step of a set-up: what it is about, and what was done (nothing: it was there)."""

    step: str
    result: str
    changed: bool


def done(s: Settings, steps: list[Step], step: str, result: str, *, changed: bool) -> None:
    """Keep a step, and say it."""
    steps.append(Step(step, result, changed))
    output.note(s, f"{'✓' if changed else '·'} {step}: {result}")


def make_database(s: Settings, steps: list[Step], *, anew: bool = False) -> None:
    """The database, its tables and the seeded users; ``anew`` where it was dropped just now, or would have been."""
    from ..postgres import locks
    from . import files, loading

    at = stores.server(s)
    if not anew:
        stores.acting_on(s, at)
    would = "would be " if s.dry_run else ""
    try:
        with connection.opened_maintenance(at) as conn:
            there = database.exists(conn, at.database) and not (anew and s.dry_run)
            made = not there and not s.dry_run and database.create(conn, at.database)
    except NotFound:  # no maintenance database to look from, so the named one has to be there
        there, made = True, False
    done(s, steps, f"database {at.database}", "there" if there else f"{would}created", changed=made or not there)
    if s.dry_run and not there:
        done(s, steps, "tables", f"{would}created", changed=True)
        done(s, steps, "users", f"{would}seeded", changed=True)
        return
    with stores.postgres(s, at=at) as conn, locks.guarded(conn, at):
        refuse_mock_data(s, conn, at)
        if not s.dry_run:
            locks.take(conn, say=lambda text: output.note(s, text))
        missing = database.missing_tables(conn)
        empty = len(missing) == len(database.TABLES)
        if empty and not s.dry_run:
            loading.schema(s, conn, at, files.schema(s))
        absent = [name for name in missing if name not in database.BOOKKEEPING]  # those are made when they are needed
        if absent and not empty:
            output.warn(f"{at.label} lacks {', '.join(absent)}; `cruddur db schema-load` makes its tables anew")
        done(s, steps, "tables", f"{would}created" if empty else "there", changed=empty)
        if "users" in missing and not empty:
            raise NotFound(
                f"There is no table public.users in {at.label}.", hint="cruddur db schema-load", code="table_missing"
            )
        result, changed = loading.fill(s, conn, at, files.seed(s), empty=empty)
        if s.prod and not s.dry_run:
            stamp.write(conn)
        done(s, steps, "users", result, changed=changed)


def refuse_mock_data(s: Settings, conn: Connection[Any], at: connection.Server) -> None:
    """Raise Protected where the database is stamped as production, and the command came without --prod."""
    if not s.prod:
        stamp.refuse(conn, at.label)


def make_pool(s: Settings, steps: list[Step]) -> None:
    """The demo user pool with the people of the database, where no pool of the user's own is configured."""
    at = stores.pool_endpoint(s)
    if not at.embedded:
        done(s, steps, "user pool", f"{s.user_pool_id or 'the only one'} ({at.label})", changed=False)
        return
    if s.dry_run and any(step.changed for step in steps):
        done(s, steps, "demo user pool", "would get the people of the database", changed=True)
        return
    with stores.postgres(s) as conn:
        people = [users.find(conn, handle) for handle in users.handles(conn)]
    with sdk.opened(at, trace=stores.trace(s)) as client, home.locked(home.locate()):
        if s.dry_run and user_pool.find_pool(client, at, user_pool.DEMO_POOL) is None:
            done(s, steps, "demo user pool", "would be created", changed=True)
            return
        pool, made = user_pool.make_demo_pool(client, at)
        stores.acting(s, f"user pool {user_pool.DEMO_POOL}, {at.label} at {at.url}")
        who = [(user.handle, user.display_name, user.email) for user in people]
        added = 0 if s.dry_run else user_pool.add_people(user_pool.Cognito(client, at, pool), who)
        done(
            s,
            steps,
            "demo user pool",
            f"{counted(added, 'person', 'people')} added" if added else "there",
            changed=made or added > 0,
        )


def sync(
    s: Settings, *, create: bool = False, said: bool = False
) -> tuple[list[users.SyncResult], list[user_pool.Identity]]:
    """Write the pool's subs into the database; what became of everybody, and who was skipped for want of a handle.

    ``create`` adds the people whom only Cognito knows; ``said`` is for a set-up that has said what it acts on.
    No transaction waits for the network: the pool is read first.
    """
    pool_at, at = stores.pool_endpoint(s), stores.server(s)
    # The demo pool's people were made up from a database: their ids are nobody's but a demo's.
    demo = pool_at.embedded and not at.embedded
    with stores.cognito(s, at=pool_at) as cognito:
        where = f"{user_pool.DEMO_POOL}, {pool_at.label} at {pool_at.url}"
        if not (said and pool_at.embedded):  # which a set-up has named when it filled it
            output.note(s, f"read: user pool {where if pool_at.embedded else f'{cognito.pool}, {pool_at.label}'}")
        found = list(user_pool.identities(cognito))
    subs = [(identity.handle, identity.sub) for identity in found]
    with stores.postgres(s, changes=not said, at=at) as conn:
        if pool_at.embedded:  # whose ids not even a dry run compares with production's
            refuse_mock_data(s, conn, at)
        results = users.sync_cognito_ids(conn, subs, only_mock=demo, dry_run=s.dry_run)
        if create:
            added = _create(s, conn, found, {row.handle for row in results if row.result == "no such user"})
            results = [replace(row, result="created") if row.handle in added else row for row in results]
        kept = users.with_other_ids(conn, results) if demo else 0
    if kept:
        output.note(s, f"{counted(kept, 'person keeps', 'people keep')} another id: the demo pool replaces MOCK only")
    return results, [who for who in found if who.handle is None]


def _create(s: Settings, conn: Connection[Any], found: list[user_pool.Identity], unknown: set[str | None]) -> set[str]:
    """Add people of whom only Cognito knows, but nobody whose handle differs from another's in case only."""
    known = users.handles(conn)
    new: dict[str, tuple[str, str, str | None]] = {}
    for who in found:
        if not who.handle or who.handle not in unknown:
            continue
        near = users.near_handle(who.handle, (*known, *new))
        if near is None:
            new[who.handle] = (who.handle, who.sub, who.email)
        else:
            output.note(s, f"not added: {who.handle} differs from {near} in case only")
    return set(new) if s.dry_run else users.create_missing(conn, new.values())


def sync_step(s: Settings, steps: list[Step]) -> None:
    """The sync as one step of a set-up."""
    if s.dry_run and any(step.changed for step in steps):
        done(s, steps, "Cognito ids", "would be synced", changed=True)
        return
    results, _ = sync(s, said=True)
    updated = sum(row.result == "updated" for row in results)
    would = "would be " if s.dry_run else ""
    done(s, steps, "Cognito ids", f"{updated:,} {would}updated" if updated else "up to date", changed=updated > 0)


def make_messages(
    s: Settings,
    dynamodb: DynamoDB,
    steps: list[Step],
    pair: tuple[Person, Person] | None,
    lines: list[Line],
    source: str,
) -> None:
    """The table and the seeded conversation; ``pair`` is None in a dry run where the people are not there yet."""
    made = make_table(s, dynamodb)
    would = "would be " if s.dry_run else ""
    done(s, steps, f"table {s.table}", f"{would}created" if made else "there", changed=made)
    if pair is None or (made and s.dry_run):
        done(s, steps, "conversation", "would be seeded", changed=True)
        return
    rows = seed_conversation(s, dynamodb, pair, lines, source)
    written = sum(row.written + row.deleted for row in rows)
    done(
        s,
        steps,
        "conversation",
        f"{counted(written, 'row')} {would}written" if written else "there",
        changed=written > 0,
    )


def changes(steps: list[Step]) -> dict[str, int]:
    """How many steps changed something, and how many found everything there."""
    made = sum(step.changed for step in steps)
    return {"changed": made, "unchanged": len(steps) - made}


def people(s: Settings) -> tuple[Person, Person]:
    """The two people of the seeded conversation: Person 1 is ``my_handle``. Raises NotFound."""
    with stores.postgres(s) as conn:
        mine, other = users.find(conn, s.my_handle), users.find(conn, s.other_handle)
    if mine.uuid == other.uuid:
        raise BadInput(f"{s.my_handle!r} cannot talk to {s.other_handle!r}: a conversation needs two people.")
    return _person(mine), _person(other)


def _person(user: users.User) -> Person:
    return Person(user.uuid, user.handle, user.display_name)


def make_table(s: Settings, dynamodb: DynamoDB, *, on_demand: bool = False, stream: bool = False) -> bool:
    """The table, ready for writes, with a stream where that is wanted; whether it was made.

    Raises Incomplete where one with another schema is there, Refused where it has a stream of another view.
    """
    say = lambda text: output.note(s, text)  # noqa: E731
    if s.dry_run:
        missing = not tables.exists(dynamodb)
    else:
        missing = tables.create(dynamodb, on_demand=on_demand, stream=stream, say=say, wait_s=max(60.0, s.wait_s))
    if s.prod and not s.dry_run and not tables.stamp(dynamodb):
        output.warn(f"{dynamodb.at.label} knows no tags, so table {s.table} is not stamped as production")
    if not missing:
        different = tables.differences(tables.describe(dynamodb))
        if different:
            raise Incomplete(
                f"Table {s.table!r} is there with another schema than the application expects.",
                details="\n".join(different),
                hint="cruddur ddb reset, or another --table",
                code="schema_differs",
            )
    if stream:
        enabled = missing or tables.enable_stream(dynamodb, say=say, wait_s=max(60.0, s.wait_s), dry_run=s.dry_run)
        output.note(s, f"stream: {('would be turned on' if s.dry_run else 'turned on') if enabled else 'on already'}")
    return missing


def read_script(script: str | None) -> tuple[list[Line], str]:
    """The lines of the written conversation that was named, else of our own. Raises BadInput."""
    content, source = seed_files.given(script) if script else (seed_files.read("conversation.txt"), "conversation.txt")
    return conversation.parse(content, source), source


def seed_conversation(
    s: Settings,
    dynamodb: DynamoDB,
    pair: tuple[Person, Person],
    lines: list[Line],
    source: str,
    count: int | None = None,
    *,
    replace_others: bool = False,
) -> list[message_seeding.Seeded]:
    """Make the seeded conversation ``count`` (else as many as there are lines) messages between two people."""
    now = datetime.now(UTC)
    count = count or len(lines)
    message_seeding.check(lines, pair, group=SEEDED_GROUP, source=source, now=now)
    with _alone(s), output.progress(s, "seeding messages", count) as advance:
        group = _group_for(s, dynamodb, pair, replace_others=replace_others)
        return message_seeding.replace_conversation(
            dynamodb, lines, pair, group=group, count=count, now=now, dry_run=s.dry_run, advance=advance
        )


def _group_for(s: Settings, dynamodb: DynamoDB, pair: tuple[Person, Person], *, replace_others: bool) -> str:
    """The conversation to seed: the seeded one, unless it is two other people's and theirs to keep.

    With ``replace_others`` it is theirs to keep as soon as one of them wrote something. Then the pair's own is seeded,
    under the id that it would have if they had started it.
    """
    owners = set(sides.owners(dynamodb, SEEDED_GROUP))
    if not owners - {person.uuid for person in pair}:
        return SEEDED_GROUP
    if replace_others and all(
        replacing.is_seeded(SEEDED_GROUP, item) for item in replacing.stored(dynamodb, SEEDED_GROUP)
    ):
        output.note(s, f"conversation {SEEDED_GROUP} was seeded for other people; it is replaced")
        return SEEDED_GROUP
    group = sending.group_of(*pair)
    output.note(s, f"conversation {SEEDED_GROUP} is other people's, and stays; yours is {group}")
    return group


@contextmanager
def _alone(s: Settings) -> Iterator[None]:
    """Hold off another seeding of the same table: each would find no rows yet and write its own times.

    The lock belongs to the connection, so that it ends with the process, however that ends. Raises Refused.
    """
    if s.dry_run:
        yield
        return
    with stores.postgres(s) as conn:
        conn.autocommit = True
        database.lock(conn, f"cruddur seeds {s.table}", wait_s=120)
        yield
