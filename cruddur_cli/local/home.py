"""Owns the state directory of the embedded stack: where it is, who may read it, and how its small files are written."""

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
# Says that the directory is a state directory, and which engines have had data in it.
MARKER = "cruddur-stack.json"
# Keeps the passwords and the data of a stack in a checkout out of its commits.
IGNORE = ".gitignore"
# The checkouts that were set up in this stack.
CHECKOUTS = "checkouts.json"
# A file system's own folder does not make a directory one that is in use.
NO_CONTENT = {"lost+found"}
# What 0.1.0, and the commands that need no engine, put into it.
CHECKPOINTS = {"lock", "streams", "history"}


def locate() -> Path:
    """Where the state lives, whether or not it exists: the folder of the settings, else the one in the user's home.

    Raises NotConfigured when the environment names no home at all.
    """
    return settings.home() or default()


def default() -> Path:
    """Where the state lives when no setting says where: ``cruddur`` under the XDG data directory.

    Raises NotConfigured when the environment names no home at all.
    """
    data = os.environ.get("XDG_DATA_HOME", "")
    # The XDG specification says that a relative path there is to be ignored.
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
    """Where files of local backups are: beside the embedded stack's folder, so that `local reset` keeps them.

    Raises NotConfigured when the environment names no home at all.
    """
    there = locate()
    return there.with_name(f"{there.name}-backups")


def caches() -> Path:
    """The folder of what can be made again: ``cruddur`` under the XDG cache directory, whether or not it exists.

    Raises RuntimeError where the environment names no home.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification says that a relative path there is to be ignored.
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "cruddur"


def history() -> Path:
    """The folder of the history, whether or not it exists.

    Raises NotConfigured where the directory above it holds other files, or there is no home at all.
    """
    home = locate()
    if home.is_dir():
        check_own(home)
    return home / "history"


def prepare() -> Path:
    """The state directory, made if missing, closed to everyone else (0700), with a directory for each engine.

    Raises NotConfigured on Windows, and when it cannot be made, written to, belongs to another user, or holds other
    files.
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
            # For root, the group is that of PostgreSQL's account, which may pass through.
            if directory.stat().st_mode & 0o067:
                directory.chmod(0o700)
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(b"\0" * 4096)
    except OSError as error:
        raise unusable(home, error) from error
    return home


def check_user(home: Path) -> None:
    """Raises NotConfigured for a directory of another user."""
    if home.stat().st_uid != os.geteuid():
        raise NotConfigured(
            f"The state directory {home} belongs to another user.", hint="set CRUDDUR_HOME to a directory of your own"
        )


def problem(home: Path) -> str:
    """Why the embedded stack cannot use this directory; empty where it can, or could create it. Changes nothing."""
    try:
        there = home.exists()
        place = home if there else next(folder for folder in home.parents if folder.exists())
        if not place.is_dir():
            return f"{place if place != home else 'it'} is not a folder"
        if there:
            check_user(home)
        if not os.access(place, os.W_OK | os.X_OK):
            return "you cannot write to it" if there else f"you cannot create it in {place}"
        if there:
            check_own(home)
    except NotConfigured as error:
        return error.message.rstrip(".")
    except OSError as error:
        return error.strerror or str(error)
    return ""


def check_own(home: Path) -> None:
    """Raises NotConfigured for a directory that cannot be read, or holds files and is no state directory."""
    try:
        names = {path.name for path in home.iterdir()} - NO_CONTENT
    except OSError as error:
        raise unusable(home, error) from error
    # Another command may write them right now.
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
    """The engines that have had data in this directory, whether or not it is still there."""
    engines = read(home / MARKER).get("engines")
    if isinstance(engines, list):
        return {str(engine) for engine in engines}
    # 0.1.0 kept a port for each engine that it had started.
    return read(home / "ports.json").keys() & set(ENGINES)


def note_data(home: Path, engine: str, *, there: bool) -> None:
    """Keeps in mind whether an engine has data here, so that it is noticed when the data is gone. Raises OSError."""
    before, deleting = had_data(home), in_reset(home)
    after = before | {engine} if there else before - {engine}
    if after != before or engine in deleting or not (home / MARKER).exists():
        _mark(home, after, deleting - {engine})


def note_reset(home: Path, engine: str) -> None:
    """Keeps in mind that the deletion of an engine's data has begun, until ``note_data``. Raises OSError."""
    _mark(home, had_data(home), in_reset(home) | {engine})


def in_reset(home: Path) -> set[str]:
    """The engines whose data a reset has begun to delete."""
    engines = read(home / MARKER).get("in_reset")
    return {str(engine) for engine in engines} if isinstance(engines, list) else set()


def other_checkouts(home: Path, checkout: Path) -> list[Path]:
    """The other checkouts that were set up in this stack; none if this one was set up in it before."""
    known = _checkouts(home)
    return [] if checkout in known else known


def note_checkout(home: Path, checkout: Path) -> None:
    """Keeps in mind that a checkout was set up in this stack. Raises OSError, CannotConnect."""
    if checkout not in _checkouts(home):
        with locked(home):
            write(home / CHECKOUTS, {"folders": [str(each) for each in (*_checkouts(home), checkout)]})


def _checkouts(home: Path) -> list[Path]:
    """Those whose folders still exist."""
    found = read(home / CHECKOUTS).get("folders")
    return [Path(each) for each in map(str, found) if Path(each).is_dir()] if isinstance(found, list) else []


def _mark(home: Path, engines: set[str], deleting: set[str]) -> None:
    content: dict[str, object] = {"engines": sorted(engines)}
    write(home / MARKER, content | ({"in_reset": sorted(deleting)} if deleting else {}))


def remove_if_empty(folder: Path) -> None:
    """Deletes a folder unless it holds something."""
    with suppress(OSError):
        folder.rmdir()


def _is_from_0_1_0(home: Path) -> bool:
    if not ((home / "lock").is_file() and read(home / "ports.json").keys() & set(ENGINES)):
        return False
    return "instance" in read(home / "aws" / "alive") or (home / "postgres" / "password").is_file()


def unusable(path: Path, error: OSError) -> NotConfigured:
    """The error for a path of the state directory that cannot be used: what is wrong with it, and the remedy."""
    advice = "set CRUDDUR_HOME to a directory that you can write to"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "free some disk space and run it again, or " + advice
    return NotConfigured(
        f"The embedded stack cannot use {path}: {error.strerror or error}.", hint=advice, code="state_directory"
    )


@contextmanager
def locked(home: Path, *, wait_s: float = 60, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds the lock under which engines are started and stopped, so that two commands at once make one stack.

    ``waiting`` is called again and again meanwhile.
    Raises CannotConnect when another command keeps it for longer than ``wait_s`` seconds.
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
    """A locked descriptor of ``path`` to hand to an engine, or None while an engine holds it.

    The lock lives as long as any process has the descriptor, so it tells the truth where a process number would lie:
    after kill -9, for a zombie that is not reaped, and once the number belongs to another process.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # A process that only looks (below) holds it for a moment.
    for _ in range(10):
        if _lock(descriptor):
            return descriptor
        time.sleep(0.01)
    os.close(descriptor)
    return None


def note(descriptor: int, record: dict[str, object]) -> None:
    """Makes ``record`` the content of what ``hold`` returned, so that it is known who holds it.

    Raises OSError.
    """
    content = json.dumps(record).encode()
    os.pwrite(descriptor, content, 0)
    os.ftruncate(descriptor, len(content))


def record(folder: Path) -> dict[str, object]:
    """What is written down of an engine's run, in two places: one damaged file must not hide an engine that lives."""
    written, held = read(folder / "running.json"), read(folder / "alive")
    # Until its starter knows the process number, only what the engine itself has written of this run says it.
    same = "instance" in held and held["instance"] == written.get("instance")
    return held | written if same and not held.get("pid") else written | held


def is_held(path: Path) -> bool:
    """Whether an engine lives that was given ``hold(path)``."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, shared: bool = False) -> bool:
    import fcntl  # there is none on Windows, where help and version work

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read(path: Path) -> dict[str, object]:
    """The JSON object in ``path``; empty when there is none, or none that can be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def sync_folder(folder: Path) -> None:
    """Returns once the names in ``folder`` are on the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, content: dict[str, object] | str | bytes) -> None:
    """Puts ``content`` into ``path`` for the owner alone, whole or not at all, and on the disk when it returns.

    Raises OSError, and leaves what was there.
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
    """What changes when the machine restarts; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
