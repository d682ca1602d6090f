"""Observe the clock of a service and its throttling, from the answers to a client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from .. import times
from .client import THROTTLED


@dataclass
class Observed:
    """The observations so far.

    ``ahead_s`` is how many seconds the service's clock is ahead of this machine's, or None. ``throttled`` is the number
    of throttled requests.
    """

    ahead_s: float | None = None
    throttled: int = 0


@contextmanager
def observed(client: Any) -> Iterator[Observed]:
    """The observations of all answers to a client in the block. A repeated request counts each time."""
    seen = Observed()

    def observe(
        response_dict: Mapping[str, Any] | None = None, parsed_response: Mapping[str, Any] | None = None, **_: Any
    ) -> None:
        if ((parsed_response or {}).get("Error") or {}).get("Code") in THROTTLED:
            seen.throttled += 1
        elif seen.ahead_s is None and response_dict is not None:
            seen.ahead_s = _ahead(response_dict.get("headers") or {})

    event = f"response-received.{client.meta.service_model.service_id.hyphenize()}"
    client.meta.events.register(event, observe)
    try:
        yield seen
    finally:
        client.meta.events.unregister(event, observe)


def _ahead(headers: Mapping[str, str]) -> float | None:
    """How many seconds the service's clock is ahead, from the header Date; None without that header.

    Date is the time at which the answer was created, in whole seconds (RFC 9110, HTTP Semantics).
    """
    written = next((value for name, value in headers.items() if name.lower() == "date"), None)
    if written is None:
        return None
    try:
        return (parsedate_to_datetime(written) - times.of_this_machine()).total_seconds()
    except (TypeError, ValueError):
        return None
