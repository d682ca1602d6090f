"""Waits for what AWS does by itself and tells how far it is: backups, restores, exports, imports, snapshots."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from ..errors import CannotConnect

Found = TypeVar("Found")
Say = Callable[[str], None]
_TELL_AGAIN_S = 30.0


def until(
    ask: Callable[[], Found],
    *,
    done: Callable[[Found], bool],
    state: Callable[[Found], str],
    say: Say,
    wait_s: float,
    hint: str,
    longest_pause_s: float = 10.0,
) -> Found:
    """What ``ask`` answers once it is ``done``. ``say`` is told each new ``state``, and every 30 seconds the time.

    Asks often at first, then every ``longest_pause_s``. Raises CannotConnect after ``wait_s``; ``hint`` says how to
    wait again, because AWS continues what it began.
    """
    began = told_at = time.monotonic()
    pause_s, told = 0.05, ""
    while True:
        found = ask()
        if done(found):
            return found
        text, now = state(found), time.monotonic()
        if now - began >= wait_s:
            raise CannotConnect(
                f"{text}, and not done after {duration(wait_s)}. AWS continues by itself.",
                hint=hint,
                code="still_running",
            )
        if text != told or now - told_at >= _TELL_AGAIN_S:
            say(text if now - began < _TELL_AGAIN_S else f"{text}, {duration(now - began)}")
            told, told_at = text, now
        time.sleep(min(pause_s, max(0.0, began + wait_s - now)))
        pause_s = min(longest_pause_s, pause_s * 1.5)


def duration(seconds: float) -> str:
    """A number of seconds for a sentence: ``40 s``, ``3 min``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
