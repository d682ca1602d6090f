"""Owns the folder of one run of the tests: everything that a run starts or writes is in it, and ends with it.

A run that is killed cannot clean up. Each run therefore holds a lock on its folder for as long as it lives. The next
run finds the folders that are not locked any more, ends the processes that were started there, and removes them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from cruddur_cli.errors import CruddurError
from cruddur_cli.local import stack

# How the processes of xdist learn of the folder.
VARIABLE = "TEST_RUN_FOLDER"


class Run:
    """One run: its folder, and the lock that says that it lives."""

    def __init__(self, folder: Path, lock: int | None = None) -> None:
        self.folder = folder
        self._lock = lock

    @property
    def temporary(self) -> Path:
        """Where all temporary files go."""
        return self.folder / "tmp"

    def own(self, name: str) -> Path:
        """A folder in it that any account can pass through, for a server that is not run by the caller's account."""
        made = self.folder / name
        made.mkdir(mode=0o711, exist_ok=True)
        made.chmod(0o711)
        return made

    def another(self) -> Path:
        """A new folder like that, of a name that no other test has: pytest's names are those of one process."""
        return self.own(uuid.uuid4().hex[:12])

    def once(self, name: str, make: Callable[[], str]) -> str:
        """What ``make`` returned to the first process of this run that asked for ``name``."""
        with _locked(self.folder / f"{name}.lock"):
            result = self.folder / f"{name}.result"
            if not result.exists():
                result.write_text(make(), encoding="utf-8")
            return result.read_text(encoding="utf-8")

    def end(self) -> None:
        """End every process of the run, and remove all its files."""
        remove(self.folder)
        if self._lock is not None:
            os.close(self._lock)


def begin(config: pytest.Config) -> Run:
    """The run that this process belongs to, after the runs that were killed were cleared away."""
    if hasattr(config, "workerinput"):
        run = Run(Path(os.environ[VARIABLE]))
    else:
        base = _roomy() / f"cruddur-tests-{os.geteuid()}"
        base.mkdir(mode=0o711, exist_ok=True)
        if base.is_symlink() or base.stat().st_uid != os.geteuid():
            raise pytest.UsageError(f"{base} belongs to another account; remove it, or set TMPDIR to another folder")
        with _locked(base / "lock"):
            clear(base)
            folder = Path(tempfile.mkdtemp(prefix="", dir=base))
            folder.chmod(0o711)
            lock = os.open(folder / "alive", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
        run = Run(folder, lock)
        run.temporary.mkdir()
        os.environ[VARIABLE] = str(folder)
    # Also of every command and engine: this is what their processes are recognized by.
    os.environ["TMPDIR"] = str(run.temporary)
    tempfile.tempdir = None
    return run


def _roomy() -> Path:
    """Where runs have their folders: ``TMPDIR``, else memory where there is enough of it, else the disk."""
    memory = Path("/dev/shm")
    if "TMPDIR" not in os.environ and os.access(memory, os.W_OK):
        found = os.statvfs(memory)
        # Programs are written and run there as well; a container's is small.
        if found.f_bavail * found.f_frsize > 4 * 2**30 and not found.f_flag & os.ST_NOEXEC:
            return memory
    return Path(tempfile.gettempdir())


def clear(base: Path) -> None:
    """End and remove each run in ``base`` whose process has ended without doing so."""
    for folder in base.iterdir():
        if folder.is_dir() and not _is_held(folder / "alive"):
            remove(folder)


def remove(folder: Path) -> None:
    """End the processes that were started in a run's folder, and remove it with the clusters of its stacks."""
    _end(folder)
    homes = {found.parent.parent for found in folder.rglob("alive") if found.parent != folder}
    for home in sorted(homes):
        with pytest.MonkeyPatch.context() as patch, suppress(CruddurError, OSError):
            patch.setenv("CRUDDUR_HOME", str(home))
            stack.reset()
    shutil.rmtree(folder, ignore_errors=True)


def _end(folder: Path) -> None:
    deadline = time.monotonic() + 10
    told: set[int] = set()
    while found := dict(processes(folder)):
        for pid, command in found.items():
            # PostgreSQL's own immediate stop, which gives its shared memory back; SIGKILL where that takes too long.
            gentle = command.endswith("postgres") and time.monotonic() < deadline - 5
            if pid not in told or not gentle:
                told.add(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGQUIT if gentle else signal.SIGKILL)
                    os.kill(pid, signal.SIGCONT)
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)


def processes(folder: Path) -> Iterator[tuple[int, str]]:
    """Number and program of each other process that lives and was started with its temporary files in ``folder``.

    A PostgreSQL's children hide their environment, and end with their parent.
    """
    needle = b"\0TMPDIR=" + os.fsencode(folder) + b"/"
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int(entry.name) == os.getpid() or needle not in b"\0" + (entry / "environ").read_bytes():
                continue
            command = (entry / "cmdline").read_bytes().partition(b"\0")[0]
            if command:  # a zombie has none
                yield int(entry.name), os.fsdecode(command)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
