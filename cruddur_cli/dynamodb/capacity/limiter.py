"""Keeps one command within a number of capacity units, and below a rate; threads may share it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import Incomplete
from ..schema import Index
from .meter import least_units
from .rules import ITEM_LIMIT, PAGE_LIMIT, READ_BLOCK, read_units

_PAGES = frozenset({"Query", "Scan"})
# A page is rounded up by half a block of 4 KB on the average: of eight, that is a sixteenth.
_PAGE_BLOCKS = 8
_FIRST = 25  # items of the first page, whose size is not known yet
_MOMENT_S = 1e-6  # less than that is what adding floats leaves


@dataclass(frozen=True)
class Held:
    """What is set aside for one request that is being made: ``expected`` units of the limit, ``likely`` ones of the
    rate. ``request`` is what to send."""

    expected: float
    likely: float
    operation: str
    request: Mapping[str, Any]
    least: float


class RateLimiter:
    """``max_units`` for the whole command, and ``rate`` units a second; None is no limit. Reads, writes and what
    indexes take count alike.

    The cost of a read is known only afterwards. So what requests of a kind did cost is remembered, and a page that
    could go beyond what is left is asked for with a ``Limit``, of which half is kept in reserve: the limit is passed
    only by items much larger than all before them.

    A rate is kept on the average: each request is made whole, and the next one waits until all before it are paid for.
    So there is never more than one request's worth, and a second's that lay unused, above it. A page is about as large
    as the rate gives in a second, but not so small that it costs mostly what it is rounded up by; ``item_bytes`` is
    the mean size of an item, where it is known.

    ``clock`` and ``sleep`` are the monotonic clock and a sleep, in seconds.
    """

    def __init__(
        self,
        *,
        max_units: float | None = None,
        rate: float | None = None,
        indexes: Sequence[Index] = (),
        item_bytes: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._max = math.inf if max_units is None else max_units
        self._rate = rate
        self._indexes = tuple(indexes)
        self._item_blocks = item_bytes / READ_BLOCK
        self._clock = clock
        self._sleep = sleep
        self._stopped = False
        self._changed = threading.Condition()
        self._used = 0.0
        self._reserved = 0.0
        self._in_flight = 0
        self._requests = 0
        self._free_at = clock()  # when the next request may be made
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
        """Make every request that waits, or comes later, raise: the command is over."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def acquire(self, operation: str, request: Mapping[str, Any], *, table: str) -> Held:
        """Set units aside for a request that is about to be made, and wait until the rate allows it; the operation has
        DynamoDB's name, the request is as botocore has it. What is held says what to send, and goes to ``settle``.

        Raises Incomplete, with code ``max_units``, where they are more than is left of the limit. A limit that others'
        requests hold is waited for: they may cost less.
        """
        least = least_units(operation, request, table, indexes=self._indexes)
        with self._changed:
            while True:
                held = self._fit(operation, request, least, self._max - self._used - self._reserved)
                if self._used + self._reserved + held.expected > self._max:
                    if not self._in_flight:
                        raise self._exhausted(held.expected)
                    self._changed.wait()
                elif not self._wait_for_the_rate():
                    break
            self._in_flight += 1
            self._reserved += held.expected
            if self._rate is not None:
                self._free_at += held.likely / self._rate
        return held

    def settle(self, actual: float, held: Held, *, answer: Mapping[str, Any] | None = None) -> None:
        """Settle a request: ``actual`` is what it did cost, 0 where nothing came of it."""
        with self._changed:
            self._in_flight -= 1
            # Fractions added and taken away in any order can leave a trace, which would never be given back.
            self._reserved = self._reserved - held.expected if self._in_flight else 0.0
            self._used += actual
            self._requests += answer is not None or actual > 0
            if self._rate is not None:
                self._free_at += (actual - held.likely) / self._rate
            if answer is not None:
                self._learn(held, actual, answer)
            self._changed.notify_all()

    def _wait_for_the_rate(self) -> bool:
        """Whether there was anything to wait for: then look again, as what came back meanwhile changes it."""
        if self._stopped:
            raise Incomplete("The command has ended.", code="over")
        if self._rate is None:
            return False
        now = self._clock()
        self._free_at = max(self._free_at, now - 1.0)
        wait_s = self._free_at - now
        if wait_s < _MOMENT_S:
            return False
        if self._sleep is None:
            self._changed.wait(wait_s)
        else:
            self._changed.release()
            try:
                self._sleep(wait_s)
            finally:
                self._changed.acquire()
        return True

    def _fit(self, operation: str, request: Mapping[str, Any], least: float, room: float) -> Held:
        learned = self._learned.get(operation, _Learned())
        if operation not in _PAGES:
            expected = least * learned.ratio
            return Held(expected, expected, operation, request, least)
        # A page ends with the item that goes beyond 1 MB ("Querying tables in DynamoDB", "Paginating table results").
        worst = read_units(PAGE_LIMIT + ITEM_LIMIT, consistent=request.get("ConsistentRead", False))
        each = learned.each * least
        limits = [request["Limit"]] if "Limit" in request else []
        expected = worst
        if room < worst:
            # At most four times as many as last time: what a few items weigh says little about many.
            limit = max(1, min(int(room / 2 / each), 4 * learned.items)) if each else 1
            limit = min([limit, *limits])
            limits = [limit]
            expected = max(least, min(worst, each * limit * (2 if limit > 1 else 1)))
        full = read_units(PAGE_LIMIT, consistent=request.get("ConsistentRead", False))
        each = (learned.each or self._item_blocks) * least
        if self._rate is not None and self._rate < full:
            limits.append(max(1, int(max(self._rate, _PAGE_BLOCKS * least) / each)) if each else _FIRST)
        # Charged before it is known, so that others do not begin meanwhile: the answer gives back what it did not take.
        likely = min(full, max(least, each * min(limits))) if each and limits else full
        sent = {**request, "Limit": min(limits)} if limits else request
        return Held(expected, likely, operation, sent, least)

    def _learn(self, held: Held, actual: float, answer: Mapping[str, Any]) -> None:
        learned = self._learned.setdefault(held.operation, _Learned())
        if held.operation not in _PAGES:
            learned.ratio = max(1.0, actual / held.least) if held.least else 1.0
        elif answer["ScannedCount"]:
            learned.items = answer["ScannedCount"]
            learned.each = actual / held.least / learned.items

    def _exhausted(self, expected: float) -> Incomplete:
        left = max(0.0, self._max - self._used)
        requests = "1 request has" if self._requests == 1 else f"{self._requests:,} requests have"
        return Incomplete(
            f"Stopped before the limit of {self._max:,g} capacity units: {requests} used"
            f" {self._used:,g}, {left:,g} are left, and the next request may take {expected:,g}.",
            hint="pass a larger --max-units",
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
    """What the last request of a kind did cost, as a multiple of the least that it could: of a page, for each of the
    items that it evaluated."""

    ratio: float = 1.0
    each: float = 0.0
    items: int = 1
