"""Loads a schema or seeds for a command: what is lost and what stays is known, and said, before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import output
from ..output.text import counted
from ..postgres import database, effects, migrations, scripts, seeding, stamp, users
from ..postgres.connection import Server
from ..settings import Settings
from . import confirm, files, stores

if TYPE_CHECKING:
    from psycopg import Connection


def schema(s: Settings, conn: Connection[Any], at: Server, script: files.Script) -> None:
    """Load a schema, all of it or nothing; no migration counts as applied to it but those that it names itself."""
    migrations.forget(conn)
    scripts.run(conn, script.text, source=script.source, server=at, say=lambda text: output.note(s, text))
    if s.prod:
        stamp.write(conn)  # the file may have dropped the mark with the rest of its schema
    elif stamp.is_production(conn):
        output.warn(
            f"{script.source} has brought production's stamp: {at.label} counts as production from here on, and is not "
            f"changed without --prod. For a copy: DELETE FROM {stamp.TABLE}; in `cruddur db connect`"
        )


def warn_of_rest(conn: Connection[Any], script: files.Script) -> None:
    """Say what a schema file leaves of what is there: tables that it does not drop, and what migrations made."""
    tables = [table.table for table in database.rows(conn) if table.table not in database.BOOKKEEPING]
    lost = effects.lost(script.text, tables)
    staying = [table for table in tables if table not in lost]
    applied = migrations.recorded(conn)
    said = []
    again = effects.made(script.text, staying)
    if again:
        staying = [table for table in staying if table not in again]
        said.append(
            f"{script.source} makes {', '.join(again)} without dropping what is there, which PostgreSQL refuses: "
            "a dump goes into an empty database (`cruddur db drop`, `cruddur db create`)"
        )
    if staying:
        said.append(f"{script.source} does not drop {', '.join(staying)}: left as they are")
    if applied:
        said.append(
            f"{counted(len(applied), 'migration')} (the newest {applied[-1]}) no longer count as applied, and what "
            "they made beside the tables that are dropped stays, so that `cruddur db migrate` may find it there already"
        )
    if said:
        output.warn("; ".join(said) + ". `cruddur db reset` makes the whole database anew")


def seed(s: Settings, conn: Connection[Any], at: Server, script: files.Script) -> int:
    """Seed users and activities; how many rows are new. Existing people keep everything, above all their UUIDs."""
    say = lambda text: output.note(s, text)  # noqa: E731
    stamped = s.prod and stamp.is_production(conn)
    if not script.ours:
        known = files.seeded_uuids()
        added = seeding.run(conn, script.text, source=script.source, server=at, known=known, say=say)
    else:
        text, whole = effects.fitting(conn, script.text)
        if not whole and _has_users(conn):
            output.note(s, "the tables are of another schema than ours, and hold users: our seeds are left out")
            return 0
        before = database.rows(conn)
        scripts.run(conn, text, source=script.source, server=at, say=say)
        added = database.added(before, database.rows(conn))
    if stamped:
        stamp.write(conn)
    return added


def fill(s: Settings, conn: Connection[Any], at: Server, script: files.Script, *, empty: bool) -> tuple[str, bool]:
    """A set-up's share of seeding: what was done, and whether that is a change. Nothing that is there is touched.

    Somebody's own file runs only where there are no users: it may begin with a DELETE. ``empty`` says that there were
    no tables when the set-up began.
    """
    if not script.ours and not empty:
        if _has_users(conn):
            return "there", False
        losing = effects.losing(script.text)
        if losing and database.filled(database.rows(conn)):
            output.warn(f"{script.source} is not run, it changes what is there ({losing}); `cruddur db seed` runs it")
            return "none", False
    if s.dry_run:
        return _would_fill(conn, script, empty=empty)
    added = seed(s, conn, at, script)
    return f"{counted(added, 'row')} added" if added else "there", added > 0


def _would_fill(conn: Connection[Any], script: files.Script, *, empty: bool) -> tuple[str, bool]:
    if not script.ours:
        return f"would be seeded from {script.source}", True
    known: set[str] = set()
    if not empty:
        text, whole = effects.fitting(conn, script.text)
        if not text or (not whole and _has_users(conn)):
            return "there", False
        known = set(users.handles(conn))
    lacking = sorted(set(files.seeded_uuids()) - known)
    return (f"{', '.join(lacking)} would be added" if lacking else "there"), bool(lacking)


def confirm_seed(s: Settings, conn: Connection[Any], at: Server, script: files.Script, losing: str) -> None:
    """Ask before a seed file takes rows away or writes over them; ``losing`` says where it does. Raises Protected."""
    holds = ", ".join(f"{table.rows:,} {table.table}" for table in database.filled(database.rows(conn)))
    sentence = f"{script.source} deletes or changes what is there ({losing}); {at.label} holds {holds or 'no rows'}."
    if s.dry_run:
        output.note(s, sentence)
        return
    conn.commit()  # no transaction waits for somebody to type
    remote = stores.is_foreign(at)
    if holds:
        confirm.agree(s, sentence, name=at.database, remote=remote)
    else:
        confirm.replace(s, what=at.label, name=at.database, remote=remote)


def _has_users(conn: Connection[Any]) -> bool:
    row = conn.execute("SELECT EXISTS (SELECT FROM public.users)").fetchone()
    return bool(row and row[0])
