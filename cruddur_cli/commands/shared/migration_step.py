"""The migrations as a step of a set-up: read and checked before anything is made, applied after the seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ... import output
from ...errors import CruddurError, NotFound, Refused
from ...output.text import counted
from ...postgres import database
from ...postgres.connection import Server
from ...postgres.migrations import files as migration_files
from ...postgres.migrations import runner as migration_runner
from ...postgres.migrations.files import Migration
from ...settings import Settings
from . import connections, load_sql, targets
from .steps import Step, done

if TYPE_CHECKING:
    from psycopg import Connection


@dataclass(frozen=True)
class Plan:
    """The checkout's migrations, and whether this set-up applies those that are pending."""

    files: tuple[Migration, ...]
    is_applied: bool


def plan(s: Settings, at: Server, *, wanted: bool) -> Plan:
    """What a set-up of this database does with migrations; a checkout without their folder has none.

    With --prod and on a remote host they are only counted: there `db migrate` is a decision of its own.
    """
    folder = load_sql.find_migrations(s)
    found = migration_files.find(folder) if folder is not None and folder.exists() else []
    return Plan(tuple(found), wanted and not s.prod and not targets.is_foreign(at))


def check(planned: Plan, conn: Connection[Any] | None) -> None:
    """Load the files that the set-up will apply: all of them where there is no database yet.

    Raises BadInput for one that cannot be run here, before anything is made.
    """
    if not planned.is_applied:
        return
    if conn is not None:
        migration_runner.pending(conn, planned.files)
        return
    for migration in planned.files:
        migration_files.up(migration)


def tell_of_code(s: Settings, read: Iterable[Migration]) -> None:
    """Say in a dry run that it ran code: a Python migration has to run before its SQL can be read."""
    number = sum(one.path.suffix == ".py" for one in read)
    if s.dry_run and number:
        output.note(s, f"the Python code of {counted(number, 'migration')} was run to read the SQL")


def rehearse(s: Settings, conn: Connection[Any], at: Server, planned: Plan) -> None:
    """Try the migrations on a schema that was loaded and seeded just now, in its transaction, and take them back.

    One that the schema contains already is recorded as applied. A warning says which seeded rows the migrations delete.
    Raises Refused for one that fails, or where they drop public.users, so that nothing of the set-up is committed.
    """
    if not planned.is_applied:
        return
    before = database.rows(conn)

    def look() -> None:
        if "users" in database.missing_tables(conn):
            raise NotFound(
                "The migrations drop the table public.users, which every command needs.", code="table_missing"
            )
        lost = database.more(database.rows(conn), before)
        if lost:
            again = "; `cruddur db seed` adds them again" if not database.missing_tables(conn) else ""
            output.warn(f"the migrations delete rows that were just seeded: {database.named(lost)}{again}")

    try:
        contained = migration_runner.rehearse(conn, planned.files, server=at, look=look)
    except Refused as error:
        later = error.hint.replace("cruddur", "then cruddur") if error.hint else "then correct the file"
        raise Refused(
            error.message,
            hint=f"`--no-migrate` sets up the rest; {later}",
            code=error.code,
            details=error.details,
            fields=error.fields,
        ) from error
    for migration in contained:
        migration_runner.mark_applied(conn, planned.files, migration.version)
        name = f"{migration.version} {migration.name}".strip()
        output.note(s, f"{name}: the schema contains it already; recorded as applied")


def apply(s: Settings, at: Server, steps: list[Step], planned: Plan, *, has_tables: bool) -> int:
    """Apply what is pending, as one step; how many migrations the set-up leaves pending.

    ``has_tables`` is False in a dry run of a database that does not exist yet or is empty.
    """
    if not planned.files:
        return 0
    found, adopted = len(planned.files), 0
    if has_tables:
        with connections.postgres(s, at=at) as conn:
            states = [row.state for row in migration_runner.status(conn, planned.files)]
            found, adopted = states.count("pending"), states.count("adopted")
            if found and planned.is_applied and not s.dry_run:
                found = len(migrate(s, conn, at, planned.files))
    is_left = found > 0 and not planned.is_applied
    would = "would be " if s.dry_run else ""
    if planned.is_applied and found:
        tell_of_code(s, planned.files)
    result = f"{found} pending" if is_left else f"{found} {would}applied" if found else "none is pending"
    result += f" ({adopted} adopted: `cruddur db migration-status`)" if adopted else ""
    done(s, steps, "migrations", result, changed=found > 0 and not is_left)
    return found if is_left else 0


def migrate(
    s: Settings, conn: Connection[Any], at: Server, files: Sequence[Migration]
) -> list[migration_runner.Status]:
    """Apply what is pending. Where the schema was as expected before, it is kept as what is expected now."""
    from . import expected_schema

    is_met = expected_schema.is_met(s, conn, files)
    done = migration_runner.migrate(conn, files, server=at, say=lambda text: output.note(s, text))
    if is_met:
        expected_schema.keep_migrated(s, conn, files)
    return done


def report(s: Settings, steps: list[Step], pending: int, unsynced: CruddurError | None) -> None:
    """The last lines of a set-up: that nothing had to be done, or how many migrations it left.

    Raises ``unsynced``, the error of a user pool that could not be read.
    """
    if pending:
        command = f"cruddur db migrate{' --prod' if s.prod else ''}"
        output.note(s, f"{counted(pending, 'migration')} {'is' if pending == 1 else 'are'} pending: {command}")
    elif unsynced is None and not any(step.changed for step in steps):
        output.unchanged(s, "Nothing had to be done: everything exists already.")
    if unsynced is not None:
        raise unsynced
