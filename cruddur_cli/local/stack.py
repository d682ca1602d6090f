"""Owns the embedded stack as a whole: brings PostgreSQL and AWS up and down together, and says where they answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import NotConfigured
from . import aws as aws_engine
from . import binaries, cluster
from . import home as homes
from . import postgres as postgres_engine
from .engine import Engine, StartDeadline

__all__ = ["Engine", "Stack", "aws_endpoint", "down", "postgres_url", "psql", "reset", "running", "status", "up"]


# What hangs is waited for this long by a command; by default, and at least.
WAIT_S = 30.0
# A table that is being saved keeps the emulator from answering, but a first look need not wait for that.
LOOK_S = 2.0


@dataclass(frozen=True)
class Stack:
    """Where the engines answer that were asked for; ``postgres_url`` holds the password."""

    postgres_url: str | None
    aws_endpoint: str | None

    def __repr__(self) -> str:
        """Without the password."""
        return f"Stack(aws_endpoint={self.aws_endpoint!r})"


def up(
    *,
    postgres: bool = True,
    aws: bool = True,
    wait_s: float = WAIT_S,
    say: Callable[[str], None] = lambda sentence: None,
) -> Stack:
    """Starts what is asked for and not running, and returns once it answers; a running engine is not changed.

    What lives and does not answer, an engine or another command that starts one, is waited for ``wait_s`` seconds in
    all; an engine that is started here gets a minute of its own, or ``wait_s``.
    ``say`` gets a sentence for each engine that was started, for what an unclean stop has cost, and for a long wait.
    Raises NotConfigured (no extra, a state directory or saved state that cannot be used) or CannotConnect (an engine
    does not answer within ``wait_s`` seconds).
    """
    deadline, home = StartDeadline(wait_s, say), homes.locate()
    # What runs needs no lock, no directory check and no process.
    server = postgres_engine.running(home, timeout_s=deadline.left(LOOK_S)) if postgres else None
    emulator = aws_engine.running(home, timeout_s=deadline.left(LOOK_S)) if aws else None
    if (server or not postgres) and (emulator or not aws):
        return _stack(home, server[1] if server else None, aws_engine.port(emulator) if emulator else None)
    if postgres:
        cluster.check_reachable(home)
    home = homes.prepare()
    busy = "another command is starting or stopping the embedded stack"
    with homes.locked(home, wait_s=deadline.left(), waiting=lambda: deadline.remark(busy)):
        homes.prepare()  # a reset may have removed its folders while this command waited for the lock
        postgres_port = aws_port = None
        for sentence in _missing(home, postgres=postgres, aws=aws):
            say(sentence)
        finish = aws_engine.start(home, deadline=deadline, wait_s=wait_s, say=say) if aws else None
        try:
            if postgres:
                postgres_port = postgres_engine.start(home, deadline=deadline, wait_s=wait_s, say=say)
        finally:
            if finish:
                aws_port = finish()
        for engine, started in (("postgres", postgres), ("aws", aws)):
            if started:
                homes.note_data(home, engine, there=True)
        return _stack(home, postgres_port, aws_port)


def down(*, wait_s: float = 60) -> list[Engine]:
    """Stops both, each once its data is on the disk, and returns how they are then; already stopped is fine.

    Raises Incomplete when data could not be saved (the engine is then left running) or one did not stop.
    """
    home = homes.locate()
    if _is_own(home):
        with homes.locked(home):
            try:
                aws_engine.stop(home, wait_s=wait_s)
            finally:
                postgres_engine.stop(home, wait_s=wait_s)
    return status()


def status() -> list[Engine]:
    """How both engines are; changes nothing."""
    home = homes.locate()
    return [postgres_engine.describe(home), aws_engine.describe(home)]


def belongings() -> list[Path]:
    """The folders that ``reset`` deletes; other people's files in them stay.

    Raises NotConfigured when the state directory is not one.
    """
    home = homes.locate()
    if not home.is_dir():
        return []
    homes.check_own(home)
    folders = [home / "postgres", cluster.data_directory(home).parent, home / "aws"]
    return [folder for folder in dict.fromkeys(folders) if folder.exists()]


def reset() -> list[Path]:
    """Stops both engines and deletes all their data; the caller has asked the person. Returns the folders that stay.

    Raises NotConfigured when the state directory is not one, Incomplete when an engine did not stop.
    """
    home, folders = homes.locate(), belongings()
    if home.is_dir():
        with homes.locked(home):
            homes.note_reset(home, "aws")
            aws_engine.remove(home)
            homes.note_data(home, "aws", there=False)
            homes.note_reset(home, "postgres")
            postgres_engine.remove(home)
            (home / homes.CHECKOUTS).unlink(missing_ok=True)
            homes.note_data(home, "postgres", there=False)
    return [folder for folder in folders if folder.exists()]


def running(*, postgres: bool = True, aws: bool = True) -> Stack:
    """Where the engines answer that are asked for and run. Starts nothing."""
    return Stack(postgres_url() if postgres else None, aws_endpoint() if aws else None)


def postgres_url() -> str | None:
    """The URL of the embedded PostgreSQL if it is running, else None. Takes about a millisecond."""
    home = homes.locate()
    found = postgres_engine.running(home)
    return postgres_engine.url(home, found[1]) if found else None


def aws_endpoint() -> str | None:
    """The endpoint of the embedded AWS if it is running, else None. Takes about two milliseconds."""
    home = homes.locate()
    found = aws_engine.running(home)
    return _stack(home, None, aws_engine.port(found)).aws_endpoint if found else None


def psql() -> str | None:
    """The path of the psql that comes with the embedded PostgreSQL; None without the extra."""
    return binaries.client("psql")


def pg_dump() -> str | None:
    """The path of the pg_dump that comes with the embedded PostgreSQL; None without the extra."""
    return binaries.client("pg_dump")


def _is_own(home: Path) -> bool:
    if not home.is_dir():
        return False
    try:
        homes.check_own(home)
    except NotConfigured:
        return False
    return True


def _missing(home: Path, *, postgres: bool, aws: bool) -> list[str]:
    """A sentence for each engine that starts empty, though it had data."""
    sentences = []
    had, deleting = homes.had_data(home), homes.in_reset(home)
    has = {"postgres": cluster.data_directory(home).exists(), "aws": aws_engine.has_data(home)}
    if has["postgres"] and not had:
        # The whole state directory was deleted; for root, PostgreSQL's data is elsewhere.
        had = set(homes.ENGINES)
    for engine, name, starts in (("postgres", "PostgreSQL", postgres), ("aws", "AWS", aws)):
        if starts and engine in had and not has[engine]:
            who = "a `cruddur local reset` that was interrupted" if engine in deleting else "another program"
            sentences.append(
                f"The data of the embedded {name} is gone: {home / engine} was deleted by {who}. It starts "
                "empty; `cruddur setup` restores the seeded data"
            )
    return sentences


def _stack(home: Path, postgres_port: int | None, aws_port: int | None) -> Stack:
    url = postgres_engine.url(home, postgres_port) if postgres_port else None
    return Stack(url, f"http://127.0.0.1:{aws_port}" if aws_port else None)
