"""Starts, stops, saves and describes the process of the embedded AWS."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from shlex import quote

from .. import times
from ..errors import CannotConnect, Incomplete, NotConfigured
from . import extra, generations, state_files
from . import home as homes
from .engine import (
    DAMAGED,
    Engine,
    StartDeadline,
    environment,
    first_answer,
    instant,
    last_words,
    listen,
    local_time,
    number,
    running_or_claimed,
    spawn,
    start_deadline,
    wait_until_gone,
)

# Seconds to wait for an answer: a scan of a large table keeps the emulator busy.
BUSY_S = 15
# The files of the emulator and of version 0.1.0 in the folder; a hidden one is being written.
OWN_FILES = ["alive", "log", "log.previous", "running.json", "saved.json", "current.json", "acknowledged", ".*.json.*"]
OWN_FILES += ["generation-*/log", "generation-*/snapshot", "generation-*/snapshot.new", "damaged/*-*.json"]
OWN_FILES += [f"{state}/{name}" for state in ("state", "previous") for name in ("*.json", ".*.json.*", ".*.new")]
OWN_FILES += [f"state/{keys}" for keys in ("cognito-rsa-key.pem*", "cognito-pool-keys/*.pem*")]
FOLDERS = ["generation-*", "damaged", "previous", "state/cognito-pool-keys", "state"]
RUN = "import sys; sys.path.append(sys.argv.pop(1)); from cruddur_cli.local.emulator import main; main()"


def running(home: Path, *, timeout_s: float = BUSY_S) -> dict[str, object] | None:
    """The emulator's report about itself (``pid``, ``port``, ``save_error``, ...), or None if it does not answer.

    Takes about two milliseconds, or up to ``timeout_s`` while the emulator is busy.
    """
    folder = home / "aws"
    if not homes.is_held(folder / "alive"):
        return None
    return _ask(folder, "GET /_cruddur/alive", timeout_s)


def port(report: dict[str, object]) -> int:
    """The port in a report of ``running``; 0 without one."""
    return number(report.get("port")) or 0


def start(home: Path, *, deadline: StartDeadline, wait_s: float, say: Callable[[str], None]) -> Callable[[], int]:
    """Start the emulator; a function that waits until it answers, and returns its port.

    The other engine can start before that function is called. ``deadline`` limits the wait for a process that runs
    already, ``wait_s`` for one that is started here.

    Raises NotConfigured (no extra, a directory or state that cannot be used) or CannotConnect; so does the function.
    """
    folder = home / "aws"
    alive = running_or_claimed(folder, "AWS", lambda left_s: running(home, timeout_s=left_s), deadline)
    if not isinstance(alive, int):
        return partial(port, alive)
    try:
        if not (importlib.util.find_spec("ministack") and importlib.util.find_spec("hypercorn")):
            raise NotConfigured(
                "The embedded AWS is not installed: it is in the extra `local`.", hint=extra.install(), code="no_extra"
            )
        recovered = _recovered(folder)
        with listen(home, "aws") as listener:
            record: dict[str, object] = {"instance": secrets.token_hex(8), "port": listener.getsockname()[1]}
            record |= {"pid": None, "started_at": int(times.now().timestamp()), "boot_id": homes.boot_id()}
            homes.note(alive, record)
            # The package may be on sys.path without being installed; it goes last, as in this process.
            command = [sys.executable, "-P", "-c", RUN, str(Path(__file__).parents[2])]
            command += [str(folder), str(listener.fileno()), str(record["port"]), str(record["instance"])]
            env = environment(PYTHONUTF8="1")
            process = spawn(command, log=folder / "log", env=env, keep=[alive, listener.fileno()])
            homes.note(alive, record | {"pid": process.pid})
    except OSError as error:
        raise homes.unusable(Path(error.filename or folder), error) from error
    finally:
        os.close(alive)
    deadline = start_deadline(wait_s, say)
    return lambda: _finish(home, process, deadline=deadline, recovered=recovered, say=say)


def save(home: Path, *, wait_s: float = 300) -> None:
    """Wait until everything that was written to the emulator is on the disk.

    Raises Incomplete if it cannot be saved or the emulator does not answer. The emulator keeps running then.
    """
    answer = _ask(home / "aws", "POST /_cruddur/save", wait_s)
    if answer is None:
        raise _silent("does not answer whether its data is saved", home)
    if error := answer.get("save_error"):
        raise Incomplete(
            f"The embedded AWS is left running, because its data cannot be saved to {home / 'aws'}: {error}.",
            hint="free some disk space, then run `cruddur local down` again; `cruddur local reset` deletes the data",
            code="not_saved",
        )


def snapshot(home: Path, *, wait_s: float = 300) -> None:
    """Make the emulator begin a new generation now, as it does by itself when its log takes long to read.

    Raises Incomplete if it cannot write the snapshot or does not answer.
    """
    answer = _ask(home / "aws", "POST /_cruddur/snapshot", wait_s)
    if answer is None:
        raise _silent("does not answer whether it has begun a new generation", home)
    if error := answer.get("snapshot_error"):
        raise Incomplete(f"The embedded AWS cannot write a snapshot: {error}.", code="not_saved")


def stop(home: Path, *, wait_s: float) -> None:
    """Stop the emulator after it has saved everything; does nothing if it does not run.

    Raises Incomplete if the data cannot be saved or the emulator does not answer (it keeps running then), or if it does
    not end in time.
    """
    folder, deadline = home / "aws", time.monotonic() + wait_s
    if not homes.is_held(folder / "alive"):
        return
    # A paused process would not answer.
    _signal(_pid(home), signal.SIGCONT)
    # SIGTERM comes only after it has saved: with a full disk it could not save, and would end all the same.
    while homes.is_held(folder / "alive"):
        if report := running(home, timeout_s=max(0.1, deadline - time.monotonic())):
            save(home)
            _signal(number(report.get("pid")), signal.SIGTERM)
            break
        # It has just started, is busy, or is about to end.
        if time.monotonic() > deadline:
            raise _silent(f"has not answered for {wait_s:.0f} seconds", home)
        time.sleep(0.05)
    if not wait_until_gone(folder / "alive", wait_s):
        raise Incomplete(
            f"The embedded AWS has not stopped within {wait_s:.0f} seconds.", hint="run `cruddur local down` again"
        )
    (folder / "running.json").unlink(missing_ok=True)


def describe(home: Path) -> Engine:
    """The emulator's state for ``local status``. Changes nothing."""
    folder, report = home / "aws", running(home, timeout_s=5)
    record = homes.record(folder)
    data, started = str(folder), instant(record.get("started_at"))
    version = str(record["version"]) if "version" in record else None
    if report:
        version = str(report.get("version"))
        error, snapshot_error = report.get("save_error"), report.get("snapshot_error")
        note = f"no new snapshot, so the next start takes longer: {snapshot_error}" if snapshot_error else None
        note = f"its data cannot be saved, and writes are refused: {error}" if error else note
        endpoint = f"http://127.0.0.1:{port(report)}"
        return Engine("aws", "running", endpoint, number(report.get("pid")), version, data, started, note)
    if homes.is_held(folder / "alive"):
        return Engine("aws", "failed", None, number(record.get("pid")), version, data, started, "it does not answer")
    if cause := _unclean(folder):
        note = f"it was not stopped cleanly ({cause}); `cruddur local up` recovers it"
        return Engine("aws", "failed", None, None, version, data, None, note)
    return Engine("aws", "stopped", None, None, None, data, None, None if has_data(home) else "no data yet")


def has_data(home: Path) -> bool:
    """Whether the emulator has data, in the form of this version or of 0.1.0."""
    return generations.exist(home / "aws") or state_files.exist(home / "aws")


def remove(home: Path) -> None:
    """Kill the emulator and delete its own files; other files in the folder stay."""
    folder = home / "aws"
    if homes.is_held(folder / "alive"):
        _signal(_pid(home), signal.SIGKILL)
        if not wait_until_gone(folder / "alive", 10):
            raise Incomplete("The embedded AWS has not stopped.", hint="run `cruddur local down`, then try again")
    for pattern in OWN_FILES:
        for path in folder.glob(pattern):
            if path.is_file():
                path.unlink(missing_ok=True)
    for pattern in FOLDERS:
        for path in folder.glob(pattern):
            homes.remove_if_empty(path)
    homes.remove_if_empty(folder)


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
        hint="run `cruddur local down` again"
        + (f"; or `kill -9 {pid}`: what it has acknowledged is on the disk" if pid else ""),
        details=last_words(home / "aws" / "log"),
        code="not_saved",
    )


def _ask(folder: Path, request: str, timeout_s: float) -> dict[str, object] | None:
    """The emulator's answer, None without one. Over a plain socket: importing an HTTP client takes longer."""
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
    # Another program may have the port by now; only this stack's emulator knows the name of this run.
    is_own = isinstance(answer, dict) and "instance" in answer and answer["instance"] == record.get("instance")
    return answer if is_own else None


def _unclean(folder: Path) -> str | None:
    """Why the last run did not stop cleanly; None if it did."""
    if not (folder / "running.json").exists():
        return None
    record = homes.read(folder / "running.json") or homes.read(folder / "alive")
    if not record:
        return None
    saved = homes.read(folder / "saved.json")
    if saved.get("clean") and saved.get("instance") == record.get("instance"):
        # Version 0.1.0 recorded a clean stop in this file.
        return None
    return "the machine restarted" if record.get("boot_id") != homes.boot_id() else "it was killed"


def _recovered(folder: Path) -> str | None:
    """The message about a last run that was not stopped cleanly, and about what is lost; None if it was."""
    cause = _unclean(folder)
    if not cause:
        return None
    sentence = f"The embedded AWS was not stopped cleanly ({cause})"
    if generations.exist(folder):
        return f"{sentence}; it has recovered, and nothing that it acknowledged is lost."
    # Version 0.1.0 saved a few seconds after each write.
    record = homes.read(folder / "running.json") or homes.read(folder / "alive")
    saved = homes.read(folder / "saved.json")
    same = saved.get("instance") == record.get("instance")
    since = local_time(saved.get("saved_at") if same else record.get("started_at"))
    return f"{sentence}: what was written to it after {since} is lost; `cruddur setup` restores the seeded data"


def _finish(
    home: Path,
    process: subprocess.Popen[bytes],
    *,
    deadline: StartDeadline,
    recovered: str | None,
    say: Callable[[str], None],
) -> int:
    folder = home / "aws"
    log = folder / "log"
    report = first_answer(process, "AWS", lambda left_s: running(home, timeout_s=left_s), deadline, log=log)
    if report is None and process.poll() == DAMAGED:
        reason = last_words(log, 1).removeprefix("cruddur: ")
        raise NotConfigured(
            f"The embedded AWS does not start with the existing data: {reason}.",
            hint=f"put the file back, or run `mv {quote(str(folder))} {quote(f'{folder}.damaged')}`, then "
            "`cruddur setup`: PostgreSQL keeps its data",
            code="state_damaged",
        )
    if report is None:
        raise CannotConnect("The embedded AWS does not start.", hint=f"see {log}", details=last_words(log))
    notes = report.get("notes")
    for sentence in [recovered, *(notes if isinstance(notes, list) else [])]:
        if sentence:
            say(str(sentence))
    say(f"started AWS (ministack {report.get('version')}) on http://127.0.0.1:{port(report)}")
    return port(report)
