"""Offers a copy of production's database before a command could lose its data."""

from __future__ import annotations

import shutil
from pathlib import Path

from ... import output, times
from ...aws import instance, snapshots
from ...errors import Protected
from ...local import stack
from ...postgres import connection, programs
from ...settings import Settings
from ..shared import confirm, connections
from ..shared.options import LONGEST_S, Copy


def offer(s: Settings, at: connection.Server, chosen: Copy | None) -> None:
    """Make a copy of production's database, as ``chosen`` or as the user answers. Other databases get none.

    Without a terminal to ask on, it only warns that no copy is made. Raises the error of a copy that fails, so that the
    command loses nothing.
    """
    if not s.prod or s.dry_run:
        return
    if chosen is None:
        answers = {"s": Copy.SNAPSHOT, "d": Copy.DUMP, "n": Copy.NONE}
        answer = confirm.choose(s, f"Keep a copy of {at.label} first?", ("snapshot", "dump", "no"))
        chosen = answers.get(answer or "")
    if chosen is None:
        output.warn("no copy is made first; --backup snapshot or --backup dump makes one")
    elif chosen is Copy.SNAPSHOT:
        _snapshot(s, at)
    elif chosen is Copy.DUMP:
        _dump(s, at)


def _snapshot(s: Settings, at: connection.Server) -> None:
    with connections.rds(s) as rds:
        db = instance.find(rds, name=s.db_instance)
        if db.endpoint != at.host:
            raise Protected(
                f"Instance {db.instance} is at {db.endpoint}: its snapshot would not contain {at.label}.",
                hint="--backup dump, or set CRUDDUR_DB_INSTANCE",
                code="another_instance",
            )
        name = snapshots.name_at(db.instance, times.now())
        snapshot, _ = snapshots.create(rds, db, name, say=lambda text: output.note(s, text), wait_s=LONGEST_S)
    output.tell(
        f"snapshot {snapshot.snapshot} is available: aws rds restore-db-instance-from-db-snapshot "
        f"--db-snapshot-identifier {snapshot.snapshot} --db-instance-identifier {db.instance}-restored"
    )


def _dump(s: Settings, at: connection.Server) -> None:
    path = Path.cwd() / f"{at.database}-{times.now():%Y%m%dT%H%M%SZ}.sql"
    candidates = [program for program in (shutil.which("pg_dump"), stack.pg_dump()) if program]
    output.note(s, f"writing {path}")
    size = programs.dump(at, path, programs=candidates)
    output.tell(
        f"dump {path} is written ({size:,} bytes): cruddur db schema-load --file {path} --prod, into an empty database"
    )
