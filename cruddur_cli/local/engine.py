"""Owns what both engines share: the record of an engine's state, starting its process, and waiting for an answer."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypedDict, TypeVar

from ..errors import CannotConnect
from . import home as homes

State = Literal["running", "stopped", "failed"]
Running = TypeVar("Running", dict[str, object], tuple[int, int])
Answer = TypeVar("Answer", dict[str, object], int)

# The emulator's exit code when the saved state cannot be used.
DAMAGED = 65

# A start may take this many seconds even with a shorter --wait, because there may be a large table to read.
_START_S = 60.0
# After so many seconds a message says what a command waits for; during a normal start, later.
NOTICE_S = 3.0
_START_NOTICE_S = 10.0

# Python warns when a Popen object is deleted while its process runs; the engines outlive this process.
_started: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Engine:
    """One engine as ``cruddur local status`` shows it, without secrets.

    ``failed`` means that it was not stopped cleanly, or that it runs and does not answer; ``note`` says which.
    ``started_at`` is in UTC.
    """

    name: Literal["postgres", "aws"]
    state: State
    endpoint: str | None
    pid: int | None
    version: str | None
    data_dir: str
    started_at: datetime | None = None
    note: str | None = None


@dataclass(frozen=True)
class SystemUser:
    """The operating system user that a program runs as instead of the caller's."""

    name: str
    uid: int
    gid: int


class RunAs(TypedDict, total=False):
    """Arguments of ``subprocess`` that choose the user."""

    user: int
    group: int
    extra_groups: list[int]


class StartDeadline:
    """One limit for several waits; ``say`` gets one sentence if they take long."""

    def __init__(self, wait_s: float, say: Callable[[str], None], *, notice_s: float = NOTICE_S) -> None:
        self._began = time.monotonic()
        self._wait_s = wait_s
        self._notice_s = notice_s
        self._say = say
        self._has_notified = False

    def left(self, at_most: float = float("inf")) -> float:
        """The seconds left for one try, at least 0.1, so that there is always one."""
        return max(0.1, min(at_most, self._began + self._wait_s - time.monotonic()))

    def over(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() > self._began + self._wait_s

    def remark(self, what: str) -> None:
        """Print ``what`` and the seconds left, once, after ``notice_s``."""
        if not self._has_notified and time.monotonic() > self._began + self._notice_s:
            self._has_notified = True
            self._say(f"{what}; waiting up to {self.left():.0f} seconds more")

    def check(self, waiting: str, *, failed: str, hint: str, log: Path) -> None:
        """``remark(waiting)``; after the deadline raise CannotConnect(``failed``) with the end of the log."""
        self.remark(waiting)
        if self.over():
            raise CannotConnect(failed, hint=hint, details=last_words(log))


def running_or_claimed(
    folder: Path, label: str, running: Callable[[float], Running | None], deadline: StartDeadline
) -> Running | int:
    """What ``running`` returns for the engine of ``folder``, or the descriptor of the folder's lock if none runs.

    ``running`` gets the seconds that it may take. An engine that runs and does not answer is waited for: it may have
    just been started, recover, read a large table, be about to end, or hang. Raises CannotConnect after the deadline,
    or OSError.
    """
    while True:
        if answer := running(deadline.left(1)):
            return answer
        if (alive := homes.hold(folder / "alive")) is not None:
            return alive
        deadline.check(
            f"the embedded {label} does not answer",
            failed=f"The embedded {label} runs but does not answer.",
            hint="cruddur local down",
            log=folder / "log",
        )
        time.sleep(0.05)


def start_deadline(wait_s: float, say: Callable[[str], None]) -> StartDeadline:
    """The deadline for the first answer of an engine that is started now: ``wait_s``, or at least a minute."""
    return StartDeadline(max(_START_S, wait_s), say, notice_s=_START_NOTICE_S)


def first_answer(
    process: subprocess.Popen[bytes],
    label: str,
    ask: Callable[[float], Answer | None],
    deadline: StartDeadline,
    *,
    log: Path,
) -> Answer | None:
    """What ``ask`` returns once a new engine answers; None if its process has ended.

    ``ask`` gets the seconds that it may take. Raises CannotConnect after the deadline.
    """
    while process.poll() is None:
        if answer := ask(deadline.left(1)):
            return answer
        deadline.check(
            f"the embedded {label} is starting",
            failed=f"The embedded {label} does not answer yet.",
            hint="cruddur local up --wait 300",
            log=log,
        )
        time.sleep(0.01)
    return None


def environment(**more: str) -> dict[str, str]:
    """An engine's environment: paths of programs and libraries, and no variable of a database or of AWS."""
    inherited = ("PATH", "HOME", "TMPDIR", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {name: os.environ[name] for name in inherited if name in os.environ} | {"LC_ALL": "C"} | more


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str],
    keep: Sequence[int],
    account: SystemUser | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process that outlives this one and its terminal; it writes to ``log`` and inherits descriptors ``keep``.

    The log starts empty; the log of the run before is renamed to ``.previous``, and older ones are overwritten. Raises
    OSError.
    """
    if log.exists():
        log.replace(log.with_name(f"{log.name}.previous"))
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600), "wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=keep,
            cwd="/",
            env=env,
            umask=0o077,
            **as_user(account),
        )
    _started.append(process)
    return process


def as_user(account: SystemUser | None) -> RunAs:
    """The arguments of ``subprocess`` that make a program run as ``account``."""
    return {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}


def last_words(log: Path, lines: int = 6) -> str:
    """The last lines of a log, for an error's details; empty if it cannot be read."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def listen(home: Path, name: str) -> socket.socket:
    """A listening socket on 127.0.0.1, on the engine's last port if it is free, else on another, which is recorded.

    Raises OSError.
    """
    ports = homes.read(home / "ports.json")
    port = ports.get(name, 0)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        try:
            listener.bind(("127.0.0.1", port if isinstance(port, int) else 0))
            listener.listen(128)
        except (OSError, OverflowError):
            listener.close()
            listener = socket.socket()
            listener.bind(("127.0.0.1", 0))
            listener.listen(128)
        chosen = listener.getsockname()[1]
        if chosen != port:
            homes.write(home / "ports.json", ports | {name: chosen})
    except BaseException:
        listener.close()
        raise
    return listener


def wait_until_gone(alive: Path, timeout_s: float) -> bool:
    """Whether the engine that holds the lock ``alive`` ends within ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while homes.is_held(alive):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def number(value: object) -> int | None:
    """The value if it is a whole number, else None: a file may contain anything."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def instant(value: object) -> datetime | None:
    """The instant in UTC for seconds since the epoch; None if the value is no whole number."""
    return None if (seconds := number(value)) is None else datetime.fromtimestamp(seconds, UTC)


def local_time(value: object) -> str:
    """A time in seconds since the epoch as local time, for a message."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value)) if isinstance(value, (int, float)) else "its start"
