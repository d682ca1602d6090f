"""``cruddur db connect``, ``sessions`` and ``kill-all``: who talks to the database."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Annotated, Any

import typer

from .. import output
from ..errors import Exit, NotConfigured
from ..local import stack
from ..output.text import counted
from ..postgres import connection, sessions
from ..settings import Settings
from . import confirm, stores
from .options import command

User = Annotated[str | None, typer.Option("--user", metavar="NAME", help="Only this database user's.")]
Application = Annotated[str | None, typer.Option("--application", metavar="NAME", help="Only this application_name's.")]
Idle = Annotated[
    float | None, typer.Option("--idle", min=0, metavar="SECONDS", help="Only those idle for at least this long.")
]
# What libpq reads from the environment, so that nothing stands in the argument list for everybody to see.
_VARIABLES = {
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD",
    "dbname": "PGDATABASE", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY", "options": "PGOPTIONS", "connect_timeout": "PGCONNECT_TIMEOUT",
    "application_name": "PGAPPNAME", "target_session_attrs": "PGTARGETSESSIONATTRS", "passfile": "PGPASSFILE",
    "channel_binding": "PGCHANNELBINDING", "gssencmode": "PGGSSENCMODE", "client_encoding": "PGCLIENTENCODING",
}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Put the commands on the group ``db``."""
    command(app)(connect)
    command(app, shows=True, name="sessions")(list_sessions)
    command(app, shows=True, changes=True, asks=True)(kill_all)


def connect(
    s: Settings,
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[-- PSQL OPTIONS]", help="Handed to psql.")] = None,
) -> None:
    """Open psql (else pgcli) on the database. The password is never in the argument list.

    cruddur db connect -- -c 'SELECT count(*) FROM users'
    """
    at = stores.server(s)
    program = shutil.which("psql") or shutil.which("pgcli") or stack.psql()
    if program is None:
        raise NotConfigured("Neither psql nor pgcli is installed.", hint="apt install postgresql-client")
    stores.acting_on(s, at)
    _check(s, at)
    os.execve(program, [program, *_leftover(at), *(arguments or [])], _environment(at))


def _check(s: Settings, at: connection.Server) -> None:
    """Connect before psql does: it would wait for minutes, and has another exit code for everything."""
    try:
        with connection.opened(at, trace=stores.trace(s)):
            pass
    except NotConfigured as error:
        # psql asks for the password itself where somebody is there to type it.
        if "no password supplied" not in error.message or not output.is_terminal(sys.stdin):
            raise


def list_sessions(s: Settings, user: User = None, application: Application = None, idle: Idle = None) -> None:
    """Show who is connected to the database, oldest first."""
    at = stores.server(s)
    with connection.opened_maintenance(at) as conn:
        found = sessions.find(conn, at.database, user=user, application=application, idle_s=idle)
    if not output.show(s, found):
        output.note(s, _nobody(at, user, application, idle))


def kill_all(
    s: Settings,
    user: User = None,
    application: Application = None,
    idle: Idle = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel their statements; leave them connected.")] = False,
) -> int:
    """End every session of the database but this one, or those that the filters name."""
    at = stores.server(s)
    stores.acting_on(s, at, "sessions of ")
    with connection.opened_maintenance(at) as conn:
        found = sessions.find(conn, at.database, user=user, application=application, idle_s=idle)
        what = counted(len(found), "session")
        if s.dry_run or not found:
            output.show(s, found, extra={"ended": 0, "refused": 0, "dry_run": s.dry_run})
            would = f"{'the statements of ' if cancel else ''}{what} would be {'cancelled' if cancel else 'ended'}"
            output.note(s, would if found else _nobody(at, user, application, idle))
            return Exit.DONE
        stores.refuse_stamped(s, at)
        verb = "The statements of {} of {} will be cancelled" if cancel else "{} of {} will be ended"
        sentence = f"{verb.format(what, at.label)}, and what each has not committed is lost."
        confirm.agree(s, sentence, name=at.database, remote=stores.is_foreign(at))
        ended = sessions.end(conn, found, cancel=cancel)
    refused = sum(row.result == "refused" for row in ended)
    output.show(s, ended, extra={"ended": len(ended) - refused, "refused": refused, "dry_run": False})
    return Exit.NO if refused else Exit.DONE


def _nobody(at: connection.Server, user: str | None, application: str | None, idle: float | None) -> str:
    is_filtered = user is not None or application is not None or idle is not None
    return f"No session of {at.label} matches." if is_filtered else f"Nobody is connected to {at.label}."


def _environment(at: connection.Server) -> dict[str, str]:
    """This process's environment with the connection in libpq's variables; for the embedded one, no others."""
    # A service that PGSERVICE names would count before everything that is set here; its values are in the parameters.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not (at.embedded and name.startswith("PG")) and name != "PGSERVICE"
    }
    kept.setdefault("PGCONNECT_TIMEOUT", "10")
    given: dict[str, Any] = {**at.parameters, "dbname": at.database}
    return kept | {variable: str(given[name]) for name, variable in _VARIABLES.items() if given.get(name)}


def _leftover(at: connection.Server) -> list[str]:
    """What libpq has no variable for, as a connection string without secrets."""
    from psycopg.conninfo import make_conninfo

    rest = {name: value for name, value in at.parameters.items() if name not in _VARIABLES and "password" not in name}
    return [make_conninfo("", **rest)] if rest else []
