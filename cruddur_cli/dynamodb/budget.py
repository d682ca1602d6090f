"""Keeps one command within a number of capacity units, and below a rate; threads may share it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import Incomplete
from .capacity import ITEM_LIMIT, PAGE_LIMIT, Index, read_units
from .metering import least_units

_PAGES = frozenset({"Query", "Scan"})


@dataclass(frozen=True)
class Held:
    """What is set aside for one request that is being made: ``expected`` units of the limit, ``likely`` ones of the
    rate. ``request`` is what to send."""

    expected: float
    likely: float = 0.0
    operation: str = ""
    request: Mapping[str, Any] | None = None
    least: float = 0.0


class Budget:
    """``max_units`` for the whole command, and ``rate`` units a second; None is no limit. Reads, writes and what
    indexes take count alike.

    The cost of a read is known only afterwards. So what requests of a kind did cost is remembered, and a page that
    could go beyond what is left, or beyond what the rate gives in a second, is asked for with a ``Limit``, of which
    half is kept in reserve: the limit is passed only by items much larger than all before them.

    A rate is kept on the average: a request that costs more than a second's worth is made, and the next one waits as
    much longer. ``clock`` and ``sleep`` are the monotonic clock and a sleep, in seconds.
    """

    def __init__(
        self,
        *,
        max_units: float | None = None,
        rate: float | None = None,
        indexes: Sequence[Index] = (),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._max = math.inf if max_units is None else max_units
        self._rate = rate
        self._indexes = tuple(indexes)
        self._clock = clock
        self._stopped = threading.Event()
        self._sleep = sleep or self._stopped.wait
        self._changed = threading.Condition()
        self._used = 0.0
        self._reserved = 0.0
        self._in_flight = 0
        self._requests = 0
        self._free_at = -math.inf  # when the next request may be made
        self._learned: dict[str, _Learned] = {}

    @property
    def used(self) -> float:
        """Units of all requests that were answered."""
        with self._changed:
            return self._used

    @property
    def limit(self) -> float | None:
        """``max_units``."""
        return None if math.isinf(self._max) else self._max

    def stop(self) -> None:
        """Wake whoever waits for the rate, and let nobody wait again: the command is over."""
        self._stopped.set()

    def before(self, expected: float) -> Held:
        """Set units aside for a request that is about to be made, and wait until the rate allows it.

        Raises Incomplete, with code ``max_units``, where they are more than is left of the limit. A limit that others'
        requests hold is waited for: they may cost less. What comes back goes to ``after``.
        """
        held = Held(expected, likely=expected)
        return self._hold(lambda _: held)

    def admit(self, operation: str, request: Mapping[str, Any], *, table: str) -> Held:
        """As ``before``, for a request by DynamoDB's name, as botocore has it; what is held says what to send."""
        least = least_units(operation, request, table, indexes=self._indexes)
        return self._hold(lambda room: self._fit(operation, request, least, room))

    def after(self, actual: float, held: Held, *, answer: Mapping[str, Any] | None = None) -> None:
        """Settle a request: ``actual`` is what it did cost, 0 where nothing came of it."""
        with self._changed:
            self._in_flight -= 1
            # Fractions added and taken away in any order can leave a trace, which nobody would ever give back.
            self._reserved = self._reserved - held.expected if self._in_flight else 0.0
            self._used += actual
            self._requests += answer is not None or actual > 0
            if self._rate is not None:
                self._free_at += (actual - held.likely) / self._rate
            if answer is not None and held.operation:
                self._learn(held, actual, answer)
            self._changed.notify_all()

    def _hold(self, fit: Callable[[float], Held]) -> Held:
        with self._changed:
            while True:
                held = fit(self._max - self._used - self._reserved)
                if self._used + self._reserved + held.expected <= self._max:
                    break
                if not self._in_flight:
                    raise self._exhausted(held.expected)
                self._changed.wait()
            self._in_flight += 1
            self._reserved += held.expected
            wait_s = self._schedule(held.likely)
        if wait_s > 0 and not self._stopped.is_set():
            self._sleep(wait_s)
        return held

    def _schedule(self, units: float) -> float:
        """Seconds until these units may be used; they then are. A second's worth that was not used is kept."""
        if self._rate is None:
            return 0.0
        now = self._clock()
        self._free_at = max(self._free_at, now - 1.0)
        wait_s = self._free_at - now
        self._free_at += units / self._rate
        return wait_s

    def _fit(self, operation: str, request: Mapping[str, Any], least: float, room: float) -> Held:
        learned = self._learned.get(operation, _Learned())
        if operation not in _PAGES:
            expected = least * learned.ratio
            return Held(expected, expected, operation, request, least)
        # A page ends with the item that goes beyond 1 MB ("Querying tables in DynamoDB", "Paginating table results").
        worst = read_units(PAGE_LIMIT + ITEM_LIMIT, consistent=request.get("ConsistentRead", False))
        room = min(room, math.inf if self._rate is None else max(self._rate, least))
        if room >= worst:
            return Held(worst, learned.last or least, operation, request, least)
        limit = 1
        if learned.each:
            # At most four times as many as last time: what a few items weigh says little about many.
            limit = max(1, min(int(room / 2 / learned.each), 4 * learned.items))
        limit = min(limit, request.get("Limit", limit))
        expected = max(least, min(worst, learned.each * limit * (2 if limit > 1 else 1)))
        return Held(expected, max(least, learned.each * limit), operation, {**request, "Limit": limit}, least)

    def _learn(self, held: Held, actual: float, answer: Mapping[str, Any]) -> None:
        learned = self._learned.setdefault(held.operation, _Learned())
        if held.operation not in _PAGES:
            learned.ratio = max(1.0, actual / held.least) if held.least else 1.0
        elif answer["ScannedCount"]:
            learned.items = answer["ScannedCount"]
            learned.each = actual / learned.items
            learned.last = actual

    def _exhausted(self, expected: float) -> Incomplete:
        left = max(0.0, self._max - self._used)
        return Incomplete(
            f"Stopped before the limit of {self._max:,g} capacity units: {self._requests:,} requests have used"
            f" {self._used:,g}, {left:,g} are left, and the next request may take {expected:,g}.",
            hint="--max-units with a larger number",
            code="max_units",
            fields={
                "max_units": self._max,
                "used_units": self._used,
                "left_units": left,
                "next_units": expected,
                "requests": self._requests,
            },
        )


@dataclass
class _Learned:
    """What the last request of a kind did cost: of a page, in all and for each item that it evaluated; of others, as a
    multiple of the least that it could."""

    ratio: float = 1.0
    last: float = 0.0
    each: float = 0.0
    items: int = 1
