"""Owns the steps that the ``setup`` commands share.

A step creates what is missing, destroys nothing, and prints its result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
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
# The modules that run SQL files are imported by the steps that need them, because ddb commands import this module.
_ANY_UUID = "00000000-0000-0000-0000-000000000000"


def check_all(
    s: Settings, at: connection.Server, dynamodb: DynamoDB, lines: list[Line], source: str, *, scripts: load_sql.Scripts
) -> None:
    """Raise the errors that would stop a set-up half-way: a table of another schema, a line too long, a missing person.

    The database need not exist. A table that is marked as production was refused when it was opened.
    """
    check_schema(s, dynamodb)
    _check_people(s, at, scripts)
    pair = (Person(_ANY_UUID, s.my_handle, s.my_handle), Person(_ANY_UUID, s.other_handle, s.other_handle))
    seed.check(lines, pair, group=SEEDED_GROUP, source=source, now=times.now())


def _check_people(s: Settings, at: connection.Server, scripts: load_sql.Scripts) -> None:
    """Raise NotFound where a handle that is set is neither in the database nor in the seed that would be loaded."""
    is_fixed = s.prod or targets.is_foreign(at)
    try:
        with connections.postgres(s, at=at) as conn:
            users.require_columns(conn)
            if "users" not in database.missing_tables(conn) and users.handles(conn):
                if len(users.first(conn, 2)) < 2 and not is_fixed:
                    return  # the set-up skips the conversation, and prints the reason
                people.check_pair(s, conn, at)
                return
    except NotFound as error:
        if error.code != "database_not_found":
            raise
    set_handles = [name for name in ("my_handle", "other_handle") if is_fixed or s.origins[name] != "default"]
    seed = scripts.seed if set_handles else None
    for name in set_handles:
        handle = str(getattr(s, name)).removeprefix("@")
        if seed is not None and handle not in seed.text:
            raise NotFound(
                f"There is no user {handle!r}: {at.label} has no users yet, and {seed.source} does not name this one.",
                hint="name a person of the seed file with --my-handle and --other-handle",
                code="user_not_found",
            )


def make_database(
    s: Settings,
    at: connection.Server,
    steps: list[Step],
    planned: migration_step.MigrationPlan,
    *,
    is_reset: bool = False,
    scripts: load_sql.Scripts | None = None,
    check: Callable[[Connection[Any]], object] | None = None,
) -> bool:
    """Create the database, its tables and the seeded users; returns whether the tables exist afterwards.

    They do not in a dry run that would create them. ``is_reset`` says that the database was just dropped, or in a dry
    run would have been. Raises the errors of the schema and the seed file, and those of ``check``, which is called
    after seeding. Then nothing is changed, and a database that was created is dropped again.
    """
    from . import load_sql

    scripts = scripts or load_sql.Scripts(s)
    if not is_reset:
        connections.acting_on(s, at)
        _report_other_checkout(s, at)
    would = "would be " if s.dry_run else ""
    try:
        with connection.opened_maintenance(at) as conn:
            for name in () if s.dry_run else try_database.drop_stale(conn, at):
                output.note(s, f"database {name}: dropped; a killed command created it to try the SQL files")
            exists = database.exists(conn, at.database) and not (is_reset and s.dry_run)
            if not exists:  # files that cannot be used are refused before anything is created
                migration_step.check(planned, None)
                assert scripts.schema
                assert scripts.seed
            is_created = not exists and not s.dry_run and database.create(conn, at.database)
    except NotFound:  # without a maintenance database, the named one has to exist
        exists, is_created = True, False
    of_database = Step(
        f"database {at.database}", "exists" if exists else f"{would}created", changed=is_created or not exists
    )
    if s.dry_run and not exists:
        for step in (of_database, Step("tables", "would be created", True), Step("users", "would be seeded", True)):
            done(s, steps, step.step, step.result, changed=step.changed)
        return False
    if exists and not is_reset:
        migration_step.confirm(s, at, planned)
    try:
        loaded = _load(s, at, planned, scripts, check)
    except CannotConnect:
        raise
    except CruddurError as error:
        raise error.adding(_undo(at, is_created=is_created)) from error
    _note_checkout(s, at)
    for step in (of_database, *loaded):
        done(s, steps, step.step, step.result, changed=step.changed)
    return not (s.dry_run and any(step.changed and step.step == "tables" for step in loaded))


def _report_other_checkout(s: Settings, at: connection.Server) -> None:
    """Print that other checkouts use this embedded stack too, unless this checkout was set up in it before."""
    from . import load_sql

    checkout = load_sql.checkout(Path.cwd()) if at.embedded else None
    others = [] if checkout is None else home.other_checkouts(home.locate(), checkout)
    if others:
        rest_text = f" and {len(others) - 1:,} more" if len(others) > 1 else ""
        output.note(
            s,
            f"the embedded stack in {home.locate()} is also that of {others[-1]}{rest_text}; for a stack of its own:"
            " `home` in [local] of cruddur.toml",
        )


def _note_checkout(s: Settings, at: connection.Server) -> None:
    from . import load_sql

    checkout = load_sql.checkout(Path.cwd()) if at.embedded and not s.dry_run else None
    if checkout is not None:
        with suppress(OSError, CruddurError):
            home.note_checkout(home.locate(), checkout)


def _load(
    s: Settings,
    at: connection.Server,
    planned: migration_step.MigrationPlan,
    scripts: load_sql.Scripts,
    check: Callable[[Connection[Any]], object] | None,
) -> list[Step]:
    """Create the tables and the users that are missing, in one transaction; returns the steps after the commit."""
    from ...postgres import locks
    from . import expected_schema, load_sql

    definitions: dict[str, str] | None = None
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
            definitions = expected_schema.described(conn) if was_empty else None
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
        elif not empty:
            _report_other_schema(s, at, conn, planned)
        missing_tables = [name for name in missing if name not in database.BOOKKEEPING]  # created when they are needed
        if missing_tables and not empty:
            output.warn(
                f"{at.label} lacks {', '.join(missing_tables)}; "
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
        if definitions is not None:
            expected_schema.store(conn, scripts.schema, planned.files, definitions)
        if s.prod and not s.dry_run:
            production_marker.write(conn)
    would = "would be " if s.dry_run else ""
    of_tables = f"{would}created" if empty else f"missing: {', '.join(missing_tables)}" if missing_tables else "exist"
    return [Step("tables", of_tables, empty), Step("users", result, changed)]


def _report_other_schema(
    s: Settings, at: connection.Server, conn: Connection[Any], planned: migration_step.MigrationPlan
) -> None:
    """Print that the database may have other tables than this checkout's schema file, unless they are known to fit."""
    from . import expected_schema, load_sql

    path = None
    if not s.prod and not targets.is_foreign(at):
        with suppress(NotConfigured):  # several files are possible: only what loads one has to know which
            path = load_sql.locate(s, load_sql.SCHEMA)
    if path is not None and expected_schema.stored(s, expected_schema.applied(conn, planned.files)) is None:
        output.note(
            s, f"the tables were not created from {path} as it is now: `cruddur db diff` shows whether they differ"
        )


def _undo(at: connection.Server, *, is_created: bool) -> str:
    """Drop the database that was created for a load that failed; returns the sentence for the error: what has changed.

    A database that another session uses already is kept.
    """
    from . import load_sql

    if not is_created:
        return load_sql.NOTHING
    try:
        with connection.opened_maintenance(at) as conn:
            database.drop(conn, at.database, force=False)
    except CruddurError:
        return f"The database {at.database} was created and is empty; nothing else was changed."
    return load_sql.NOTHING


def refuse_mock_data(s: Settings, conn: Connection[Any], at: connection.Server) -> None:
    """Raise Protected where the database is marked as production and the command has no ``--prod``."""
    if not s.prod:
        production_marker.refuse(conn, at.label)


def make_pool(s: Settings, steps: list[Step]) -> None:
    """Create the demo user pool with the people of the database, where the settings name no pool.

    It is skipped without the extra ``local``: if both stores are the user's own servers, nothing else needs the extra.
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
        pool, is_created = user_pool.make_demo_pool(client, at)
        output.acting(s, f"user pool {user_pool.DEMO_POOL}, {at.label} at {at.url}")
        added = 0 if s.dry_run else user_pool.add_people(user_pool.Cognito(client, at, pool), everyone)
        done(
            s,
            steps,
            "demo user pool",
            (f"{counted(added, 'person', 'people')} added" if added else "created" if is_created else "exists")
            + f"; password {user_pool.DEMO_PASSWORD}",
            changed=is_created or added > 0,
        )


def sync(
    s: Settings, *, create: bool = False, is_announced: bool = False
) -> tuple[list[users.SyncResult], list[user_pool.Identity]]:
    """Write the subs of the user pool into the database.

    Returns the result for each person, and the identities without a handle, which are skipped. ``create`` adds the
    people who are only in Cognito. ``is_announced`` is for a set-up that has already printed which stores it changes.
    The pool is read first, so that no transaction waits for it.
    """
    pool_at = targets.pool_endpoint(s)
    return _write_ids(
        s, pool_at, _read_pool(s, pool_at, is_announced=is_announced), create=create, is_announced=is_announced
    )


def _read_pool(s: Settings, at: aws_client.Endpoint, *, is_announced: bool) -> list[user_pool.Identity]:
    """All users of the pool.

    With ``is_announced`` the demo pool is not printed: the set-up did it when it filled the pool.
    """
    with connections.cognito(s, at=at) as cognito:
        pool_name = f"{user_pool.DEMO_POOL}, {at.label} at {at.url}" if at.embedded else f"{cognito.pool}, {at.label}"
        if not (is_announced and at.embedded):
            output.note(s, f"read: user pool {pool_name}")
        return list(user_pool.identities(cognito))


def _write_ids(
    s: Settings, pool_at: aws_client.Endpoint, identities: list[user_pool.Identity], *, create: bool, is_announced: bool
) -> tuple[list[users.SyncResult], list[user_pool.Identity]]:
    """Write the subs of identities that were read; returns the values of ``sync``."""
    at = targets.server(s)
    # The ids of the demo pool exist only there, so in another database they replace only MOCK.
    is_demo_only = pool_at.embedded and not at.embedded
    subs = [(identity.handle, identity.sub) for identity in identities]
    with connections.postgres(s, changes=not is_announced, at=at) as conn:
        if pool_at.embedded:  # ids of the demo are never compared with production's, not even in a dry run
            refuse_mock_data(s, conn, at)
        results = users.sync_cognito_ids(conn, subs, only_mock=is_demo_only, dry_run=s.dry_run)
        if create:
            added = _create(s, conn, identities, {row.handle for row in results if row.result == "no such user"})
            results = [replace(row, result="created") if row.handle in added else row for row in results]
        other_ids = users.with_other_ids(conn, results) if is_demo_only else 0
    if other_ids:
        output.note(
            s,
            f"{counted(other_ids, 'person keeps', 'people keep')} a Cognito id of another pool: only MOCK is replaced",
        )
    return results, [identity for identity in identities if identity.handle is None]


def _create(
    s: Settings, conn: Connection[Any], identities: list[user_pool.Identity], unknown: set[str | None]
) -> set[str]:
    """Add the people who are only in Cognito; returns their handles.

    A handle that differs from another one only in case is not added.
    """
    known_handles = users.handles(conn)
    new_people: dict[str, tuple[str, str, str | None]] = {}
    for identity in identities:
        if not identity.handle or identity.handle not in unknown:
            continue
        similar = users.near_handle(identity.handle, (*known_handles, *new_people))
        if similar is None:
            new_people[identity.handle] = (identity.handle, identity.sub, identity.email)
        else:
            output.note(s, f"not added: {identity.handle} differs from {similar} in case only")
    return set(new_people) if s.dry_run else users.create_missing(conn, new_people.values())


def sync_step(s: Settings, steps: list[Step], *, starts: bool = True) -> CruddurError | None:
    """Write the Cognito ids as one step of a set-up. Skipped without a pool, or without credentials for the pool.

    Returns the error of an AWS pool that cannot be read; the set-up does the rest, then raises it. Without ``starts``
    the embedded Cognito is not started for this step.
    """
    is_named = s.prod or s.cognito_endpoint or s.aws_endpoint or s.user_pool_id
    if s.prod and not s.user_pool_id and not starts:  # `db setup` needs no user pool
        return None
    at = targets.pool_endpoint_if_any(s) if is_named or starts or stack.aws_endpoint() else None
    if at is None:
        done(s, steps, "Cognito ids", "skipped, because there is no user pool", changed=False)
        return None
    if s.dry_run and any(step.changed for step in steps):
        done(s, steps, "Cognito ids", "would be synced", changed=True)
        return None
    try:
        identities = _read_pool(s, at, is_announced=True)
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
        results, _ = _write_ids(s, at, identities, create=False, is_announced=True)
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
    """Print why the sync is skipped, and which command does it later."""
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
    """Create the table and the seeded conversation; ``pair`` is None in a dry run where the people do not exist yet.

    ``too_few`` says why there are no two people for the conversation; then it is skipped.
    """
    is_created = make_table(s, dynamodb)
    would = "would be " if s.dry_run else ""
    done(s, steps, f"table {s.table}", f"{would}created" if is_created else "exists", changed=is_created)
    if too_few is not None:
        done(s, steps, "conversation", f"skipped. {too_few}", changed=False)
        output.note(s, "  later: cruddur db add-user HANDLE, then cruddur setup")
        return
    if pair is None or (is_created and s.dry_run):
        done(s, steps, "conversation", "would be seeded", changed=True)
        return
    if _is_guess(s, pair) and seeding.kept_for_a_deleted_person(s, dynamodb, pair):
        reason = f"{SEEDED_GROUP} is with a person who is no longer in the database, and people have written in it"
        done(s, steps, "conversation", f"skipped. {reason}", changed=False)
        output.note(
            s,
            "  add the person again (cruddur doctor names the command), or seed another conversation: cruddur ddb seed",
        )
        return
    rows = seeding.seed_conversation(s, dynamodb, seeding.SeedPlan(lines, source, pair, len(lines)))
    result = seed_result(rows, would)
    done(s, steps, "conversation", result or "exists", changed=bool(result))


def _is_guess(s: Settings, pair: tuple[Person, Person]) -> bool:
    """Whether one of the two is not from the settings or a default, but one of the first people of the database."""
    names = zip(("my_handle", "other_handle"), pair, strict=True)
    return any(s.origins[name] == "default" and getattr(s, name) != person.handle for name, person in names)


def seed_result(rows: Sequence[Seeded], would: str) -> str:
    """What seeding changed, in words: messages, or group rows where no message changed. Empty if nothing changed."""
    messages, groups = rows
    if messages.written:
        older = f", {messages.deleted:,} with another time {would}deleted" if messages.deleted else ""
        return f"{counted(messages.written, 'message')} {would}written{older}"
    if messages.deleted:
        return f"{counted(messages.deleted, 'message')} {would}deleted"
    changed = max(groups.written, groups.deleted)
    return f"{counted(changed, 'group row')} {would}{'written' if groups.written else 'deleted'}" if changed else ""


def check_schema(s: Settings, dynamodb: DynamoDB) -> None:
    """Raise Incomplete where the table exists with another schema than the application expects."""
    try:
        differences = tables.differences(tables.describe(dynamodb))
    except NotFound:
        return
    if differences:
        raise Incomplete(
            f"Table {s.table!r} exists with another schema than the application expects.",
            details="\n".join(differences),
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
    """Create the table and wait until it is ready; with ``on_demand`` and ``stream`` also change an existing one.

    Returns whether it was created, or in a dry run would be. ``like`` has the settings of the table that it replaces.
    Raises Incomplete for a table with another schema, and Refused for one whose stream has another view.
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
