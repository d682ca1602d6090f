"""Owns the embedded stack's state directory: its place, its permissions, its locks, and its small files."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from .. import settings
from ..errors import CannotConnect, NotConfigured

ENGINES = ("postgres", "aws")
# This file marks a directory as a state directory, and names the engines that have had data in it.
MARKER = "cruddur-stack.json"
# This file keeps a stack in a checkout, with its passwords, out of commits.
IGNORE = ".gitignore"
# The checkouts that were set up in this stack.
CHECKOUTS = "checkouts.json"
# A directory with only these names counts as empty.
NO_CONTENT = {"lost+found"}
# The files of version 0.1.0, and of commands that need no engine.
CHECKPOINTS = {"lock", "streams", "history"}


def locate() -> Path:
    """The state directory, which may not exist: the folder of the settings, else the one in the user's home.

    Raises NotConfigured if the environment names no home directory.
    """
    return settings.home() or default()


def default() -> Path:
    """The state directory without a setting: ``cruddur`` in the XDG data directory.

    Raises NotConfigured if the environment names no home directory.
    """
    data = os.environ.get("XDG_DATA_HOME", "")
    # The XDG specification requires programs to ignore a relative path.
    if Path(data).is_absolute():
        return Path(data) / "cruddur"
    try:
        user_home = Path.home()
    except RuntimeError:
        user_home = Path()
    if not user_home.is_absolute():
        raise NotConfigured(
            "There is no home directory to keep the embedded stack in.",
            hint="set CRUDDUR_HOME to a directory that you can write to",
        )
    return user_home / ".local" / "share" / "cruddur"


def backups() -> Path:
    """The folder of local backups: beside the state directory, so that `local reset` does not delete it.

    Raises NotConfigured if the environment names no home directory.
    """
    home = locate()
    return home.with_name(f"{home.name}-backups")


def caches() -> Path:
    """The folder of files that can be created again, which may not exist: ``cruddur`` in the XDG cache directory.

    Raises RuntimeError if the environment names no home directory.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification requires programs to ignore a relative path.
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "cruddur"


def history() -> Path:
    """The folder of the history, which may not exist.

    Raises NotConfigured if the state directory contains other files, or there is no home directory.
    """
    home = locate()
    if home.is_dir():
        check_own(home)
    return home / "history"


def prepare() -> Path:
    """The state directory, created if missing, with a directory for each engine, all closed to other users (0700).

    Raises NotConfigured on Windows, and if the directory cannot be created or written to, belongs to another user, or
    contains other files.
    """
    if find_spec("fcntl") is None:
        raise NotConfigured("The embedded stack runs on Linux and macOS.", hint="on Windows, run cruddur in WSL")
    home = locate()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_user(home)
        check_own(home)
        if not (home / MARKER).exists():
            if not (home / IGNORE).exists():
                write(home / IGNORE, "*\n")
            write(home / MARKER, {"engines": sorted(had_data(home))})
        for directory in (home, *(home / engine for engine in ENGINES)):
            directory.mkdir(mode=0o700, exist_ok=True)
            # For root, the group is that of PostgreSQL's account, which may enter.
            if directory.stat().st_mode & 0o067:
                directory.chmod(0o700)
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(b"\0" * 4096)
    except OSError as error:
        raise unusable(home, error) from error
    return home


def check_user(home: Path) -> None:
    """Raise NotConfigured for a directory of another user."""
    if home.stat().st_uid != os.geteuid():
        raise NotConfigured(
            f"The state directory {home} belongs to another user.", hint="set CRUDDUR_HOME to a directory of your own"
        )


def problem(home: Path) -> str:
    """Why the embedded stack cannot use this directory; empty if it can, or could create it. Changes nothing."""
    try:
        exists = home.exists()
        place = home if exists else next(folder for folder in home.parents if folder.exists())
        if not place.is_dir():
            return f"{place if place != home else 'it'} is not a folder"
        if exists:
            check_user(home)
        if not os.access(place, os.W_OK | os.X_OK):
            return "you cannot write to it" if exists else f"you cannot create it in {place}"
        if exists:
            check_own(home)
    except NotConfigured as error:
        return error.message.rstrip(".")
    except OSError as error:
        return error.strerror or str(error)
    return ""


def check_own(home: Path) -> None:
    """Raise NotConfigured for a directory that cannot be read, or that contains files and is no state directory."""
    try:
        names = {path.name for path in home.iterdir()} - NO_CONTENT
    except OSError as error:
        raise unusable(home, error) from error
    # Another command may be writing these files now.
    names = {name for name in names if not name.startswith((f".{MARKER}.", f"{IGNORE}.", f".{IGNORE}."))} - {IGNORE}
    if MARKER in names or names <= CHECKPOINTS or _is_from_0_1_0(home):
        return
    listed = ", ".join(sorted(names)[:3]) + (", …" if len(names) > 3 else "")
    raise NotConfigured(
        f"{home} is not a state directory of cruddur and is not empty (it holds {listed}). Nothing was changed.",
        hint="set CRUDDUR_HOME to an empty directory, or to a new one",
        code="state_directory",
    )


def had_data(home: Path) -> set[str]:
    """The engines that have had data in this directory, even if it is missing now."""
    engines = read(home / MARKER).get("engines")
    if isinstance(engines, list):
        return {str(engine) for engine in engines}
    # Version 0.1.0 recorded a port for each engine that it had started.
    return read(home / "ports.json").keys() & set(ENGINES)


def note_data(home: Path, engine: str, *, has_data: bool) -> None:
    """Record whether an engine has data here, so that missing data is noticed. Raises OSError."""
    before, deleting = had_data(home), in_reset(home)
    after = before | {engine} if has_data else before - {engine}
    if after != before or engine in deleting or not (home / MARKER).exists():
        _mark(home, after, deleting - {engine})


def note_reset(home: Path, engine: str) -> None:
    """Record that the deletion of an engine's data has begun; ``note_data`` ends it. Raises OSError."""
    _mark(home, had_data(home), in_reset(home) | {engine})


def in_reset(home: Path) -> set[str]:
    """The engines whose data a reset has begun to delete."""
    engines = read(home / MARKER).get("in_reset")
    return {str(engine) for engine in engines} if isinstance(engines, list) else set()


def other_checkouts(home: Path, checkout: Path) -> list[Path]:
    """The other checkouts that were set up in this stack; empty if this one was set up in it before."""
    checkouts = _checkouts(home)
    return [] if checkout in checkouts else checkouts


def note_checkout(home: Path, checkout: Path) -> None:
    """Record that a checkout was set up in this stack. Raises OSError or CannotConnect."""
    if checkout not in _checkouts(home):
        with locked(home):
            write(home / CHECKOUTS, {"folders": [str(each) for each in (*_checkouts(home), checkout)]})


def _checkouts(home: Path) -> list[Path]:
    """The recorded checkouts whose folders still exist."""
    folders = read(home / CHECKOUTS).get("folders")
    return [Path(each) for each in map(str, folders) if Path(each).is_dir()] if isinstance(folders, list) else []


def _mark(home: Path, engines: set[str], deleting: set[str]) -> None:
    content: dict[str, object] = {"engines": sorted(engines)}
    write(home / MARKER, content | ({"in_reset": sorted(deleting)} if deleting else {}))


def remove_if_empty(folder: Path) -> None:
    """Delete a folder if it is empty."""
    with suppress(OSError):
        folder.rmdir()


def _is_from_0_1_0(home: Path) -> bool:
    if not ((home / "lock").is_file() and read(home / "ports.json").keys() & set(ENGINES)):
        return False
    return "instance" in read(home / "aws" / "alive") or (home / "postgres" / "password").is_file()


def unusable(path: Path, error: OSError) -> NotConfigured:
    """The error for a path of the state directory that cannot be used, with the cause and what to do."""
    advice = "set CRUDDUR_HOME to a directory that you can write to"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "free some disk space and run it again, or " + advice
    return NotConfigured(
        f"The embedded stack cannot use {path}: {error.strerror or error}.", hint=advice, code="state_directory"
    )


@contextmanager
def locked(home: Path, *, wait_s: float = 60, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock for starting and stopping engines, so that two commands start only one stack.

    ``waiting`` is called repeatedly while another command holds the lock. Raises CannotConnect after ``wait_s``
    seconds.
    """
    path = home / "lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unusable(path, error) from error
    try:
        deadline = time.monotonic() + wait_s
        while not _lock(descriptor):
            if time.monotonic() > deadline:
                raise CannotConnect(
                    f"Another command has been starting or stopping the embedded stack for {wait_s:.0f} seconds "
                    f"(it holds {path}).",
                    hint="wait for it to end, then run `cruddur local status`",
                )
            waiting()
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def hold(path: Path) -> int | None:
    """A locked descriptor of ``path`` for an engine to inherit; None while an engine holds the lock.

    The lock lasts as long as any process has the descriptor. So the lock is right where a process number is wrong:
    after kill -9, for a zombie, and after the number was given to another process.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # ``is_held`` in another process holds the lock for a moment.
    for _ in range(10):
        if _lock(descriptor):
            return descriptor
        time.sleep(0.01)
    os.close(descriptor)
    return None


def note(descriptor: int, record: dict[str, object]) -> None:
    """Write ``record`` about the engine into the file of the descriptor that ``hold`` returned. Raises OSError."""
    content = json.dumps(record).encode()
    os.pwrite(descriptor, content, 0)
    os.ftruncate(descriptor, len(content))


def record(folder: Path) -> dict[str, object]:
    """The record of an engine's run, from two files: one damaged file must not hide a running engine."""
    running, alive = read(folder / "running.json"), read(folder / "alive")
    # Until the command that starts the engine knows the pid, only the engine's own record of this run has it.
    is_same_run = "instance" in alive and alive["instance"] == running.get("instance")
    return alive | running if is_same_run and not alive.get("pid") else running | alive


def is_held(path: Path) -> bool:
    """Whether a running engine holds the lock of ``path``."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, shared: bool = False) -> bool:
    import fcntl  # not on Windows, where help and version work

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read(path: Path) -> dict[str, object]:
    """The JSON object in ``path``; empty if the file is missing or has no JSON object."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def sync_folder(folder: Path) -> None:
    """Wait until the names in ``folder`` are on the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, content: dict[str, object] | str | bytes) -> None:
    """Replace the content of ``path`` in one step, and wait until it is on the disk; only its owner can read it.

    Raises OSError; the file is unchanged then.
    """
    data = json.dumps(content) if isinstance(content, dict) else content
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
        sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def boot_id() -> str:
    """An id that changes when the machine restarts; empty if the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
