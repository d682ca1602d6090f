"""Owns the embedded stack as a whole: brings PostgreSQL and AWS up and down together, and says where they answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import aws as aws_engine
from . import binaries
from . import home as homes
from . import postgres as postgres_engine
from .engine import Engine

__all__ = ["Engine", "Stack", "aws_endpoint", "down", "postgres_url", "psql", "reset", "status", "up"]


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
    wait_s: float = 60,
    say: Callable[[str], None] = lambda sentence: None,
) -> Stack:
    """Starts what is asked for and not running, and returns once it answers; what runs already is left alone.

    ``say`` gets a sentence for each engine that was started, and for what an unclean stop has cost.
    Raises NotConfigured (no extra, a state directory or saved state that cannot be used) or CannotConnect (an engine
    does not answer within ``wait_s`` seconds).
    """
    # What runs needs no lock, no directory check and no process.
    found = _endpoints(postgres=postgres, aws=aws)
    if (found.postgres_url or not postgres) and (found.aws_endpoint or not aws):
        return found
    home = homes.prepare()
    with homes.locked(home, wait_s=max(60, wait_s)):
        finish = aws_engine.start(home, wait_s=wait_s, say=say) if aws else None
        try:
            if postgres:
                postgres_engine.start(home, wait_s=wait_s, say=say)
        finally:
            if finish:
                finish()
        return _endpoints(postgres=postgres, aws=aws)


def down(*, wait_s: float = 60) -> list[Engine]:
    """Stops both, each once its data is on the disk, and returns how they are then; already stopped is fine.

    Raises Incomplete when data could not be saved (the engine is then left running) or one did not stop.
    """
    home = homes.locate()
    if home.is_dir():
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


def reset() -> None:
    """Stops both engines and deletes all their data; the caller has asked the person.

    Raises Incomplete when one did not stop.
    """
    home = homes.locate()
    if home.is_dir():
        with homes.locked(home):
            aws_engine.remove(home)
            postgres_engine.remove(home)


def postgres_url() -> str | None:
    """The URL of the embedded PostgreSQL if it is running, else None. Takes about a millisecond."""
    home = homes.locate()
    found = postgres_engine.running(home)
    return postgres_engine.url(home, found[1]) if found else None


def aws_endpoint() -> str | None:
    """The endpoint of the embedded AWS if it is running, else None. Takes about two milliseconds."""
    found = aws_engine.running(homes.locate())
    return f"http://127.0.0.1:{found['port']}" if found else None


def psql() -> str | None:
    """The path of the psql that comes with the embedded PostgreSQL; None without the extra."""
    return binaries.psql()


def _endpoints(*, postgres: bool, aws: bool) -> Stack:
    return Stack(postgres_url() if postgres else None, aws_endpoint() if aws else None)
