"""``cruddur db migrate``, ``rollback``, ``migration-status`` and ``new-migration``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ... import output, times
from ...errors import BadInput, Exit
from ...output.text import counted
from ...settings import Settings
from ..shared import completions
from ..shared.options import STATEMENT_TIMEOUT, command

if TYPE_CHECKING:
    from psycopg import Connection

    from ...postgres.connection import Server
    from ...postgres.migrations.files import Migration
    from ...postgres.migrations.runner import Status


@dataclass(frozen=True)
class NewMigration:
    """The migration that was written: its version, its name and its file."""

    version: str
    name: str
    file: str


@command(shows=True, changes=True, waits=True, reports=True, also=STATEMENT_TIMEOUT)
def migrate(
    s: Settings,
    mark_applied: Annotated[
        str | None,
        typer.Option(
            "--mark-applied",
            metavar="VERSION",
            autocompletion=completions.versions,
            help="Record this migration as applied without running it.",
        ),
    ] = None,
    redo: Annotated[
        str | None,
        typer.Option(
            "--redo",
            metavar="VERSION",
            autocompletion=completions.versions,
            help="Run this migration again although it is recorded as applied.",
        ),
    ] = None,
) -> None:
    """Apply pending migrations, oldest first. Each runs in its own transaction.

    A failed migration is rolled back; earlier ones stay applied. Two people may run `db migrate` at the same time: each
    migration is applied once.

    cruddur db migrate
    """
    from ...postgres.migrations import runner as migration_runner
    from ..shared import connections, migration_step, targets

    if mark_applied is not None and redo is not None:
        raise BadInput("--mark-applied and --redo exclude each other.", hint="give one of them")
    folder, files = _files(s)
    at = targets.server(s)
    with connections.postgres(s, changes=True, at=at) as conn:
        if mark_applied is not None:
            _mark(s, conn, files, mark_applied)
            return
        if redo is not None:
            rows = [_redo(s, conn, files, redo, at)]
        elif s.dry_run:
            rows = migration_runner.pending(conn, files)
            versions = {row.version for row in rows}
            migration_step.report_code(s, [migration for migration in files if migration.version in versions])
        else:
            rows = migration_step.migrate(s, conn, at, files)
    output.show(
        s, rows, record=migration_runner.Status, extra={"applied": 0 if s.dry_run else len(rows), "dry_run": s.dry_run}
    )
    what = f"{counted(len(rows), 'migration')} {'would be ' * s.dry_run}applied"
    outcome = what if rows else f"nothing is pending: {counted(len(files), 'migration')} in {folder}"
    output.outcome(s, outcome, changed=bool(rows))


def _redo(s: Settings, conn: Connection[Any], files: list[Migration], version: str, at: Server) -> Status:
    from ...postgres.migrations import files as migration_files
    from ...postgres.migrations import runner as migration_runner

    if not s.dry_run:
        return migration_runner.redo(conn, files, version, server=at, say=lambda text: output.note(s, text))
    migration_files.up(migration_runner.find(files, version))
    return _row(conn, files, version)


def _mark(s: Settings, conn: Connection[Any], files: list[Migration], version: str) -> None:
    """Record one migration as applied, and show its new state."""
    from ...postgres.migrations import runner as migration_runner

    migration_runner.find(files, version)
    if s.dry_run:
        is_marked = _row(conn, files, version).state != "applied"
    else:
        is_marked = migration_runner.mark_applied(conn, files, version, say=lambda text: output.note(s, text))
    is_written = is_marked and not s.dry_run
    output.show(s, [_row(conn, files, version)], extra={"applied": 0, "marked": int(is_written), "dry_run": s.dry_run})
    would = "would be " if s.dry_run else ""
    outcome = f"{version}: {would}recorded as applied" if is_marked else f"{version}: recorded as applied already"
    output.outcome(s, outcome, changed=is_marked)


def _row(conn: Connection[Any], files: list[Migration], version: str) -> Status:
    from ...postgres.migrations import runner as migration_runner

    return next(row for row in migration_runner.status(conn, files) if row.version == version)


@command(shows=True, waits=True, reports=True)
def migration_status(s: Settings) -> int:
    """List each migration and its state. Exit code 1 if a migration is pending.

    States: applied, pending, and adopted. An adopted migration was recorded by another program, such as the
    application's own script, and cruddur did not see it run.
    """
    from ...postgres.migrations import files as migration_files
    from ...postgres.migrations import runner as migration_runner
    from ..shared import connections, load_sql

    folder = load_sql.find_migrations(s)
    files = migration_files.find(folder) if folder is not None and folder.exists() else []
    with connections.postgres(s) as conn:
        rows = migration_runner.status(conn, files)
    count = {state: sum(row.state == state for row in rows) for state in ("applied", "pending", "adopted")}
    output.show(s, rows, record=migration_runner.Status, extra=count)
    for row in rows:
        if row.version not in {migration.version for migration in files}:
            output.warn(f"{row.version} {row.name} was applied, and its file is not in {folder or 'a folder here'}")
    if count["adopted"]:
        output.note(
            s,
            f"{count['adopted']} adopted: recorded by another program. If the database lacks one: "
            "cruddur db migrate --redo VERSION",
        )
    none_pending = "nothing is pending" if files else "nothing is pending: there are no migrations here"
    if count["pending"]:
        output.note(s, f"{count['pending']} pending: cruddur db migrate")
    else:
        output.unchanged(s, none_pending)
    return Exit.NO if count["pending"] else Exit.DONE


@command(shows=True, changes=True)
def new_migration(
    s: Settings,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the migration does, such as add_bio_column.")],
) -> None:
    """Create the file of a new migration. It has an empty up part and an empty down part.

    cruddur db new-migration add_bio_column
    """
    from ...postgres.migrations import files as migration_files

    folder, files = _files(s)
    migration = migration_files.create(folder, name, now_ns=times.now_ns(), existing=files, dry_run=s.dry_run)
    written = NewMigration(migration.version, migration.name, str(migration.path))
    output.show(s, [written], draw=output.details, extra={"written": int(not s.dry_run), "dry_run": s.dry_run})
    output.done(s, f"migration {migration.version}: {'would be ' * s.dry_run}created")
    output.note(s, "Fill in its up part and its down part, then: cruddur db migrate")


@command(shows=True, changes=True, asks=True, waits=True, also=STATEMENT_TIMEOUT)
def rollback(
    s: Settings,
    steps: Annotated[
        int | None,
        typer.Option("--steps", metavar="N", min=1, help="Roll back the N newest migrations. Default: 1."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="VERSION",
            autocompletion=completions.versions,
            help="Roll back every migration that is newer than this one; 0 rolls back all.",
        ),
    ] = None,
) -> None:
    """Roll back the newest applied migration, or several. Each in its own transaction. Asks first.

    cruddur db rollback --to 16811528612904313
    """
    from ...postgres import database, locks, production_marker
    from ...postgres.migrations import runner as migration_runner
    from ..shared import confirm, connections, targets

    if steps is not None and to is not None:
        raise BadInput("--steps and --to exclude each other.", hint="give one of them")
    _, files = _files(s)
    at = targets.server(s)
    connections.acting_on(s, at)
    with connections.postgres(s, at=at) as conn:
        to_undo = migration_runner.to_undo(conn, files, steps=steps or 1, to=to)
        applied = [row.version for row in migration_runner.status(conn, files) if row.state != "pending"]
        if to_undo and not s.dry_run:
            if not s.prod:
                production_marker.refuse(conn, at.label)
            with locks.guarded(conn, at):
                contents = database.named(database.filled(database.rows(conn)))
            conn.commit()  # no transaction stays open during the question
            what = f"Everything that {_named(to_undo)} created in {at.label}"
            losing = f"the database holds {contents}"
            confirm.destroy(s, what=what, name=at.database, losing=losing, remote=targets.is_foreign(at))
        if s.dry_run:
            versions = {migration.version for migration in to_undo}
            rows = [row for row in migration_runner.status(conn, files) if row.version in versions][::-1]
        else:
            rows = migration_runner.rollback(
                conn,
                files,
                undo=to_undo,
                server=at,
                say=lambda text: output.note(s, text),
                done=lambda one: output.done(s, f"{one.version} {one.name}: rolled back"),
            )
    output.show(
        s,
        rows,
        record=migration_runner.Status,
        extra={"rolled_back": 0 if s.dry_run else len(rows), "dry_run": s.dry_run},
    )
    what = f"{counted(len(rows), 'migration')} {'would be ' * s.dry_run}rolled back"
    reason = f"the newest migration that is applied is {applied[-1]}" if applied else "no migration is applied"
    output.outcome(s, what if rows else f"nothing to roll back: {reason}", changed=bool(rows))


def _files(s: Settings) -> tuple[Path, list[Migration]]:
    from ...postgres.migrations import files as migration_files
    from ..shared import load_sql

    folder = load_sql.migrations(s)
    return folder, migration_files.find(folder) if folder.exists() else []


def _named(migrations: Sequence[Migration]) -> str:
    names = [f"{migration.version} {migration.name}".strip() for migration in migrations]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
