"""``cruddur db connect``, ``sessions`` and ``kill-all``: opens psql, lists sessions of the database, and ends them."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ... import output, settings, times
from ...errors import Again, BadInput, CannotConnect, CruddurError, Exit, NotConfigured
from ...output import history, live
from ...output.text import counted, when
from ...settings import Settings
from ..shared.options import command, seconds

if TYPE_CHECKING:
    from ...postgres import connection
    from ...postgres.sessions import Session


User = Annotated[str | None, typer.Option("--user", metavar="NAME", help="Only sessions of this database user.")]
Application = Annotated[
    str | None, typer.Option("--application", metavar="NAME", help="Only sessions with this application_name.")
]
Idle = Annotated[
    float | None,
    typer.Option(
        "--idle",
        min=0,
        metavar="SECONDS",
        callback=seconds,
        help="Only sessions that have been idle for at least this long.",
    ),
]


_INTERVAL_S = 2.0
# The database is the same for all.
_DRAW = output.columns("pid", "user", "client_addr", "application_name", "state", "query_age_s")


@command()
def connect(
    s: Settings,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[-- PSQL OPTIONS]", help="Options for psql.")
    ] = None,
) -> None:
    """Open psql (or pgcli) on the database. The password is never in the argument list.

    `cruddur history` records that psql was opened, but not what you did in it.

    cruddur db connect -- -c 'SELECT count(*) FROM users'
    """
    from ...local import home, stack
    from ...postgres import programs
    from ..shared import connections, targets

    at = targets.server(s)
    program = shutil.which("psql") or shutil.which("pgcli") or stack.psql()
    if program is None:
        raise NotConfigured("Neither psql nor pgcli is installed.", hint="apt install postgresql-client")
    history.begin(prod=s.prod, folder=home.history)
    try:
        connections.acting_on(s, at)
        _check(s, at)
    except CruddurError:
        history.forget()
        raise
    history.reported(f"{Path(program).name} was opened; what was done in it is not recorded", is_change=True)
    # psql replaces this process. Its arguments are not recorded, because they may contain messages.
    problem = history.end(["db", "connect", *(["--prod"] if s.prod else [])], Exit.DONE, secrets=settings.secrets)
    if problem is not None:
        output.warn(f"{history.NOT_WRITTEN} {problem}")
    os.execve(program, [program, *programs.without_variable(at), *(arguments or [])], programs.environment(at))


def _check(s: Settings, at: connection.Server) -> None:
    """Connect before psql does: psql would wait for minutes, and would return other exit codes."""
    from ...postgres import connection

    try:
        with connection.opened(at, trace=output.trace(s)):
            pass
    except NotConfigured as error:
        # On a terminal, psql asks for the password.
        if "no password supplied" not in error.message or not output.is_terminal(sys.stdin):
            raise


@command(shows=True, name="sessions")
def list_sessions(
    s: Settings,
    user: User = None,
    application: Application = None,
    idle: Idle = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show the list again and again until you press Ctrl-C.")
    ] = False,
    interval: Annotated[
        float | None,
        typer.Option(
            "--interval",
            min=0.1,
            metavar="SECONDS",
            callback=seconds,
            help="With --watch: the time between two lists. Default: 2.",
        ),
    ] = None,
) -> None:
    """List the sessions of the database, oldest first.

    With --watch on a terminal each new list replaces the one before. Through a pipe, and with -o, one list
    follows another.

    cruddur db sessions --watch --interval 5
    """
    from ...postgres import connection, sessions
    from ..shared import targets

    if interval is not None and not watch:
        raise BadInput("--interval is for --watch.", again=Again(("--watch",)))
    if watch and s.svg:
        raise BadInput(
            "--svg cannot be used with --watch, which does not end by itself.",
            again=Again(without=("--watch", "--interval")),
        )
    at = targets.server(s)

    def read() -> list[Session]:
        with connection.opened_maintenance(at) as conn:
            return sessions.find(conn, at.database, user=user, application=application, idle_s=idle)

    if watch:
        _watch(s, at, read, interval or _INTERVAL_S)
    elif not output.show(s, read(), record=sessions.Session, draw=_DRAW):
        output.note(s, _none_found(at, user, application, idle))


def _watch(s: Settings, at: connection.Server, read: Callable[[], list[Session]], interval_s: float) -> NoReturn:
    """Show each new list until Ctrl-C. After the first list, it waits for a server that does not answer."""
    from ...postgres import sessions

    block = live.Block(_DRAW)
    outage = live.Outage(output.tell, "PostgreSQL")
    listed = read()
    while True:
        now = times.now()
        if not outage.lasts and s.output != "table":
            output.show(s, listed, record=sessions.Session, extra={"at": now})
        elif not outage.lasts:
            block.draw(f"{when(now, '%Y-%m-%d %H:%M:%S')}  {counted(len(listed), 'session')} of {at.label}", listed)
        time.sleep(interval_s)
        try:
            listed = read()
            outage.ends()
        except CannotConnect as error:
            if not outage.lasts:
                block.leave()
            outage.begins(error)


@command(shows=True, changes=True, asks=True)
def kill_all(
    s: Settings,
    user: User = None,
    application: Application = None,
    idle: Idle = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Cancel the running statements; keep the sessions connected.")
    ] = False,
) -> int:
    """End all other sessions of the database. With filters, only those that match."""
    from ...postgres import connection, sessions
    from ..shared import confirm, connections, targets

    at = targets.server(s)
    connections.acting_on(s, at, "sessions of ")
    with connection.opened_maintenance(at) as conn:
        matches = sessions.find(conn, at.database, user=user, application=application, idle_s=idle)
        what = counted(len(matches), "session")
        if s.dry_run or not matches:
            extra = {"ended": 0, "refused": 0, "dry_run": s.dry_run}
            output.show(s, matches, record=sessions.Session, extra=extra, draw=_DRAW)
            text = f"{'the statements of ' if cancel else ''}{what} would be {'cancelled' if cancel else 'ended'}"
            output.note(s, text if matches else _none_found(at, user, application, idle))
            return Exit.DONE
        connections.refuse_stamped(s, at)
        verb = "The statements of {} of {} will be cancelled" if cancel else "{} of {} will be ended"
        sentence = f"{verb.format(what, at.label)}, and their uncommitted changes are lost."
        confirm.agree(s, sentence, name=at.database, remote=targets.is_foreign(at), losing=what)
        ended = sessions.end(conn, matches, cancel=cancel)
    refused = sum(row.result == "refused" for row in ended)
    output.show(
        s, ended, record=sessions.Ended, extra={"ended": len(ended) - refused, "refused": refused, "dry_run": False}
    )
    return Exit.NO if refused else Exit.DONE


def _none_found(at: connection.Server, user: str | None, application: str | None, idle: float | None) -> str:
    is_filtered = user is not None or application is not None or idle is not None
    return f"No session of {at.label} matches." if is_filtered else f"No session is connected to {at.label}."
