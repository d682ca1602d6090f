"""Owns the state directory of the embedded stack: where it is, who may read it, and how its small files are written."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import CannotConnect, NotConfigured

ENGINES = ("postgres", "aws")


def locate() -> Path:
    """Where the state lives, whether or not it exists: ``CRUDDUR_HOME``, else ``cruddur`` under the XDG data directory.

    Raises NotConfigured when the environment names no home at all.
    """
    chosen = os.environ.get("CRUDDUR_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
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


def prepare() -> Path:
    """The state directory, made if missing, closed to everyone else (0700), with a directory for each engine.

    Raises NotConfigured when it cannot be made, written to, or belongs to another user.
    """
    home = locate()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if home.stat().st_uid != os.geteuid():
            raise NotConfigured(
                f"The state directory {home} belongs to another user.",
                hint="set CRUDDUR_HOME to a directory of your own",
            )
        for directory in (home, *(home / engine for engine in ENGINES)):
            directory.mkdir(mode=0o700, exist_ok=True)
            directory.chmod(0o700)
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(b"\0" * 4096)
    except OSError as error:
        raise unusable(home, error) from error
    return home


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
    after kill -9, for a zombie that nobody reaps, and once the number belongs to another process.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # Somebody who only looks (below) is in the way for a moment.
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
        return not _lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
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
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
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
