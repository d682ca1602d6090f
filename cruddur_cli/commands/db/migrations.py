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
class Written:
    """A migration that was written: its number, its name, its file."""

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
    folder, found = _found(s)
    at = targets.server(s)
    with connections.postgres(s, changes=True, at=at) as conn:
        if mark_applied is not None:
            _mark(s, conn, found, mark_applied)
            return
        if redo is not None:
            done = [_redo(s, conn, found, redo, at)]
        elif s.dry_run:
            done = migration_runner.pending(conn, found)
            versions = {row.version for row in done}
            migration_step.report_code(s, [one for one in found if one.version in versions])
        else:
            done = migration_step.migrate(s, conn, at, found)
    output.show(
        s, done, record=migration_runner.Status, extra={"applied": 0 if s.dry_run else len(done), "dry_run": s.dry_run}
    )
    what = f"{counted(len(done), 'migration')} {'would be ' * s.dry_run}applied"
    said = what if done else f"nothing is pending: {counted(len(found), 'migration')} in {folder}"
    output.outcome(s, said, changed=bool(done))


def _redo(s: Settings, conn: Connection[Any], found: list[Migration], version: str, at: Server) -> Status:
    from ...postgres.migrations import files as migration_files
    from ...postgres.migrations import runner as migration_runner

    if not s.dry_run:
        return migration_runner.redo(conn, found, version, server=at, say=lambda text: output.note(s, text))
    migration_files.up(migration_runner.find(found, version))
    return _row(conn, found, version)


def _mark(s: Settings, conn: Connection[Any], found: list[Migration], version: str) -> None:
    """Record one migration as applied, and show it as it is then."""
    from ...postgres.migrations import runner as migration_runner

    migration_runner.find(found, version)
    if s.dry_run:
        is_marked = _row(conn, found, version).state != "applied"
    else:
        is_marked = migration_runner.mark_applied(conn, found, version, say=lambda text: output.note(s, text))
    marked = is_marked and not s.dry_run
    output.show(s, [_row(conn, found, version)], extra={"applied": 0, "marked": int(marked), "dry_run": s.dry_run})
    would = "would be " if s.dry_run else ""
    said = f"{version}: {would}recorded as applied" if is_marked else f"{version}: recorded as applied already"
    output.outcome(s, said, changed=is_marked)


def _row(conn: Connection[Any], found: list[Migration], version: str) -> Status:
    from ...postgres.migrations import runner as migration_runner

    return next(row for row in migration_runner.status(conn, found) if row.version == version)


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
    found = migration_files.find(folder) if folder is not None and folder.exists() else []
    with connections.postgres(s) as conn:
        rows = migration_runner.status(conn, found)
    count = {state: sum(row.state == state for row in rows) for state in ("applied", "pending", "adopted")}
    output.show(s, rows, record=migration_runner.Status, extra=count)
    for row in rows:
        if row.version not in {migration.version for migration in found}:
            output.warn(f"{row.version} {row.name} was applied, and its file is not in {folder or 'a folder here'}")
    if count["adopted"]:
        output.note(
            s,
            f"{count['adopted']} adopted: recorded by another program. If the database lacks one: "
            "cruddur db migrate --redo VERSION",
        )
    nothing = "nothing is pending" if found else "nothing is pending: there are no migrations here"
    if count["pending"]:
        output.note(s, f"{count['pending']} pending: cruddur db migrate")
    else:
        output.unchanged(s, nothing)
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

    folder, found = _found(s)
    made = migration_files.create(folder, name, now_ns=times.now_ns(), existing=found, dry_run=s.dry_run)
    written = Written(made.version, made.name, str(made.path))
    output.show(s, [written], draw=output.details, extra={"written": int(not s.dry_run), "dry_run": s.dry_run})
    output.done(s, f"migration {made.version}: {'would be ' * s.dry_run}created")
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
    _, found = _found(s)
    at = targets.server(s)
    connections.acting_on(s, at)
    with connections.postgres(s, at=at) as conn:
        undo = migration_runner.to_undo(conn, found, steps=steps or 1, to=to)
        applied = [row.version for row in migration_runner.status(conn, found) if row.state != "pending"]
        if undo and not s.dry_run:
            if not s.prod:
                production_marker.refuse(conn, at.label)
            with locks.guarded(conn, at):
                held = database.named(database.filled(database.rows(conn)))
            conn.commit()  # no transaction stays open during the question
            what = f"Everything that {_named(undo)} created in {at.label}"
            losing = f"the database holds {held}"
            confirm.destroy(s, what=what, name=at.database, losing=losing, remote=targets.is_foreign(at))
        if s.dry_run:
            versions = {migration.version for migration in undo}
            done = [row for row in migration_runner.status(conn, found) if row.version in versions][::-1]
        else:
            done = migration_runner.rollback(conn, found, undo=undo, server=at, say=lambda text: output.note(s, text))
    output.show(
        s,
        done,
        record=migration_runner.Status,
        extra={"rolled_back": 0 if s.dry_run else len(done), "dry_run": s.dry_run},
    )
    what = f"{counted(len(done), 'migration')} {'would be ' * s.dry_run}rolled back"
    why = f"the newest migration that is applied is {applied[-1]}" if applied else "no migration is applied"
    output.outcome(s, what if done else f"nothing to roll back: {why}", changed=bool(done))


def _found(s: Settings) -> tuple[Path, list[Migration]]:
    from ...postgres.migrations import files as migration_files
    from ..shared import load_sql

    folder = load_sql.migrations(s)
    return folder, migration_files.find(folder) if folder.exists() else []


def _named(undo: Sequence[Migration]) -> str:
    named = [f"{migration.version} {migration.name}".strip() for migration in undo]
    more = f" and {len(named) - 5} more" if len(named) > 5 else ""
    return ", ".join(named[:5]) + more
