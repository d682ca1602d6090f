"""Owns the embedded AWS as a command sees it: starts and stops the emulator's process, and tells whether it is up."""

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

# A scan of a large table keeps the emulator busy; it answers after that.
BUSY_S = 15
# What the emulator and its earlier version make in their folder, hidden ones while they are written.
MADE = ["alive", "log", "log.previous", "running.json", "saved.json", "current.json", "acknowledged", ".*.json.*"]
MADE += ["generation-*/log", "generation-*/snapshot", "generation-*/snapshot.new", "damaged/*-*.json"]
MADE += [f"{state}/{name}" for state in ("state", "previous") for name in ("*.json", ".*.json.*", ".*.new")]
MADE += [f"state/{keys}" for keys in ("cognito-rsa-key.pem*", "cognito-pool-keys/*.pem*")]
FOLDERS = ["generation-*", "damaged", "previous", "state/cognito-pool-keys", "state"]
RUN = "import sys; sys.path.append(sys.argv.pop(1)); from cruddur_cli.local.emulator import main; main()"


def running(home: Path, *, timeout_s: float = BUSY_S) -> dict[str, object] | None:
    """What the emulator says of itself (``pid``, ``port``, ``save_error``, ...), or None when it is not up.

    Takes about two milliseconds; up to ``timeout_s`` while it is busy.
    """
    folder = home / "aws"
    if not homes.is_held(folder / "alive"):
        return None
    return _ask(folder, "GET /_cruddur/alive", timeout_s)


def port(found: dict[str, object]) -> int:
    """The port in what ``running`` has found."""
    return number(found.get("port")) or 0


def start(home: Path, *, deadline: StartDeadline, wait_s: float, say: Callable[[str], None]) -> Callable[[], int]:
    """Starts the emulator and returns a function that waits for its port; so the other engine can start meanwhile.

    ``deadline`` is for one that lives already, ``wait_s`` for one that is started here.
    Raises NotConfigured (no extra, a directory that cannot be used, state that cannot be used) or CannotConnect;
    so does what it returns.
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
            # The package may not be installed, but be on the path of its importer: last, as it is there.
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
    """Returns once all that was written to the emulator is on the disk.

    Raises Incomplete when it cannot be, or the emulator does not say that it is; it keeps running then.
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
    """Has the emulator begin a new generation now, which it does by itself when its log takes long to read.

    Raises Incomplete when it does not.
    """
    answer = _ask(home / "aws", "POST /_cruddur/snapshot", wait_s)
    if answer is None:
        raise _silent("does not answer whether it has begun a new generation", home)
    if error := answer.get("snapshot_error"):
        raise Incomplete(f"The embedded AWS cannot write a snapshot: {error}.", code="not_saved")


def stop(home: Path, *, wait_s: float) -> None:
    """Returns once the emulator has saved everything and ended; already stopped is fine.

    Raises Incomplete when the data cannot be saved or it does not answer (it is left running then), or it does not end
    in time.
    """
    folder, deadline = home / "aws", time.monotonic() + wait_s
    if not homes.is_held(folder / "alive"):
        return
    # For a paused process.
    _signal(_pid(home), signal.SIGCONT)
    # It is never told to end before it has saved: with a full disk it could not any more, and would end all the same.
    while homes.is_held(folder / "alive"):
        if found := running(home, timeout_s=max(0.1, deadline - time.monotonic())):
            save(home)
            _signal(number(found.get("pid")), signal.SIGTERM)
            break
        # It has just been started, is busy, or is already about to end.
        if time.monotonic() > deadline:
            raise _silent(f"has not answered for {wait_s:.0f} seconds", home)
        time.sleep(0.05)
    if not wait_until_gone(folder / "alive", wait_s):
        raise Incomplete(
            f"The embedded AWS has not stopped within {wait_s:.0f} seconds.", hint="run `cruddur local down` again"
        )
    (folder / "running.json").unlink(missing_ok=True)


def describe(home: Path) -> Engine:
    """What is known about it, without changing anything."""
    folder, found = home / "aws", running(home, timeout_s=5)
    record = homes.record(folder)
    data, started = str(folder), instant(record.get("started_at"))
    version = str(record["version"]) if "version" in record else None
    if found:
        version = str(found.get("version"))
        error, snapshot_error = found.get("save_error"), found.get("snapshot_error")
        note = f"no new snapshot, so the next start takes longer: {snapshot_error}" if snapshot_error else None
        note = f"its data cannot be saved, and writes are refused: {error}" if error else note
        endpoint = f"http://127.0.0.1:{port(found)}"
        return Engine("aws", "running", endpoint, number(found.get("pid")), version, data, started, note)
    if homes.is_held(folder / "alive"):
        return Engine("aws", "failed", None, number(record.get("pid")), version, data, started, "it does not answer")
    if cause := _unclean(folder):
        note = f"it was not stopped cleanly ({cause}); `cruddur local up` recovers it"
        return Engine("aws", "failed", None, None, version, data, None, note)
    return Engine("aws", "stopped", None, None, None, data, None, None if has_data(home) else "no data yet")


def has_data(home: Path) -> bool:
    """Whether there is data of the emulator, of this version or an earlier one."""
    return generations.exist(home / "aws") or state_files.exist(home / "aws")


def remove(home: Path) -> None:
    """Ends the emulator and deletes what it made, and nothing else that may lie there."""
    folder = home / "aws"
    if homes.is_held(folder / "alive"):
        _signal(_pid(home), signal.SIGKILL)
        if not wait_until_gone(folder / "alive", 10):
            raise Incomplete("The embedded AWS has not stopped.", hint="run `cruddur local down`, then try again")
    for pattern in MADE:
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
    # Another program may have the port by now; only this stack's server knows the name of this run.
    known = isinstance(answer, dict) and "instance" in answer and answer["instance"] == record.get("instance")
    return answer if known else None


def _unclean(folder: Path) -> str | None:
    """Why the last run did not end by itself, or None when it did."""
    if not (folder / "running.json").exists():
        return None
    record = homes.read(folder / "running.json") or homes.read(folder / "alive")
    if not record:
        return None
    saved = homes.read(folder / "saved.json")
    if saved.get("clean") and saved.get("instance") == record.get("instance"):
        # 0.1.0 said it there.
        return None
    return "the machine restarted" if record.get("boot_id") != homes.boot_id() else "it was killed"


def _recovered(folder: Path) -> str | None:
    """What a person is told of the last run: that it was not stopped cleanly, and what that has cost."""
    cause = _unclean(folder)
    if not cause:
        return None
    sentence = f"The embedded AWS was not stopped cleanly ({cause})"
    if generations.exist(folder):
        return f"{sentence}; it has recovered, and nothing that it acknowledged is lost."
    # 0.1.0 saved a few seconds after each write.
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
    found = first_answer(process, "AWS", lambda left_s: running(home, timeout_s=left_s), deadline, log=log)
    if found is None and process.poll() == DAMAGED:
        reason = last_words(log, 1).removeprefix("cruddur: ")
        raise NotConfigured(
            f"The embedded AWS does not start with the existing data: {reason}.",
            hint=f"put the file back, or run `mv {quote(str(folder))} {quote(f'{folder}.damaged')}`, then "
            "`cruddur setup`: PostgreSQL keeps its data",
            code="state_damaged",
        )
    if found is None:
        raise CannotConnect("The embedded AWS does not start.", hint=f"see {log}", details=last_words(log))
    notes = found.get("notes")
    for sentence in [recovered, *(notes if isinstance(notes, list) else [])]:
        if sentence:
            say(str(sentence))
    say(f"started AWS (ministack {found.get('version')}) on http://127.0.0.1:{port(found)}")
    return port(found)
