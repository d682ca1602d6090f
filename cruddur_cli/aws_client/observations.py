"""What the answers of a service say beside their content: its clock, and that it throttles."""

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
    """What was seen so far. ``ahead_s``: how far the service's clock is ahead of this machine's, None if unknown."""

    ahead_s: float | None = None
    throttled: int = 0


@contextmanager
def observed(client: Any) -> Iterator[Observed]:
    """What the answers to a client say until the end of the block; requests that are repeated count each time."""
    seen = Observed()

    def look(
        response_dict: Mapping[str, Any] | None = None, parsed_response: Mapping[str, Any] | None = None, **_: Any
    ) -> None:
        if ((parsed_response or {}).get("Error") or {}).get("Code") in THROTTLED:
            seen.throttled += 1
        elif seen.ahead_s is None and response_dict is not None:
            seen.ahead_s = _ahead(response_dict.get("headers") or {})

    event = f"response-received.{client.meta.service_model.service_id.hyphenize()}"
    client.meta.events.register(event, look)
    try:
        yield seen
    finally:
        client.meta.events.unregister(event, look)


def _ahead(headers: Mapping[str, str]) -> float | None:
    """Source: HTTP Semantics (RFC 9110), "Date": the time at which the answer was made, in whole seconds."""
    written = next((value for name, value in headers.items() if name.lower() == "date"), None)
    if written is None:
        return None
    try:
        return (parsedate_to_datetime(written) - times.of_this_machine()).total_seconds()
    except (TypeError, ValueError):
        return None
