"""Owns the history: what commands changed from this machine, when and by whom, as JSON lines in one file.

A command collects what it acts on and what it changes while it runs, and is written as one line when it ends. A command
that is refused before it changes anything has no line, and neither has a process that is killed with SIGKILL. A history
that cannot be written never fails a command.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from .. import times
from ..errors import BadInput, CruddurError, NotConfigured, NotFound, Protected

NAME = "history.jsonl"
BEFORE = "history.1.jsonl"
"""The lines before those in ``NAME``; the file that was before it is deleted."""
MAX_BYTES = 1_000_000
NOT_WRITTEN = "This command is not in the history:"
"""How a warning begins that ends with what ``end`` returns."""
_MAX_TEXT = 2000
_MAX_TEXTS = 20
_LOCK_WAIT_S = 1.0
_PAUSE_S = 0.01
_HIDDEN = "…"
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT


@dataclass(frozen=True)
class Entry:
    """One command that was to change something: ``stores`` it acted on, the ``warning`` that was agreed to, the
    last lines that it ``reported``, and its ``counts``."""

    at: datetime
    user: str
    host: str
    folder: str
    environment: str
    command: str
    stores: tuple[str, ...]
    warning: str | None
    reported: tuple[str, ...]
    counts: Mapping[str, int]
    exit_code: int
    seconds: float


@dataclass
class _Running:
    environment: str
    private: Sequence[str]
    folder: Callable[[], Path]
    at: datetime = field(default_factory=lambda: times.now())  # noqa: PLW0108 - tests set the clock
    began: float = field(default_factory=time.monotonic)
    stores: list[str] = field(default_factory=list)
    warning: str | None = None
    reported: deque[str] = field(default_factory=lambda: deque(maxlen=_MAX_TEXTS))
    counts: dict[str, int] = field(default_factory=dict)
    has_changed: bool = False
    is_refused: bool = False


_running: _Running | None = None


def begin(*, prod: bool, folder: Callable[[], Path], private: Sequence[str] = ()) -> None:
    """A command begins that is to change something. ``private`` are arguments that are not written, such as messages.

    ``folder`` gives the folder of the history when the command ends.
    """
    global _running  # noqa: PLW0603 - a process runs one command
    _running = _Running("production" if prod else "local", [text for text in private if text], folder)


def forget() -> None:
    """Write nothing of the command that runs."""
    global _running  # noqa: PLW0603
    _running = None


def acted_on(store: str, environment: str) -> None:
    """The command acts on a store. One that is not local marks the whole command."""
    if _running is not None:
        if _running.environment == "local":
            _running.environment = environment
        if store not in _running.stores:
            _running.stores.append(store)


def agreed(warning: str) -> None:
    """A person, or an option, agreed to what the command warned of."""
    if _running is not None:
        _running.warning = warning
        _running.has_changed = True


def reported(text: str, *, is_change: bool = False) -> None:
    """The command told what it did; ``is_change`` where it has changed a store."""
    if _running is not None:
        _running.reported.append(text)
        _running.has_changed |= is_change


def failed(error: CruddurError) -> None:
    """The command ended with this error. Some kinds are raised before anything is changed, unless their fields count.

    A setting that is wrong may be found after a store was opened: credentials expire while a command runs.
    """
    if _running is None or any(type(value) is int and value for value in error.fields.values()):
        return
    is_early = isinstance(error, NotConfigured) and not _running.stores
    _running.is_refused = is_early or isinstance(error, BadInput | NotFound | Protected)


def counted(counts: Mapping[str, object]) -> None:
    """The command reported how much it changed."""
    if _running is not None:
        found = {name: value for name, value in counts.items() if type(value) is int}
        _running.counts.update(found)


def end(arguments: Sequence[str], exit_code: int, *, secrets: Callable[[], Sequence[str]]) -> str | None:
    """Write the line of the command that ran with these arguments; returns why that was not possible.

    A command that succeeded and says that it changed nothing has no line, and neither has one that was refused first.
    ``secrets`` gives the words that are masked in every text.
    """
    running = _running
    forget()
    if running is None or (exit_code == 0 and running.counts.get("changed") == 0):
        return None
    if running.is_refused and not running.has_changed:
        return None
    try:
        append(running.folder(), json.dumps(_line(running, arguments, exit_code, secrets())).encode())
    except CruddurError as error:
        return error.message
    except OSError as error:
        return f"{error.filename or 'the file'}: {error.strerror or error}."
    except Exception as error:  # noqa: BLE001 - it never fails the command
        return f"{type(error).__name__}: {error}"
    return None


def _line(running: _Running, arguments: Sequence[str], exit_code: int, known: Sequence[str]) -> dict[str, object]:
    import shlex

    from .. import masking

    def shown(text: str) -> str:
        text = masking.text(text, known)
        return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}{_HIDDEN}"

    words = [_HIDDEN if word in running.private else word for word in arguments]
    command = " ".join(word if word == _HIDDEN else shlex.quote(word) for word in ("cruddur", *words))
    return {
        "at": times.sort_key(running.at),
        "user": _user(),
        "host": os.uname().nodename,
        "folder": _folder(),
        "environment": running.environment,
        "command": shown(command),
        "stores": [shown(text) for text in running.stores[:_MAX_TEXTS]],
        "warning": None if running.warning is None else shown(running.warning),
        "reported": [shown(text) for text in running.reported],
        "counts": running.counts,
        "exit_code": exit_code,
        "seconds": round(time.monotonic() - running.began, 3),
    }


def append(folder: Path, line: bytes) -> None:
    """Add a line to the history in ``folder`` with one write, for the owner alone. Raises OSError.

    A line of a process that ended within its write is closed first. A file of ``MAX_BYTES`` becomes ``BEFORE``.
    """
    _check_owner(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(folder) as is_locked:
        descriptor = _open(folder / NAME, _APPEND)
        try:
            if is_locked and os.fstat(descriptor).st_size + len(line) > MAX_BYTES:
                (folder / NAME).replace(folder / BEFORE)
                os.close(descriptor)
                descriptor = _open(folder / NAME, _APPEND)
            size = os.fstat(descriptor).st_size
            is_whole = not size or os.pread(descriptor, size, size - 1).startswith(b"\n")
            os.write(descriptor, (b"" if is_whole else b"\n") + line + b"\n")
        finally:
            os.close(descriptor)


def read(folder: Path) -> tuple[list[Entry], int]:
    """The entries in ``folder``, newest first, and how many lines cannot be read. Raises OSError."""
    found: list[Entry] = []
    damaged = 0
    for name in (BEFORE, NAME):
        try:
            descriptor = _open(folder / name, os.O_RDONLY)
        except FileNotFoundError:
            continue
        with os.fdopen(descriptor, "rb") as file:
            for line in file:
                try:
                    found.append(_entry(json.loads(line)))
                except (ValueError, KeyError, TypeError, RecursionError):
                    damaged += bool(line.strip())
    return sorted(found, key=lambda entry: entry.at, reverse=True), damaged


def _entry(line: Any) -> Entry:
    """The entry of a line. Raises ValueError, KeyError or TypeError for a line that ``end`` did not write."""
    at = times.instant(line["at"])
    values = {one.name: line[one.name] for one in fields(Entry)}
    texts = {name: tuple(map(str, line[name])) for name in ("stores", "reported")}
    counts = {name: int(number) for name, number in dict(line["counts"]).items()}
    is_text = all(isinstance(values[name], str) for name in ("user", "host", "folder", "environment", "command"))
    if at is None or not is_text or not isinstance(values["warning"], str | None):
        raise ValueError(line)
    numbers = {"exit_code": int(line["exit_code"]), "seconds": float(line["seconds"]), "counts": counts}
    return Entry(**{**values, **texts, **numbers, "at": at})


def _check_owner(folder: Path) -> None:
    """Raise PermissionError where root would write into the folder of another user, as under sudo."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    owner = there.stat().st_uid
    if owner != os.geteuid() and (os.geteuid() == 0 or there == folder):
        raise PermissionError(errno.EPERM, "it belongs to another user", str(there))


def _open(path: Path, flags: int) -> int:
    """A descriptor of a regular file of this user; never waits. Raises OSError, also for a link and for other files."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, 0o600)
    found = os.fstat(descriptor)
    is_foreign = found.st_uid != os.geteuid()
    if stat.S_ISREG(found.st_mode) and not is_foreign:
        return descriptor
    os.close(descriptor)
    why = "it belongs to another user" if is_foreign else "it is not a regular file"
    raise PermissionError(errno.EPERM, why, str(path))


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Holds the lock under which a full file is replaced; False where another process keeps it.

    Without it the line is added all the same.
    """
    descriptor = _open(folder / "lock", _APPEND)
    try:
        deadline = time.monotonic() + _LOCK_WAIT_S
        is_locked = _lock(descriptor)
        while not is_locked and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)
            is_locked = _lock(descriptor)
        yield is_locked
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    import fcntl  # here, because Windows has none, and shows help

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False


def _user() -> str:
    import getpass

    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):
        name = str(os.getuid())
    above = os.environ.get("SUDO_USER")
    return f"{above} (as {name})" if above and above != name else name


def _folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        return ""
