"""Owns the history: what commands changed from this machine, when and by whom, as JSON lines in one file.

While a command runs, this module collects the stores that it acts on and what it reports. When the command ends, it
writes one line. A command that is refused before it changes anything gets no line, and neither does a process that is
killed with SIGKILL. A history that cannot be written does not fail a command.
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
"""The older lines: a full ``NAME`` gets this name, and replaces the file that had it."""
MAX_BYTES = 1_000_000
NOT_WRITTEN = "This command is not in the history:"
"""The beginning of a warning; ``end`` returns the rest."""
_MAX_TEXT = 2000
_MAX_TEXTS = 20
_LOCK_WAIT_S = 1.0
_PAUSE_S = 0.01
_HIDDEN = "…"
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT


@dataclass(frozen=True)
class Entry:
    """One command that was to change something.

    ``stores`` are those it acted on, ``warning`` is the question that was confirmed, ``reported`` are the last lines it
    reported.
    """

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
    """Start collecting for a command that changes something. ``private`` are arguments that are not written: messages.

    ``folder`` returns the folder of the history; it is called when the command ends.
    """
    global _running  # noqa: PLW0603 - a process runs one command
    _running = _Running("production" if prod else "local", [text for text in private if text], folder)


def forget() -> None:
    """Stop collecting, and write nothing about the command that runs."""
    global _running  # noqa: PLW0603
    _running = None


def acted_on(store: str, environment: str) -> None:
    """Record that the command acts on a store. A store that is not local sets the environment of the whole command."""
    if _running is not None:
        if _running.environment == "local":
            _running.environment = environment
        if store not in _running.stores:
            _running.stores.append(store)


def agreed(warning: str) -> None:
    """Record that the user, or an option, confirmed this warning."""
    if _running is not None:
        _running.warning = warning
        _running.has_changed = True


def reported(text: str, *, is_change: bool = False) -> None:
    """Record a line that the command reported; ``is_change`` says that it has changed a store."""
    if _running is not None:
        _running.reported.append(text)
        _running.has_changed |= is_change


def failed(error: CruddurError) -> None:
    """Record that the command ended with this error. If the error means that nothing was changed, it gets no line.

    NotConfigured means it only before a store was opened: credentials can expire while a command runs. An error with
    counts in its fields never means it.
    """
    if _running is None or any(type(value) is int and value for value in error.fields.values()):
        return
    is_early = isinstance(error, NotConfigured) and not _running.stores
    _running.is_refused = is_early or isinstance(error, BadInput | NotFound | Protected)


def counted(counts: Mapping[str, object]) -> None:
    """Record how much the command changed."""
    if _running is not None:
        numbers = {name: value for name, value in counts.items() if type(value) is int}
        _running.counts.update(numbers)


def end(arguments: Sequence[str], exit_code: int, *, secrets: Callable[[], Sequence[str]]) -> str | None:
    """Write the line of the command with these arguments; returns why it could not be written, else None.

    A command that succeeded and changed nothing has no line, and neither does one that was refused first. ``secrets``
    returns the words that are masked in every text.
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


def _line(running: _Running, arguments: Sequence[str], exit_code: int, secrets: Sequence[str]) -> dict[str, object]:
    import shlex

    from .. import masking

    def shown(text: str) -> str:
        text = masking.text(text, secrets)
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
    """Add a line to the history in ``folder`` with one write. Only its owner can read the file. Raises OSError.

    If the last line is incomplete, because its process ended while it wrote, the new line begins after a line end. A
    file of ``MAX_BYTES`` is renamed to ``BEFORE``.
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
            is_whole = not size or os.pread(descriptor, 1, size - 1) == b"\n"
            os.write(descriptor, (b"" if is_whole else b"\n") + line + b"\n")
        finally:
            os.close(descriptor)


def read(folder: Path) -> tuple[list[Entry], int]:
    """The entries in ``folder``, newest first, and the number of lines that cannot be read. Raises OSError."""
    entries: list[Entry] = []
    damaged = 0
    for name in (BEFORE, NAME):
        try:
            descriptor = _open(folder / name, os.O_RDONLY)
        except FileNotFoundError:
            continue
        with os.fdopen(descriptor, "rb") as file:
            for line in file:
                try:
                    entries.append(_entry(json.loads(line)))
                except (ValueError, KeyError, TypeError, RecursionError):
                    damaged += bool(line.strip())
    return sorted(entries, key=lambda entry: entry.at, reverse=True), damaged


def _entry(line: Any) -> Entry:
    """The entry of a line. Raises ValueError, KeyError or TypeError for a line that ``end`` did not write."""
    at = times.instant(line["at"])
    values = {field_.name: line[field_.name] for field_ in fields(Entry)}
    texts = {name: tuple(map(str, line[name])) for name in ("stores", "reported")}
    counts = {name: int(number) for name, number in dict(line["counts"]).items()}
    is_text = all(isinstance(values[name], str) for name in ("user", "host", "folder", "environment", "command"))
    if at is None or not is_text or not isinstance(values["warning"], str | None):
        raise ValueError(line)
    numbers = {"exit_code": int(line["exit_code"]), "seconds": float(line["seconds"]), "counts": counts}
    return Entry(**{**values, **texts, **numbers, "at": at})


def _check_owner(folder: Path) -> None:
    """Raise PermissionError for a folder of another user, where sudo would make root the owner of the files."""
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    owner = existing.stat().st_uid
    if owner != os.geteuid() and (os.geteuid() == 0 or existing == folder):
        raise PermissionError(errno.EPERM, "it belongs to another user", str(existing))


def _open(path: Path, flags: int) -> int:
    """A descriptor of a regular file of this user; never waits. Raises OSError, also for a symbolic link."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, 0o600)
    status = os.fstat(descriptor)
    is_foreign = status.st_uid != os.geteuid()
    if stat.S_ISREG(status.st_mode) and not is_foreign:
        return descriptor
    os.close(descriptor)
    reason = "it belongs to another user" if is_foreign else "it is not a regular file"
    raise PermissionError(errno.EPERM, reason, str(path))


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the lock under which a full file is replaced. Yields False where another process holds it.

    The line is added even without the lock.
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
    import fcntl  # imported here, because Windows has no fcntl, and `--help` has to work there

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
    sudo_user = os.environ.get("SUDO_USER")
    return f"{sudo_user} (as {name})" if sudo_user and sudo_user != name else name


def _folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        return ""
