"""Limit the capacity units of one command, in total and per second."""

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
# With a rate, a page has at least this many blocks of 4 KB. Rounding up costs half a block per page on average, which
# is then a sixteenth.
_PAGE_BLOCKS = 8
_FIRST_PAGE_ITEMS = 25  # the Limit of the first page, when the size of an item is unknown
_MOMENT_S = 1e-6  # a shorter wait is only a rounding error of floats


@dataclass(frozen=True)
class Reservation:
    """The units that are reserved for one request.

    ``expected`` units are reserved from the limit, ``likely`` units from the rate. ``request`` is the request to send,
    perhaps with a smaller ``Limit``. ``least`` is the smallest possible cost of the request.
    """

    expected: float
    likely: float
    operation: str
    request: Mapping[str, Any]
    least: float


class RateLimiter:
    """Allows ``max_units`` capacity units for a whole command, and ``rate`` units per second; None means no limit.

    Units of reads, writes and indexes are added up. Threads may share a limiter.

    The limit: the cost of a read is known only after it. So the limiter learns from the cost of earlier requests. A
    page that could exceed the limit gets a ``Limit`` of half as many items as should fit. Only items that are much
    larger than all before them can exceed the limit.

    The rate holds on average. A request is sent whole, and the next one waits until the rate has paid for all before
    it. So the units used exceed the rate by at most one request and one unused second. A page is about as large as the
    rate allows in a second, but at least ``_PAGE_BLOCKS`` blocks. ``item_bytes`` is the mean size of an item, if known.

    ``clock`` and ``sleep`` are the monotonic clock and a sleep, in seconds; tests replace them.
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
        self._free_at = clock()  # when the rate allows the next request
        self._learned: dict[str, _Learned] = {}

    @property
    def used(self) -> float:
        """The units of all finished requests."""
        with self._changed:
            return self._used

    @property
    def limit(self) -> float | None:
        """``max_units``; None if there is no limit."""
        return None if math.isinf(self._max) else self._max

    def stop(self) -> None:
        """End the command: every waiting or later ``acquire`` raises Incomplete."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def acquire(self, operation: str, request: Mapping[str, Any], *, table: str) -> Reservation:
        """Reserve units for a request, and wait until the rate allows it. The caller sends the result's ``request``.

        ``operation`` is DynamoDB's name, ``request`` has botocore's form. Pass the result to ``settle`` after the
        request. If other requests have reserved the rest of the limit, it waits for them, because they may cost less.

        Raises Incomplete, with code ``max_units``, if the limit has too few units left.
        """
        least = least_units(operation, request, table, indexes=self._indexes)
        with self._changed:
            while True:
                reservation = self._fit(operation, request, least, self._max - self._used - self._reserved)
                if self._used + self._reserved + reservation.expected > self._max:
                    if not self._in_flight:
                        raise self._exhausted(reservation.expected)
                    self._changed.wait()
                elif not self._wait_for_the_rate():
                    break
            self._in_flight += 1
            self._reserved += reservation.expected
            if self._rate is not None:
                self._free_at += reservation.likely / self._rate
        return reservation

    def settle(self, actual: float, reservation: Reservation, *, answer: Mapping[str, Any] | None = None) -> None:
        """Replace the reservation of a finished request by its ``actual`` cost; 0 if it failed without a cost."""
        with self._changed:
            self._in_flight -= 1
            # Adding and subtracting floats can leave a rounding error. Without requests in flight, nothing is reserved.
            self._reserved = self._reserved - reservation.expected if self._in_flight else 0.0
            self._used += actual
            self._requests += answer is not None or actual > 0
            if self._rate is not None:
                self._free_at += (actual - reservation.likely) / self._rate
            if answer is not None:
                self._learn(reservation, actual, answer)
            self._changed.notify_all()

    def _wait_for_the_rate(self) -> bool:
        """Wait until the rate allows a request; return whether it waited. The caller must then check again, because
        other requests may have been settled meanwhile."""
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

    def _fit(self, operation: str, request: Mapping[str, Any], least: float, room: float) -> Reservation:
        learned = self._learned.get(operation, _Learned())
        if operation not in _PAGES:
            expected = least * learned.ratio
            return Reservation(expected, expected, operation, request, least)
        # A page ends with the item that goes beyond 1 MB ("Querying tables in DynamoDB", "Paginating table results").
        worst = read_units(PAGE_LIMIT + ITEM_LIMIT, consistent=request.get("ConsistentRead", False))
        per_item = learned.units_per_item * least
        limits = [request["Limit"]] if "Limit" in request else []
        expected = worst
        if room < worst:
            # At most four times as many items as last time, because the size of a few items says little about many.
            limit = max(1, min(int(room / 2 / per_item), 4 * learned.items)) if per_item else 1
            limit = min([limit, *limits])
            limits = [limit]
            expected = max(least, min(worst, per_item * limit * (2 if limit > 1 else 1)))
        full = read_units(PAGE_LIMIT, consistent=request.get("ConsistentRead", False))
        per_item = (learned.units_per_item or self._item_blocks) * least
        if self._rate is not None and self._rate < full:
            wanted = max(self._rate, _PAGE_BLOCKS * least)
            limits.append(max(1, int(wanted / per_item)) if per_item else _FIRST_PAGE_ITEMS)
        # Charge the likely cost now, so that no other request begins meanwhile. `settle` corrects it.
        likely = min(full, max(least, per_item * min(limits))) if per_item and limits else full
        sent = {**request, "Limit": min(limits)} if limits else request
        return Reservation(expected, likely, operation, sent, least)

    def _learn(self, reservation: Reservation, actual: float, answer: Mapping[str, Any]) -> None:
        learned = self._learned.setdefault(reservation.operation, _Learned())
        if reservation.operation not in _PAGES:
            if reservation.least:
                learned.ratio = max(1.0, actual / reservation.least)
        elif answer["ScannedCount"]:
            learned.items = answer["ScannedCount"]
            learned.units_per_item = actual / reservation.least / learned.items

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
    """The cost of the last request of one operation, as a multiple of its least cost.

    ``ratio`` is that of a whole request. For pages, ``units_per_item`` is that of each item, and ``items`` the number
    of items that the last page evaluated.
    """

    ratio: float = 1.0
    units_per_item: float = 0.0
    items: int = 1
