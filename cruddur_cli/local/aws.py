"""Owns the embedded AWS as a command sees it: starts and stops the emulator's process, and tells whether it is up."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from ..errors import CannotConnect, Incomplete, NotConfigured
from . import home as homes
from .engine import (
    DAMAGED,
    START_NOTICE_S,
    START_S,
    Engine,
    Patience,
    environment,
    instant,
    last_words,
    listen,
    moment,
    number,
    spawn,
    wait_until_gone,
)

# A large table keeps the emulator busy for seconds while it is saved; it answers after that.
BUSY_S = 15
RUN = "import sys; sys.path.append(sys.argv.pop(1)); from cruddur_cli.local.emulator import main; main()"


def running(home: Path, *, timeout_s: float = BUSY_S) -> dict[str, object] | None:
    """What the emulator says of itself (``pid``, ``port``, ``save_error``, ...), or None when it is not up.

    Takes about two milliseconds; up to ``timeout_s`` while it is busy saving.
    """
    folder = home / "aws"
    if not homes.is_held(folder / "alive"):
        return None
    return _ask(folder, "GET /_cruddur/alive", timeout_s)


def port(found: dict[str, object]) -> int:
    """The port in what ``running`` has found."""
    return number(found.get("port")) or 0


def start(home: Path, *, patience: Patience, wait_s: float, say: Callable[[str], None]) -> Callable[[], int]:
    """Starts the emulator and returns a function that waits for its port; so the other engine can start meanwhile.

    ``patience`` is for one that lives already, ``wait_s`` for one that is started here.
    Raises NotConfigured (no extra, a directory that cannot be used, state that cannot be used) or CannotConnect;
    so does what it returns.
    """
    folder = home / "aws"
    while True:
        if found := running(home, timeout_s=patience.left(1)):
            return partial(port, found)
        if (alive := homes.hold(folder / "alive")) is not None:
            break
        # An interrupted `up` has just started it, it saves a large table, it is about to end, or it hangs.
        patience.remark("the embedded AWS does not answer")
        if patience.over():
            raise CannotConnect(
                "The embedded AWS is there but does not answer.",
                hint="cruddur local down",
                details=last_words(folder / "log"),
            )
        time.sleep(0.05)
    try:
        if not (importlib.util.find_spec("ministack") and importlib.util.find_spec("hypercorn")):
            raise NotConfigured(
                "The embedded AWS needs the extra `local`.", hint="pip install 'cruddur[local]'", code="no_extra"
            )
        killed = _unclean(folder)
        with listen(home, "aws") as listener:
            record: dict[str, object] = {"instance": secrets.token_hex(8), "port": listener.getsockname()[1]}
            record |= {"pid": None, "started_at": int(time.time()), "boot_id": homes.boot_id()}
            homes.note(alive, record)
            # The package may not be installed, but lie on the path of whoever imported it: last, as it is there.
            command = [sys.executable, "-P", "-c", RUN, str(Path(__file__).parents[2])]
            command += [str(folder), str(listener.fileno()), str(record["port"]), str(record["instance"])]
            env = environment(PYTHONUTF8="1")
            process = spawn(command, log=folder / "log", env=env, keep=[alive, listener.fileno()])
            homes.note(alive, record | {"pid": process.pid})
    except OSError as error:
        raise homes.unusable(Path(error.filename or folder), error) from error
    finally:
        os.close(alive)
    patience = Patience(max(START_S, wait_s), say, notice_s=START_NOTICE_S)
    return lambda: _finish(home, process, patience=patience, killed=killed, say=say)


def save(home: Path, *, wait_s: float = 300) -> None:
    """Has the emulator save now.

    Raises Incomplete when it cannot, or does not say that it has; it keeps running then, and nothing is lost.
    """
    answer = _ask(home / "aws", "POST /_cruddur/save", wait_s)
    if answer is None:
        raise _silent("does not answer whether its data is saved", home)
    if error := answer.get("save_error"):
        raise Incomplete(
            f"The embedded AWS is left running, because its data cannot be saved to {home / 'aws'}: {error}.",
            hint="free some disk space, then run `cruddur local down` again; `cruddur local reset` gives the data up",
            code="not_saved",
        )


def stop(home: Path, *, wait_s: float) -> None:
    """Returns once the emulator has saved everything and ended; already stopped is fine.

    Raises Incomplete when the data cannot be saved or it does not answer (it is left running then), or it does not end
    in time.
    """
    folder, deadline = home / "aws", time.monotonic() + wait_s
    if not homes.is_held(folder / "alive"):
        return
    # For one that somebody has paused.
    _signal(_pid(home), signal.SIGCONT)
    # It is never told to end before it has saved: with a full disk it could not any more, and would end all the same.
    while homes.is_held(folder / "alive"):
        if found := running(home, timeout_s=max(0.1, deadline - time.monotonic())):
            save(home)
            _signal(number(found.get("pid")), signal.SIGTERM)
            break
        # It has just been started, saves a large table, or is already about to end.
        if time.monotonic() > deadline:
            raise _silent(f"has not answered for {wait_s:.0f} seconds", home)
        time.sleep(0.05)
    if not wait_until_gone(folder / "alive", wait_s):
        raise Incomplete(
            f"The embedded AWS has not stopped within {wait_s:.0f} seconds.", hint="run `cruddur local down` again"
        )
    if killed := _unclean(folder):
        raise Incomplete(killed, hint="cruddur setup", details=last_words(folder / "log"), code="not_saved")
    (folder / "running.json").unlink(missing_ok=True)


def describe(home: Path) -> Engine:
    """What is known about it, without changing anything."""
    folder, found = home / "aws", running(home, timeout_s=5)
    record = homes.record(folder)
    data, started = str(folder / "state"), instant(record.get("started_at"))
    version = str(record["version"]) if "version" in record else None
    if found:
        version = str(found.get("version"))
        error = found.get("save_error")
        note = f"its data cannot be saved: {error}" if error else None
        endpoint = f"http://127.0.0.1:{port(found)}"
        return Engine("aws", "running", endpoint, number(found.get("pid")), version, data, started, note)
    if homes.is_held(folder / "alive"):
        return Engine("aws", "failed", None, number(record.get("pid")), version, data, started, "it does not answer")
    if killed := _unclean(folder):
        return Engine("aws", "failed", None, None, version, data, None, killed)
    empty = not (folder / "saved.json").exists()
    return Engine("aws", "stopped", None, None, None, data, None, "no data yet" if empty else None)


def remove(home: Path) -> None:
    """Ends the emulator without saving, and deletes what it saved."""
    folder = home / "aws"
    if homes.is_held(folder / "alive"):
        _signal(_pid(home), signal.SIGKILL)
        if not wait_until_gone(folder / "alive", 10):
            raise Incomplete("The embedded AWS has not stopped.", hint="run `cruddur local down`, then try again")
    if folder.exists():
        shutil.rmtree(folder)


def _pid(home: Path) -> int | None:
    return number(homes.record(home / "aws").get("pid"))


def _signal(pid: int | None, which: signal.Signals) -> None:
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, which)


def _silent(problem: str, home: Path) -> Incomplete:
    pid = _pid(home)
    return Incomplete(
        f"The embedded AWS {problem}; it is left running.",
        hint="run `cruddur local down` again; `cruddur local reset` gives up all its data"
        + (f", `kill -9 {pid}` what it has not saved" if pid else ""),
        details=last_words(home / "aws" / "log"),
        code="not_saved",
    )


def _ask(folder: Path, request: str, timeout_s: float) -> dict[str, object] | None:
    """The emulator's answer; by hand, because importing an HTTP client takes longer than all the rest."""
    record = homes.record(folder)
    where = port(record)
    if not where:
        return None
    try:
        with socket.create_connection(("127.0.0.1", where), timeout=timeout_s) as connection:
            head = f"{request} HTTP/1.1\r\nHost: 127.0.0.1:{where}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode())
            received = b"".join(iter(lambda: connection.recv(65536), b""))
        answer = json.loads(received.partition(b"\r\n\r\n")[2])
    except (OSError, ValueError, OverflowError):
        return None
    # Another program may have the port by now; only ours knows the name of this run.
    known = isinstance(answer, dict) and "instance" in answer and answer["instance"] == record.get("instance")
    return answer if known else None


def _unclean(folder: Path) -> str | None:
    """What happened to the last run and what may be lost, or None when it was stopped and had saved everything."""
    if not (folder / "running.json").exists():
        return None
    record, saved = (
        homes.read(folder / "running.json") or homes.read(folder / "alive"),
        homes.read(folder / "saved.json"),
    )
    if not record:
        return None
    same = saved.get("instance") == record.get("instance")
    if same and saved.get("clean"):
        return None
    cause = "the machine restarted" if record.get("boot_id") != homes.boot_id() else "it was killed or could not save"
    since = moment(saved.get("saved_at") if same else record.get("started_at"))
    return (
        f"The embedded AWS was not stopped cleanly ({cause}): what was written to it after {since} is lost; "
        "`cruddur setup` restores the seeded data"
    )


def _finish(
    home: Path,
    process: subprocess.Popen[bytes],
    *,
    patience: Patience,
    killed: str | None,
    say: Callable[[str], None],
) -> int:
    log = home / "aws" / "log"
    while not (found := running(home, timeout_s=patience.left(1))):
        if process.poll() == DAMAGED:
            reason = last_words(log, 1).removeprefix("cruddur: ")
            raise NotConfigured(
                f"The embedded AWS does not start over existing data: {reason}.",
                hint="put the file back, or run `cruddur local reset`, then `cruddur setup`",
                code="state_damaged",
            )
        if process.poll() is not None:
            raise CannotConnect("The embedded AWS does not start.", hint=f"see {log}", details=last_words(log))
        patience.remark("the embedded AWS is starting")
        if patience.over():
            raise CannotConnect(
                "The embedded AWS does not answer yet.", hint="cruddur local up --wait 300", details=last_words(log)
            )
        time.sleep(0.01)
    notes = found.get("notes")
    for sentence in [killed, *(notes if isinstance(notes, list) else [])]:
        if sentence:
            say(str(sentence))
    say(f"started AWS (ministack {found.get('version')}) on http://127.0.0.1:{port(found)}")
    return port(found)
