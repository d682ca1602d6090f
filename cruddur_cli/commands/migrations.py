"""``cruddur db migrate`` and its kin: what is written, applied, undone and pending."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from .. import output
from ..errors import BadInput, Exit
from ..output.text import counted
from ..postgres import database, locks, migration_files, migrations, stamp
from ..postgres.migration_files import Migration
from ..settings import Settings
from . import confirm, files, stores
from .options import command

# The short form of --dry-run is taken: rollback -n 2 undoes two.
_DRY_RUN = (Annotated[bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")], False)


@dataclass(frozen=True)
class Written:
    """A migration that was written: its number, its name, its file."""

    version: str
    name: str
    file: str


def register(app: typer.Typer) -> None:
    """Put the commands on ``cruddur db``."""
    _register_writing(app)
    _register_rollback(app)

    @command(app, shows=True, changes=True, waits=True)
    def migrate(s: Settings) -> None:
        """Apply the migrations that are pending, the oldest first, one transaction each.

        Of one that fails nothing has happened; those before it stay. Any number of these may run at once.
        """
        folder, found = _found(s)
        at = stores.server(s)
        with stores.postgres(s, changes=True, at=at) as conn:
            if s.dry_run:
                done = migrations.pending(conn, found)
            else:
                done = migrations.migrate(conn, found, server=at, say=lambda text: output.note(s, text))
        output.show(s, done, extra={"applied": 0 if s.dry_run else len(done), "dry_run": s.dry_run})
        what = f"{counted(len(done), 'migration')} {'would be ' * s.dry_run}applied"
        output.note(s, what if done else f"nothing is pending: {counted(len(found), 'migration')} in {folder}")

    @command(app, shows=True, waits=True)
    def migration_status(s: Settings) -> int:
        """Show each migration and when it was applied; exit code 1 when one is pending."""
        folder, found = _found(s)
        with stores.postgres(s) as conn:
            rows = migrations.status(conn, found)
        pending = sum(row.applied_at is None for row in rows)
        output.show(s, rows, extra={"applied": len(rows) - pending, "pending": pending})
        for row in rows:
            if row.version not in {migration.version for migration in found}:
                output.warn(f"{row.version} {row.name} was applied, and its file is not in {folder}")
        output.note(s, f"{pending} pending: cruddur db migrate" if pending else "nothing is pending")
        return Exit.NO if pending else Exit.DONE


def _register_writing(app: typer.Typer) -> None:
    @command(app, shows=True, changes=True)
    def new_migration(
        s: Settings, name: Annotated[str, typer.Argument(help="What it does, as in add_bio_column.")]
    ) -> None:
        """Write a new migration: a file of SQL with an up and a down part, to be filled in.

        cruddur db new-migration add_bio_column
        """
        folder, found = _found(s)
        made = migration_files.create(folder, name, now_ns=time.time_ns(), existing=found, dry_run=s.dry_run)
        written = Written(made.version, made.name, str(made.path))
        output.show(s, [written], draw=output.details, extra={"written": int(not s.dry_run), "dry_run": s.dry_run})
        wrote = "would write" if s.dry_run else "wrote"
        output.note(s, f"{wrote} {made.path}; fill in its two parts, then: cruddur db migrate")


def _register_rollback(app: typer.Typer) -> None:
    @command(app, shows=True, asks=True, waits=True, also={"dry_run": _DRY_RUN})
    def rollback(
        s: Settings,
        steps: Annotated[
            int | None,
            typer.Option("-n", "--steps", metavar="N", min=1, help="How many to undo, the newest first; else 1."),
        ] = None,
        to: Annotated[
            str | None,
            typer.Option("--to", metavar="VERSION", help="Undo all that are newer than this one; 0 is all."),
        ] = None,
    ) -> None:
        """Undo the newest migration that is applied, or several, one transaction each. Asks first."""
        if steps is not None and to is not None:
            raise BadInput("-n and --to both say how far to go back.", hint="give one of them")
        _, found = _found(s)
        at = stores.server(s)
        stores.acting_on(s, at)
        with stores.postgres(s, at=at) as conn:
            undo = migrations.to_undo(conn, found, steps=steps or 1, to=to)
            applied = [row.version for row in migrations.status(conn, found) if row.applied_at] if not undo else []
            if undo and not s.dry_run:
                if not s.prod:
                    stamp.refuse(conn, at.label)
                with locks.guarded(conn, at):
                    held = ", ".join(f"{row.rows:,} {row.table}" for row in database.filled(database.rows(conn)))
                conn.commit()  # no transaction waits for somebody to type
                what = f"What {_named(undo)} made in {at.label}"
                losing = f"the database holds {held or 'no rows'}"
                confirm.destroy(s, what=what, name=at.database, losing=losing, remote=stores.is_foreign(at))
            if s.dry_run:
                versions = {migration.version for migration in undo}
                done = [row for row in migrations.status(conn, found) if row.version in versions][::-1]
            else:
                done = migrations.rollback(conn, found, undo=undo, server=at, say=lambda text: output.note(s, text))
        output.show(s, done, extra={"rolled_back": 0 if s.dry_run else len(done), "dry_run": s.dry_run})
        what = f"{counted(len(done), 'migration')} {'would be ' * s.dry_run}undone"
        why = f"the newest migration that is applied is {applied[-1]}" if applied else "no migration is applied"
        output.note(s, what if done else f"nothing to undo: {why}")


def _found(s: Settings) -> tuple[Path, list[Migration]]:
    folder = files.migrations(s)
    return folder, migration_files.find(folder) if folder.exists() else []


def _named(undo: Sequence[Migration]) -> str:
    named = [f"{migration.version} {migration.name}".strip() for migration in undo]
    more = f" and {len(named) - 5} more" if len(named) > 5 else ""
    return ", ".join(named[:5]) + more
