"""Wait for jobs of AWS and report their progress: backups, restores, exports, imports, snapshots."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from ..errors import CannotConnect

Answer = TypeVar("Answer")
Say = Callable[[str], None]
_REPORT_AGAIN_S = 30.0


def until(
    ask: Callable[[], Answer],
    *,
    done: Callable[[Answer], bool],
    state: Callable[[Answer], str],
    say: Say,
    wait_s: float,
    hint: str,
    longest_pause_s: float = 10.0,
) -> Answer:
    """Call ``ask`` until its answer is ``done``, and return that answer.

    ``say`` is called with each new ``state``, and every 30 seconds with the state and the elapsed time. The pauses grow
    up to ``longest_pause_s``. Raises CannotConnect after ``wait_s`` seconds. AWS continues the job then, and ``hint``
    says how to wait for it again.
    """
    began = reported_at = time.monotonic()
    pause_s, reported = 0.05, ""
    while True:
        answer = ask()
        if done(answer):
            return answer
        text, now = state(answer), time.monotonic()
        if now - began >= wait_s:
            raise CannotConnect(
                f"{text}, and not done after {duration(wait_s)}. AWS continues by itself.",
                hint=hint,
                code="still_running",
            )
        if text != reported or now - reported_at >= _REPORT_AGAIN_S:
            say(text if now - began < _REPORT_AGAIN_S else f"{text}, {duration(now - began)}")
            reported, reported_at = text, now
        time.sleep(min(pause_s, max(0.0, began + wait_s - now)))
        pause_s = min(longest_pause_s, pause_s * 1.5)


def duration(seconds: float) -> str:
    """A number of seconds as text: ``40 s``, ``3 min``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
