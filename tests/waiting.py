"""Waits for something that another process does."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def until(condition: Callable[[], object], *, at_most_s: float = 60) -> None:
    """Come back once the condition holds."""
    deadline = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    """Raise AssertionError in a block that waits longer: for a lock, a pipe, or the end of a loop."""

    def give_up(*_: object) -> None:
        raise AssertionError(f"still waiting after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
