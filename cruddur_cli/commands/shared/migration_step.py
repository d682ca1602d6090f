"""Owns the migrations of a set-up: they are checked before anything is created, and applied after the seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ... import output
from ...errors import CruddurError, NotFound, Protected, Refused
from ...output.text import counted
from ...postgres import database, locks, production_marker
from ...postgres.connection import Server
from ...postgres.migrations import files as migration_files
from ...postgres.migrations import runner as migration_runner
from ...postgres.migrations.files import Migration
from ...settings import Settings
from . import confirm as confirming
from . import connections, load_sql, targets
from .steps import Step, done

if TYPE_CHECKING:
    from psycopg import Connection


@dataclass(frozen=True)
class MigrationPlan:
    """The checkout's migrations, and whether this set-up applies those that are pending."""

    files: tuple[Migration, ...]
    is_applied: bool


def plan(s: Settings, at: Server, *, wanted: bool) -> MigrationPlan:
    """What a set-up of this database does with the migrations of the checkout.

    A checkout without their folder has none.

    With ``--prod`` and on a remote host they are only counted: there the user runs ``db migrate``.
    """
    folder = load_sql.find_migrations(s)
    files = migration_files.find(folder) if folder is not None and folder.exists() else []
    return MigrationPlan(tuple(files), wanted and not s.prod and not targets.is_foreign(at))


def check(planned: MigrationPlan, conn: Connection[Any] | None) -> None:
    """Load the migrations that the set-up will apply, before anything is created; all of them for a new database.

    Raises BadInput for a migration that cannot be run here.
    """
    if not planned.is_applied:
        return
    if conn is not None:
        migration_runner.pending(conn, planned.files)
        return
    for migration in planned.files:
        migration_files.up(migration)


def confirm(s: Settings, at: Server, planned: MigrationPlan) -> None:
    """Ask if the pending migrations would delete rows or columns of an existing database. Raises Protected.

    A dry run only prints the question's sentence. Overwritten rows are not asked about, because a migration may
    overwrite rows to fill a column.
    """
    if not (planned.is_applied and planned.files):
        return
    # A dry run needs a writable connection, too; everything is rolled back.
    with connections.postgres(s, at=replace(at, read_only=False)) as conn, locks.guarded(conn, at):
        if "users" in database.missing_tables(conn):
            return
        production_marker.refuse(conn, at.label)
        locks.take(conn, say=lambda text: output.note(s, text))
        effects = migration_runner.losses(conn, planned.files, server=at)
    lost = replace(effects, losses=tuple(loss for loss in effects.losses if loss.deleted or loss.columns))
    if not lost:
        return
    sentence = f"Pending migrations delete rows or columns of {at.label}: {lost}."
    if s.dry_run:
        output.note(s, sentence)
        return
    try:
        confirming.agree(s, sentence, name=at.database, remote=False, losing=str(lost))
    except Protected as error:
        hint = f"{error.hint}, or --no-migrate to leave the migrations out" if error.hint else None
        raise error.changed(hint=hint) from error


def report_code(s: Settings, loaded: Iterable[Migration]) -> None:
    """Print in a dry run that code was run: a Python migration has to run before its SQL is known."""
    number = sum(migration.path.suffix == ".py" for migration in loaded)
    if s.dry_run and number:
        output.note(s, f"the Python code of {counted(number, 'migration')} was run to read the SQL")


def rehearse(s: Settings, conn: Connection[Any], at: Server, planned: MigrationPlan) -> None:
    """Try the migrations on a schema that was just loaded and seeded, in its transaction, and roll them back.

    A migration whose changes the schema contains already is recorded as applied. A warning names seeded rows that the
    migrations delete. Raises Refused for a migration that fails and NotFound where they drop ``public.users``; then
    nothing of the set-up is committed.
    """
    if not planned.is_applied:
        return
    rows_before = database.rows(conn)

    def check_result() -> None:
        if "users" in database.missing_tables(conn):
            raise NotFound(
                "The migrations drop the table public.users, which every command needs.", code="table_missing"
            )
        deleted = database.more(database.rows(conn), rows_before)
        if deleted:
            seed_hint = "; `cruddur db seed` adds them again" if not database.missing_tables(conn) else ""
            output.warn(f"the migrations delete rows that were just seeded: {database.named(deleted)}{seed_hint}")

    try:
        contained = migration_runner.rehearse(conn, planned.files, server=at, look=check_result)
    except Refused as error:
        next_step = error.hint.replace("cruddur", "then cruddur") if error.hint else "then correct the file"
        raise Refused(
            error.message,
            hint=f"`--no-migrate` sets up the rest; {next_step}",
            code=error.code,
            details=error.details,
            fields=error.fields,
        ) from error
    for migration in contained:
        migration_runner.mark_applied(conn, planned.files, migration.version)
        name = f"{migration.version} {migration.name}".strip()
        output.note(s, f"{name}: the schema contains it already; recorded as applied")


def apply(s: Settings, at: Server, steps: list[Step], planned: MigrationPlan, *, has_tables: bool) -> int:
    """Apply the pending migrations as one step; returns how many migrations are still pending.

    ``has_tables`` is False in a dry run for a database that does not exist yet or is empty.
    """
    if not planned.files:
        return 0
    number, adopted = len(planned.files), 0
    if has_tables:
        with connections.postgres(s, at=at) as conn:
            states = [row.state for row in migration_runner.status(conn, planned.files)]
            number, adopted = states.count("pending"), states.count("adopted")
            if number and planned.is_applied and not s.dry_run:
                number = len(migrate(s, conn, at, planned.files))
    are_pending = number > 0 and not planned.is_applied
    would = "would be " if s.dry_run else ""
    if planned.is_applied and number:
        report_code(s, planned.files)
    result = f"{number} pending" if are_pending else f"{number} {would}applied" if number else "none is pending"
    result += f" ({adopted} adopted: `cruddur db migration-status`)" if adopted else ""
    done(s, steps, "migrations", result, changed=number > 0 and not are_pending)
    return number if are_pending else 0


def migrate(
    s: Settings, conn: Connection[Any], at: Server, files: Sequence[Migration]
) -> list[migration_runner.Status]:
    """Apply the pending migrations; returns their status.

    If the database had the expected schema before, its new schema is stored as the expected one.
    """
    from . import expected_schema

    is_met = expected_schema.is_met(s, conn, files)
    applied = migration_runner.migrate(
        conn,
        files,
        server=at,
        say=lambda text: output.note(s, text),
        done=lambda one: output.done(s, f"{one.version} {one.name}: applied"),
    )
    if is_met:
        expected_schema.store_migrated(s, conn, files)
    return applied


def report(s: Settings, steps: list[Step], pending: int, unsynced: CruddurError | None) -> None:
    """Print the last lines of a set-up: that nothing had to be done, or how many migrations are pending.

    Raises ``unsynced``, the error of a user pool that could not be read.
    """
    if pending:
        command = f"cruddur db migrate{' --prod' if s.prod else ''}"
        output.note(s, f"{counted(pending, 'migration')} {'is' if pending == 1 else 'are'} pending: {command}")
    elif unsynced is None and not any(step.changed for step in steps):
        output.unchanged(s, "Nothing had to be done: everything exists already.")
    if unsynced is not None:
        raise unsynced
