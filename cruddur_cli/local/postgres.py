"""Starts, stops and describes the server of the embedded PostgreSQL."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from .. import times
from ..errors import CannotConnect, Incomplete, NotConfigured
from . import binaries, cluster
from . import home as homes
from .engine import (
    Engine,
    StartDeadline,
    SystemUser,
    environment,
    first_answer,
    instant,
    last_words,
    listen,
    number,
    running_or_claimed,
    spawn,
    start_deadline,
    wait_until_gone,
)

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # Only loopback with a password: a socket file has a length limit and permissions of its own.
    "unix_socket_directories": "",
    # As on RDS, so that times without a zone mean the same on both.
    "timezone": "UTC",
    "log_timezone": "UTC",
    # The server ends a statement when the command that sent it was killed.
    "client_connection_check_interval": "2s",
    # For one developer: fewer processes, less disk space, a short log.
    "io_method": "sync",
    "max_wal_size": "256MB",
    "log_checkpoints": "off",
    "cluster_name": "cruddur",
}


@dataclass(frozen=True)
class EmbeddedServer:
    """The paths, version, account and password with which the server runs."""

    home: Path
    data: Path
    install: Path
    version: str
    runner: SystemUser | None
    secret: str = field(repr=False)


def running(home: Path, *, timeout_s: float = 5) -> tuple[int, int] | None:
    """Pid and port of the server; None if it does not answer. Takes about a millisecond."""
    if not homes.is_held(home / "postgres" / "alive"):
        return None
    claim = _claim(home)
    return claim[:2] if claim and claim[2] and _answers(claim[1], timeout_s) else None


def url(home: Path, port: int) -> str:
    """The connection URL, with the password; the database ``cruddur`` may not exist yet."""
    return f"postgresql://{cluster.USER}:{cluster.password(home)}@127.0.0.1:{port}/{cluster.DATABASE}"


def start(home: Path, *, deadline: StartDeadline, wait_s: float, say: Callable[[str], None]) -> int:
    """Start the server, with a new cluster if there is none; its port, once it accepts a login.

    ``deadline`` limits the wait for a server that runs already, ``wait_s`` for one that is started here.
    Raises NotConfigured (no extra, a directory that cannot be used, another version's data) or CannotConnect.
    """
    folder = home / "postgres"
    alive = running_or_claimed(folder, "PostgreSQL", lambda left_s: running(home, timeout_s=left_s), deadline)
    if not isinstance(alive, int):
        return alive[1]
    try:
        runner = binaries.account(cluster.data_directory(home))
        cluster.admit(home, runner)
        data = cluster.data_directory(home)
        install, version = binaries.locate(runner, cluster.programs_directory(home))
        if data.exists():
            cluster.check_version(data)
        else:
            cluster.create(home, install, data, runner)
        server = EmbeddedServer(home, data, install, version, runner, cluster.password(home))
        killed = _clear_leftovers(home, data)
        port = _launch(server, alive, start_deadline(wait_s, say))
    except OSError as error:
        raise homes.unusable(Path(error.filename or folder), error) from error
    finally:
        os.close(alive)
    if killed:
        say(f"PostgreSQL was not stopped cleanly ({killed}); it has recovered, and nothing that was committed is lost.")
    say(f"started PostgreSQL {version} on 127.0.0.1:{port}")
    return port


def stop(home: Path, *, wait_s: float) -> None:
    """Stop the server after it has written everything; does nothing if it does not run.

    Raises Incomplete if it does not end within ``wait_s`` seconds.
    """
    folder = home / "postgres"
    if not homes.is_held(folder / "alive"):
        return
    if claim := _claim(home):
        with suppress(ProcessLookupError):
            # SIGINT is what pg_ctl calls a fast stop; SIGCONT resumes a paused server.
            os.kill(claim[0], signal.SIGINT)
            os.kill(claim[0], signal.SIGCONT)
    if not wait_until_gone(folder / "alive", wait_s):
        raise Incomplete(
            f"PostgreSQL has not stopped within {wait_s:.0f} seconds.",
            hint="run `cruddur local down` again",
            details=last_words(folder / "log"),
        )
    if not (cluster.data_directory(home) / "postmaster.pid").exists():
        (folder / "running.json").unlink(missing_ok=True)


def describe(home: Path) -> Engine:
    """The server's state for ``local status``. Changes nothing."""
    data, record, answer = cluster.data_directory(home), homes.record(home / "postgres"), running(home)
    version = str(record["version"]) if "version" in record else None
    started = instant(record.get("started_at"))
    if answer:
        pid, port = answer
        return Engine("postgres", "running", f"127.0.0.1:{port}", pid, version, str(data), started)
    if homes.is_held(home / "postgres" / "alive"):
        pid = number(record.get("pid")) or 0
        return Engine("postgres", "failed", None, pid, version, str(data), started, "it does not answer")
    if (data / "postmaster.pid").exists():
        note = f"it was not stopped cleanly ({_cause(record)}); `cruddur local up` recovers it"
        return Engine("postgres", "failed", None, None, version, str(data), None, note)
    return Engine("postgres", "stopped", None, None, None, str(data), None, None if data.exists() else "no data yet")


def remove(home: Path) -> None:
    """Stop the server, and delete its cluster and password. Raises Incomplete if it does not stop."""
    stop(home, wait_s=60)
    cluster.remove(home)


def _claim(home: Path) -> tuple[int, int, bool] | None:
    """Pid, port and readiness from the server's own pid file, else from the record of its start; None without both."""
    try:
        lines = (cluster.data_directory(home) / "postmaster.pid").read_text().splitlines()
        return int(lines[0]), int(lines[3]), [line.strip() for line in lines[7:8]] == ["ready"]
    except (OSError, ValueError, IndexError):
        record = homes.record(home / "postgres")
        pid, port = number(record.get("pid")), number(record.get("port"))
        return (pid, port, True) if pid and port else None


def _answers(port: int, timeout_s: float) -> bool:
    """Whether a PostgreSQL server is on that port: it answers N to an SSLRequest ("SSL Session Encryption")."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
            connection.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
            return connection.recv(1) == b"N"
    except (OSError, OverflowError):
        return False


def _cause(record: dict[str, object]) -> str:
    return "the machine restarted" if record.get("boot_id") != homes.boot_id() else "it was killed"


def _clear_leftovers(home: Path, data: Path) -> str | None:
    """Delete the pid file of a server that did not stop cleanly; why it did not, None without such a file.

    The pid in the file may belong to another process now. No process holds ``alive``, so no server of this stack runs.
    PostgreSQL itself finds a server that was started by hand, by its shared memory.
    """
    stale = data / "postmaster.pid"
    if not stale.exists():
        return None
    stale.unlink()
    return _cause(homes.record(home / "postgres"))


def _launch(server: EmbeddedServer, alive: int, deadline: StartDeadline) -> int:
    """Start the server's process; its port, once it accepts a login. Raises CannotConnect."""
    folder = server.home / "postgres"
    log = folder / "log"
    for _ in range(3):
        with listen(server.home, "postgres") as listener:
            port: int = listener.getsockname()[1]
        command = [str(server.install / "bin" / "postgres"), "-D", str(server.data), "-c", f"port={port}"]
        command += [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        record: dict[str, object] = {"pid": None, "port": port, "version": server.version}
        record |= {"started_at": int(times.now().timestamp()), "boot_id": homes.boot_id()}
        homes.note(alive, record)
        process = spawn(command, log=log, env=environment(), keep=[alive], account=server.runner)
        record["pid"] = process.pid
        homes.note(alive, record)
        homes.write(folder / "running.json", record)
        if first_answer(process, "PostgreSQL", partial(_port, server, process.pid, port), deadline, log=log):
            return port
        # Another process has taken the port in the meantime; the next try uses another port.
        if "Address already in use" not in last_words(log, 20):
            break
    raise CannotConnect("The embedded PostgreSQL does not start.", hint=f"see {log}", details=last_words(log))


def _port(server: EmbeddedServer, pid: int, port: int, _: float) -> int | None:
    """The port if the server on it has that pid, is ready and accepts a login; else None."""
    return port if _claim(server.home) == (pid, port, True) and _accepts(port, server.secret) else None


def _accepts(port: int, secret: str) -> bool:
    """Whether a login succeeds; False while the server is not ready.

    Raises NotConfigured if the password is wrong.
    """
    import psycopg

    with _without_libpq_variables():
        try:
            psycopg.connect(
                host="127.0.0.1",
                port=port,
                user=cluster.USER,
                password=secret,
                dbname="postgres",
                connect_timeout=5,
                sslmode="disable",
            ).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise NotConfigured(
                    "The embedded PostgreSQL does not accept its stored password.",
                    hint="put the file postgres/password back, or run `cruddur local reset`, then `cruddur setup`",
                ) from None
            return False
    return True


@contextmanager
def _without_libpq_variables() -> Iterator[None]:
    """Remove PG* variables inside the block: they are for another server, but libpq would read them."""
    variables = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PG")}
    try:
        yield
    finally:
        os.environ.update(variables)
