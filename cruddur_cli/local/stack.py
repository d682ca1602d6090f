"""Starts and stops the embedded PostgreSQL and AWS together, and returns their addresses."""

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


# The default of how long a command waits for an engine that does not answer.
WAIT_S = 30.0
# How long the first look waits; the emulator may be busy and answer later.
LOOK_S = 2.0


@dataclass(frozen=True)
class Stack:
    """The addresses of the engines, None for one that was not asked for. ``postgres_url`` contains the password."""

    postgres_url: str | None
    aws_endpoint: str | None

    def __repr__(self) -> str:
        """The text without the password."""
        return f"Stack(aws_endpoint={self.aws_endpoint!r})"


def up(
    *,
    postgres: bool = True,
    aws: bool = True,
    wait_s: float = WAIT_S,
    say: Callable[[str], None] = lambda sentence: None,
) -> Stack:
    """Start the chosen engines that do not run, and wait until they answer. Running engines are not changed.

    For a running engine that does not answer, and for another command that starts one, the wait is ``wait_s`` seconds
    in all. A new engine has at least a minute. ``say`` gets a sentence for each engine that was started, for the data
    lost in an unclean stop, and for a long wait.

    Raises NotConfigured (no extra, a state directory or saved state that cannot be used) or CannotConnect (an engine
    does not answer in time).
    """
    deadline, home = StartDeadline(wait_s, say), homes.locate()
    # Running engines need no lock, no check of the directory and no process.
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
                homes.note_data(home, engine, has_data=True)
        return _stack(home, postgres_port, aws_port)


def down(*, wait_s: float = 60) -> list[Engine]:
    """Stop both engines after their data is on the disk; their states afterwards.

    Raises Incomplete if data could not be saved (the engine keeps running then) or an engine did not stop.
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
    """The states of both engines. Changes nothing."""
    home = homes.locate()
    return [postgres_engine.describe(home), aws_engine.describe(home)]


def belongings() -> list[Path]:
    """The folders that ``reset`` deletes; files in them that cruddur did not create stay.

    Raises NotConfigured if the directory is no state directory.
    """
    home = homes.locate()
    if not home.is_dir():
        return []
    homes.check_own(home)
    folders = [home / "postgres", cluster.data_directory(home).parent, home / "aws"]
    return [folder for folder in dict.fromkeys(folders) if folder.exists()]


def reset() -> list[Path]:
    """Stop both engines and delete all their data without asking; the folders that stay, because they have other files.

    Raises NotConfigured if the directory is no state directory, Incomplete if an engine did not stop.
    """
    home, folders = homes.locate(), belongings()
    if home.is_dir():
        with homes.locked(home):
            homes.note_reset(home, "aws")
            aws_engine.remove(home)
            homes.note_data(home, "aws", has_data=False)
            homes.note_reset(home, "postgres")
            postgres_engine.remove(home)
            (home / homes.CHECKOUTS).unlink(missing_ok=True)
            homes.note_data(home, "postgres", has_data=False)
    return [folder for folder in folders if folder.exists()]


def running(*, postgres: bool = True, aws: bool = True) -> Stack:
    """The addresses of the chosen engines that run. Starts nothing."""
    return Stack(postgres_url() if postgres else None, aws_endpoint() if aws else None)


def postgres_url() -> str | None:
    """The URL of the embedded PostgreSQL if it is running, else None. Takes about a millisecond."""
    home = homes.locate()
    answer = postgres_engine.running(home)
    return postgres_engine.url(home, answer[1]) if answer else None


def aws_endpoint() -> str | None:
    """The endpoint of the embedded AWS if it is running, else None. Takes about two milliseconds."""
    home = homes.locate()
    report = aws_engine.running(home)
    return _stack(home, None, aws_engine.port(report)).aws_endpoint if report else None


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
    """A sentence for each engine that will start empty although it has had data."""
    sentences = []
    had, deleting = homes.had_data(home), homes.in_reset(home)
    has = {"postgres": cluster.data_directory(home).exists(), "aws": aws_engine.has_data(home)}
    if has["postgres"] and not had:
        # The whole state directory was deleted, but for root PostgreSQL's data is elsewhere.
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
