"""The steps that the ``setup`` commands share: each creates what is missing, destroys nothing, and says what it did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ... import output, times
from ...aws import user_pool
from ...aws_client import client as aws_client
from ...dynamodb import tables
from ...dynamodb.client import DynamoDB
from ...dynamodb.conversations import seed
from ...dynamodb.conversations.model import Line, Person
from ...dynamodb.conversations.seed import Seeded
from ...dynamodb.table_settings import TableSettings
from ...errors import CannotConnect, CruddurError, Incomplete, NotConfigured, NotFound, Refused
from ...local import home, stack
from ...output.text import counted
from ...postgres import connection, database, production_marker, users
from ...settings import SEEDED_GROUP, Settings
from . import connections, migration_step, people, seeding, targets, try_database
from .steps import Step, done

if TYPE_CHECKING:
    from psycopg import Connection

    from . import load_sql
# What reads and runs files of SQL is imported by the steps that do so: every ddb command comes by here.
_ANY_UUID = "00000000-0000-0000-0000-000000000000"


def check_all(
    s: Settings, at: connection.Server, dynamodb: DynamoDB, lines: list[Line], source: str, *, scripts: load_sql.Scripts
) -> None:
    """Raise what would stop a set-up half-way: a table of another schema, a line that is too long, a missing person.

    The database need not be there. A table that is marked as production was refused when it was opened.
    """
    check_schema(s, dynamodb)
    _check_people(s, at, scripts)
    pair = (Person(_ANY_UUID, s.my_handle, s.my_handle), Person(_ANY_UUID, s.other_handle, s.other_handle))
    seed.check(lines, pair, group=SEEDED_GROUP, source=source, now=times.now())


def _check_people(s: Settings, at: connection.Server, scripts: load_sql.Scripts) -> None:
    """Raise NotFound where a handle that is set is neither in the database nor in the seeds that would fill it."""
    is_fixed = s.prod or targets.is_foreign(at)
    try:
        with connections.postgres(s, at=at) as conn:
            users.require_columns(conn)
            if "users" not in database.missing_tables(conn) and users.handles(conn):
                if len(users.first(conn, 2)) < 2 and not is_fixed:
                    return  # the set-up skips the conversation, and says why
                people.check_pair(s, conn, at)
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


def make_database(
    s: Settings,
    at: connection.Server,
    steps: list[Step],
    planned: migration_step.Plan,
    *,
    is_reset: bool = False,
    scripts: load_sql.Scripts | None = None,
    check: Callable[[Connection[Any]], object] | None = None,
) -> bool:
    """The database, its tables and the seeded users; ``is_reset`` if it was dropped just now, or would have been.

    Returns whether the tables exist afterwards: not in a dry run that would create them. Raises what the schema or the
    seed file is refused for, or what ``check`` raises for people it seeded, with nothing changed: a database that was
    created for them is dropped again.
    """
    from . import load_sql

    scripts = scripts or load_sql.Scripts(s)
    if not is_reset:
        connections.acting_on(s, at)
    would = "would be " if s.dry_run else ""
    try:
        with connection.opened_maintenance(at) as conn:
            for name in () if s.dry_run else try_database.drop_stale(conn, at):
                output.note(s, f"database {name}: dropped; a killed command created it to try the SQL files")
            there = database.exists(conn, at.database) and not (is_reset and s.dry_run)
            if not there:  # a file that cannot be read is found before anything is created
                migration_step.check(planned, None)
                assert scripts.schema
                assert scripts.seed
            made = not there and not s.dry_run and database.create(conn, at.database)
    except NotFound:  # no maintenance database to look from, so the named one has to be there
        there, made = True, False
    of_database = Step(f"database {at.database}", "exists" if there else f"{would}created", changed=made or not there)
    if s.dry_run and not there:
        for step in (of_database, Step("tables", "would be created", True), Step("users", "would be seeded", True)):
            done(s, steps, step.step, step.result, changed=step.changed)
        return False
    try:
        loaded = _load(s, at, planned, scripts, check)
    except CannotConnect:
        raise
    except CruddurError as error:
        raise error.adding(_undo(at, made=made)) from error
    for step in (of_database, *loaded):
        done(s, steps, step.step, step.result, changed=step.changed)
    return not (s.dry_run and any(step.changed and step.step == "tables" for step in loaded))


def _load(
    s: Settings,
    at: connection.Server,
    planned: migration_step.Plan,
    scripts: load_sql.Scripts,
    check: Callable[[Connection[Any]], object] | None,
) -> list[Step]:
    """The tables and the users, where they are missing, in one transaction; what was done, once it is committed."""
    from ...postgres import locks
    from . import expected_schema, load_sql

    made: dict[str, str] | None = None
    with connections.postgres(s, at=at) as conn, locks.guarded(conn, at):
        refuse_mock_data(s, conn, at)
        if not s.dry_run:
            locks.take(conn, say=lambda text: output.note(s, text))
        missing = database.missing_tables(conn)
        empty = len(missing) == len(database.TABLES)
        migration_step.check(planned, None if empty else conn)
        if empty and not s.dry_run:
            was_empty = not expected_schema.described(conn)
            load_sql.schema(s, conn, at, scripts.schema)
            made = expected_schema.described(conn) if was_empty else None
            if "users" in database.missing_tables(conn):
                raise NotFound(
                    f"{scripts.schema.source} creates no table public.users, which every command needs.",
                    hint="name the application's schema: --file FILE, or schema_file in cruddur.toml",
                    code="table_missing",
                )
        elif not empty and s.origins["schema_file"].startswith("--"):
            output.note(
                s, f"{s.schema_file} is not loaded, because the database has tables; `cruddur db schema-load` loads it"
            )
        absent = [name for name in missing if name not in database.BOOKKEEPING]  # those are made when they are needed
        if absent and not empty:
            output.warn(
                f"{at.label} lacks {', '.join(absent)}; "
                "`cruddur db schema-load` runs the schema file again, and asks if rows would be lost"
            )
        if "users" in missing and not empty:
            raise NotFound(
                f"There is no table public.users in {at.label}.", hint="cruddur db schema-load", code="table_missing"
            )
        result, changed = load_sql.fill(s, conn, at, scripts, empty=empty)
        if check is not None and changed and not s.dry_run:
            check(conn)
        if empty and not s.dry_run:
            migration_step.rehearse(s, conn, at, planned)
        if made is not None:
            expected_schema.keep(conn, scripts.schema, planned.files, made)
        if s.prod and not s.dry_run:
            production_marker.write(conn)
    would = "would be " if s.dry_run else ""
    of_tables = f"{would}created" if empty else f"missing: {', '.join(absent)}" if absent else "exist"
    return [Step("tables", of_tables, empty), Step("users", result, changed)]


def _undo(at: connection.Server, *, made: bool) -> str:
    """Drop the database that was created for a load that failed, unless a session uses it by now; what is left."""
    from . import load_sql

    if not made:
        return load_sql.NOTHING
    try:
        with connection.opened_maintenance(at) as conn:
            database.drop(conn, at.database, force=False)
    except CruddurError:
        return f"The database {at.database} was created and is empty; nothing else was changed."
    return load_sql.NOTHING


def refuse_mock_data(s: Settings, conn: Connection[Any], at: connection.Server) -> None:
    """Raise Protected where the database is marked as production, and the command came without --prod."""
    if not s.prod:
        production_marker.refuse(conn, at.label)


def make_pool(s: Settings, steps: list[Step]) -> None:
    """The demo user pool with the people of the database, where no pool of the user's own is configured.

    Without the extra ``local`` it is skipped: if both stores are servers of the user, nothing else needs it.
    """
    at = targets.pool_endpoint_if_any(s)
    if at is None:
        done(s, steps, "demo user pool", "skipped, because the extra `local` is not installed", changed=False)
        return
    if not at.embedded:
        done(
            s,
            steps,
            "user pool",
            f"{s.user_pool_id or ('not named' if s.prod else 'the only one')} ({at.label})",
            changed=False,
        )
        return
    if s.dry_run and any(step.changed for step in steps):
        done(s, steps, "demo user pool", "would get the people of the database", changed=True)
        return
    with connections.postgres(s) as conn:
        everyone = users.everyone(conn)
    with aws_client.opened(at, trace=output.trace(s)) as client, home.locked(home.locate()):
        if s.dry_run and user_pool.find_pool(client, at, user_pool.DEMO_POOL) is None:
            done(s, steps, "demo user pool", "would be created", changed=True)
            return
        pool, made = user_pool.make_demo_pool(client, at)
        output.acting(s, f"user pool {user_pool.DEMO_POOL}, {at.label} at {at.url}")
        added = 0 if s.dry_run else user_pool.add_people(user_pool.Cognito(client, at, pool), everyone)
        done(
            s,
            steps,
            "demo user pool",
            (f"{counted(added, 'person', 'people')} added" if added else "created" if made else "exists")
            + f"; password {user_pool.DEMO_PASSWORD}",
            changed=made or added > 0,
        )


def sync(
    s: Settings, *, create: bool = False, said: bool = False
) -> tuple[list[users.SyncResult], list[user_pool.Identity]]:
    """Write the pool's subs into the database; the result for each person, and the people skipped without a handle.

    ``create`` adds the people whom only Cognito knows; ``said`` is for a set-up that has said what it acts on.
    No transaction waits for the network: the pool is read first.
    """
    pool_at = targets.pool_endpoint(s)
    return _write_ids(s, pool_at, _read_pool(s, pool_at, said=said), create=create, said=said)


def _read_pool(s: Settings, at: aws_client.Endpoint, *, said: bool) -> list[user_pool.Identity]:
    """All users of the pool; ``said`` is for a set-up that has named the demo pool when it filled it."""
    with connections.cognito(s, at=at) as cognito:
        where = f"{user_pool.DEMO_POOL}, {at.label} at {at.url}" if at.embedded else f"{cognito.pool}, {at.label}"
        if not (said and at.embedded):
            output.note(s, f"read: user pool {where}")
        return list(user_pool.identities(cognito))


def _write_ids(
    s: Settings, pool_at: aws_client.Endpoint, found: list[user_pool.Identity], *, create: bool, said: bool
) -> tuple[list[users.SyncResult], list[user_pool.Identity]]:
    """Write the subs of a pool that was read; returns what ``sync`` does."""
    at = targets.server(s)
    # The demo pool's people were made up from a database: their ids exist only in the demo.
    demo = pool_at.embedded and not at.embedded
    subs = [(identity.handle, identity.sub) for identity in found]
    with connections.postgres(s, changes=not said, at=at) as conn:
        if pool_at.embedded:  # whose ids not even a dry run compares with production's
            refuse_mock_data(s, conn, at)
        results = users.sync_cognito_ids(conn, subs, only_mock=demo, dry_run=s.dry_run)
        if create:
            added = _create(s, conn, found, {row.handle for row in results if row.result == "no such user"})
            results = [replace(row, result="created") if row.handle in added else row for row in results]
        kept = users.with_other_ids(conn, results) if demo else 0
    if kept:
        output.note(
            s, f"{counted(kept, 'person keeps', 'people keep')} a Cognito id of another pool: only MOCK is replaced"
        )
    return results, [who for who in found if who.handle is None]


def _create(s: Settings, conn: Connection[Any], found: list[user_pool.Identity], unknown: set[str | None]) -> set[str]:
    """Add people who are only in Cognito, except those whose handle differs from another's only in case."""
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


def sync_step(s: Settings, steps: list[Step], *, starts: bool = True) -> CruddurError | None:
    """The sync as one step of a set-up; skipped where there is no pool, or no credentials for the one that is named.

    Returns the error of a pool of AWS that cannot be read: the set-up does the rest, then raises it. Without ``starts``
    the embedded AWS is not started for the sync.
    """
    named = s.prod or s.cognito_endpoint or s.aws_endpoint or s.user_pool_id
    if s.prod and not s.user_pool_id and not starts:  # db setup may be about a database alone
        return None
    at = targets.pool_endpoint_if_any(s) if named or starts or stack.aws_endpoint() else None
    if at is None:
        done(s, steps, "Cognito ids", "skipped, because there is no user pool", changed=False)
        return None
    if s.dry_run and any(step.changed for step in steps):
        done(s, steps, "Cognito ids", "would be synced", changed=True)
        return None
    try:
        found = _read_pool(s, at, said=True)
    except (NotConfigured, CannotConnect, Refused) as error:
        if at.embedded and error.code == "pool_not_found":
            _skip_sync(s, steps, error)
            return None
        if at.embedded:
            raise
        if isinstance(error, NotConfigured) and not s.prod:
            _skip_sync(s, steps, error)
            return None
        done(s, steps, "Cognito ids", "not synced", changed=False)
        return error.changed(
            message=f"Everything else is set up, but the Cognito ids are not synced. {error.message}",
            hint=f"{error.hint}, then cruddur db update-cognito-user-ids"
            if isinstance(error, NotConfigured)
            else "when the user pool answers: cruddur db update-cognito-user-ids",
        )
    try:
        results, _ = _write_ids(s, at, found, create=False, said=True)
    except NotFound as error:
        if error.code != "column_missing":
            raise
        _skip_sync(s, steps, error)
        return None
    updated = sum(row.result == "updated" for row in results)
    would = "would be " if s.dry_run else ""
    done(s, steps, "Cognito ids", f"{updated:,} {would}updated" if updated else "up to date", changed=updated > 0)
    return None


def _skip_sync(s: Settings, steps: list[Step], error: CruddurError) -> None:
    """Say why the sync is skipped, and which command does it later."""
    done(s, steps, "Cognito ids", f"skipped. {error.message}", changed=False)
    output.note(s, "  later: cruddur db update-cognito-user-ids")


def make_messages(
    s: Settings,
    dynamodb: DynamoDB,
    steps: list[Step],
    pair: tuple[Person, Person] | None,
    lines: list[Line],
    source: str,
    *,
    too_few: str | None = None,
) -> None:
    """The table and the seeded conversation; ``pair`` is None in a dry run where the people are not there yet.

    ``too_few`` says why there are no two people to seed it for: then it is skipped.
    """
    made = make_table(s, dynamodb)
    would = "would be " if s.dry_run else ""
    done(s, steps, f"table {s.table}", f"{would}created" if made else "exists", changed=made)
    if too_few is not None:
        done(s, steps, "conversation", f"skipped. {too_few}", changed=False)
        output.note(s, "  later: cruddur db add-user HANDLE, then cruddur setup")
        return
    if pair is None or (made and s.dry_run):
        done(s, steps, "conversation", "would be seeded", changed=True)
        return
    if _is_guess(s, pair) and seeding.kept_for_a_deleted_person(s, dynamodb, pair):
        why = f"{SEEDED_GROUP} is with a person who is no longer in the database, and people have written in it"
        done(s, steps, "conversation", f"skipped. {why}", changed=False)
        output.note(
            s,
            "  add the person again (cruddur doctor names the command), or seed another conversation: cruddur ddb seed",
        )
        return
    rows = seeding.seed_conversation(s, dynamodb, seeding.Plan(lines, source, pair, len(lines)))
    result = told_of(rows, would)
    done(s, steps, "conversation", result or "exists", changed=bool(result))


def _is_guess(s: Settings, pair: tuple[Person, Person]) -> bool:
    """Whether one of the two is neither set nor a default: then the database gave the first person that it has."""
    names = zip(("my_handle", "other_handle"), pair, strict=True)
    return any(s.origins[name] == "default" and getattr(s, name) != person.handle for name, person in names)


def told_of(rows: Sequence[Seeded], would: str) -> str:
    """What seeding did, in messages; in group rows only where it changed no message. Empty if it changed nothing."""
    messages, groups = rows
    if messages.written:
        older = f", {messages.deleted:,} with another time {would}deleted" if messages.deleted else ""
        return f"{counted(messages.written, 'message')} {would}written{older}"
    if messages.deleted:
        return f"{counted(messages.deleted, 'message')} {would}deleted"
    changed = max(groups.written, groups.deleted)
    return f"{counted(changed, 'group row')} {would}{'written' if groups.written else 'deleted'}" if changed else ""


def check_schema(s: Settings, dynamodb: DynamoDB) -> None:
    """Raise Incomplete where the table is there with another schema than the application expects."""
    try:
        different = tables.differences(tables.describe(dynamodb))
    except NotFound:
        return
    if different:
        raise Incomplete(
            f"Table {s.table!r} exists with another schema than the application expects.",
            details="\n".join(different),
            hint=f"cruddur ddb reset --table {dynamodb.table}",
            code="schema_differs",
        )


def make_table(
    s: Settings,
    dynamodb: DynamoDB,
    *,
    on_demand: bool = False,
    stream: bool = False,
    like: TableSettings | None = None,
) -> bool:
    """The table, ready for writes, paid per request and with a stream where that is wanted; whether it was made.

    ``like`` are the settings of the table that it replaces. Raises Incomplete where one with another schema is there,
    Refused where it has a stream of another view.
    """
    say = lambda text: output.note(s, text)  # noqa: E731
    wait_s = max(60.0, s.wait_s)
    if s.dry_run:
        missing = not tables.exists(dynamodb)
    else:
        settings = {"like": like.create, "index_throughput": like.index_throughput} if like else {}
        missing = tables.create(
            dynamodb, on_demand=on_demand, stream=stream, protected=s.prod, **settings, say=say, wait_s=wait_s
        )
    if s.prod and not s.dry_run and not tables.mark_production(dynamodb):
        output.warn(f"{dynamodb.at.label} does not support tags, so table {s.table} is not marked as production")
    if not missing:
        check_schema(s, dynamodb)
    if on_demand and not missing:
        changed = tables.make_on_demand(dynamodb, say=say, wait_s=wait_s, dry_run=s.dry_run)
        if changed and changed[1] != "on demand":
            output.warn(f"{dynamodb.at.label} did not change the billing of table {s.table}: {changed[1]}")
        elif changed:
            would = "would change" if s.dry_run else "changed"
            output.done(s, f"billing: {would} from {changed[0]} to {changed[1]}")
    if stream:
        enabled = missing or tables.enable_stream(dynamodb, say=say, wait_s=wait_s, dry_run=s.dry_run)
        result = ("would be turned on" if s.dry_run else "turned on") if enabled else "on already"
        output.outcome(s, f"stream: {result}", changed=enabled)
    return missing
