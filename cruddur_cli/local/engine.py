"""Owns what the two engines have in common: what is known about one, and how it becomes a process of its own."""

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
Found = TypeVar("Found", dict[str, object], tuple[int, int])
Said = TypeVar("Said", dict[str, object], int)

# The emulator's exit code when the saved state cannot be used.
DAMAGED = 65

# An engine that was started just now gets this long even where less is asked for: it may have a large table to read.
_START_S = 60.0
# After so long, a person who waits is told what for; a start takes its time even where all is well.
NOTICE_S = 3.0
_START_NOTICE_S = 10.0

# A process object that goes away while its process lives makes Python warn; these are meant to outlive us.
_started: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Engine:
    """One engine as ``cruddur local status`` shows it; nothing in it is secret.

    ``failed`` means that it ended without being stopped, or lives and does not answer; ``note`` says which.
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
    """The operating system user that a program runs as, where that is not the caller."""

    name: str
    uid: int
    gid: int


class RunAs(TypedDict, total=False):
    """Arguments of ``subprocess``."""

    user: int
    group: int
    extra_groups: list[int]


class StartDeadline:
    """How long is left to wait, over all that is waited for; ``say`` gets one sentence once it takes long."""

    def __init__(self, wait_s: float, say: Callable[[str], None], *, notice_s: float = NOTICE_S) -> None:
        self._began = time.monotonic()
        self._wait_s = wait_s
        self._notice_s = notice_s
        self._say = say
        self._said = False

    def left(self, at_most: float = float("inf")) -> float:
        """Seconds, for the timeout of one try; never so few that a try is none."""
        return max(0.1, min(at_most, self._began + self._wait_s - time.monotonic()))

    def over(self) -> bool:
        """Whether all the time is gone."""
        return time.monotonic() > self._began + self._wait_s

    def remark(self, what: str) -> None:
        """Says ``what`` and how long it may take, once, after a while."""
        if not self._said and time.monotonic() > self._began + self._notice_s:
            self._said = True
            self._say(f"{what}; waiting up to {self.left():.0f} seconds more")


def running_or_claimed(
    folder: Path, label: str, running: Callable[[float], Found | None], deadline: StartDeadline
) -> Found | int:
    """What ``running`` tells of the engine that lives in ``folder``, or the lock of a folder in which none lives.

    ``running`` gets the seconds that it may take. One that lives and does not answer is waited for: an interrupted
    `up` has just started it, it recovers or reads a large table, it is about to end, or it hangs.
    Raises CannotConnect after the deadline, OSError.
    """
    while True:
        if found := running(deadline.left(1)):
            return found
        if (alive := homes.hold(folder / "alive")) is not None:
            return alive
        deadline.remark(f"the embedded {label} does not answer")
        if deadline.over():
            raise CannotConnect(
                f"The embedded {label} runs but does not answer.",
                hint="cruddur local down",
                details=last_words(folder / "log"),
            )
        time.sleep(0.05)


def start_deadline(wait_s: float, say: Callable[[str], None]) -> StartDeadline:
    """How long an engine that is started now may take to answer."""
    return StartDeadline(max(_START_S, wait_s), say, notice_s=_START_NOTICE_S)


def first_answer(
    process: subprocess.Popen[bytes],
    label: str,
    ask: Callable[[float], Said | None],
    deadline: StartDeadline,
    *,
    log: Path,
) -> Said | None:
    """What ``ask`` tells of an engine that was started just now, once it answers; None where its process has ended.

    ``ask`` gets the seconds that it may take. Raises CannotConnect after the deadline.
    """
    while process.poll() is None:
        if said := ask(deadline.left(1)):
            return said
        deadline.remark(f"the embedded {label} is starting")
        if deadline.over():
            raise CannotConnect(
                f"The embedded {label} does not answer yet.",
                hint="cruddur local up --wait 300",
                details=last_words(log),
            )
        time.sleep(0.01)
    return None


def environment(**more: str) -> dict[str, str]:
    """What an engine inherits: how to find programs and libraries, and nothing that configures a database or AWS."""
    kept = ("PATH", "HOME", "TMPDIR", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C"} | more


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str],
    keep: Sequence[int],
    account: SystemUser | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a process that outlives this one, its terminal and its pipes; it writes to ``log`` and keeps ``keep``.

    The log starts empty and the one before stays beside it, so two of them is all there ever is.
    Raises OSError.
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
    """The end of a log, for an error's details."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def listen(home: Path, name: str) -> socket.socket:
    """A listening socket on 127.0.0.1: on the port that engine had last time if it is free, else on another, kept now.

    Raises OSError.
    """
    kept = homes.read(home / "ports.json")
    port = kept.get(name, 0)
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
            homes.write(home / "ports.json", kept | {name: chosen})
    except BaseException:
        listener.close()
        raise
    return listener


def wait_until_gone(alive: Path, timeout_s: float) -> bool:
    """Whether the engine that holds ``alive`` ended within that time."""
    deadline = time.monotonic() + timeout_s
    while homes.is_held(alive):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def number(value: object) -> int | None:
    """A whole number from a file that may hold anything."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def instant(value: object) -> datetime | None:
    """The instant, in UTC, that a file gives in seconds since the epoch."""
    return None if (seconds := number(value)) is None else datetime.fromtimestamp(seconds, UTC)


def local_time(value: object) -> str:
    """A time from a file as a person reads it, in local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value)) if isinstance(value, (int, float)) else "its start"
