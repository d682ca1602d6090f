"""What a connection asks of the server as it begins: to wait for nobody's lock for long, and to look after its client.

Asked for in libpq's ``options``, so that it costs no round trip, holds for the whole session and outlives DISCARD ALL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

LOCK_S = 5
CLIENT_CHECK_S = 2
_LOCK = f"-c lock_timeout={LOCK_S}s"
# In turn: what PostgreSQL 14 and later take, what older ones take, and nothing, for a pooler that takes no options.
# There a SET instead would stay behind on a session that others are given next.
_ATTEMPTS = (f"{_LOCK} -c client_connection_check_interval={CLIENT_CHECK_S}s", _LOCK, "")
_REFUSED = re.compile(r"configuration parameter|value for parameter|startup parameter|options", re.IGNORECASE)


class Options:
    """The ``options`` to try on one server. What a URL, a service or PGOPTIONS says itself comes later, and wins."""

    _taken: dict[tuple[str, int], int] = {}  # noqa: RUF012  # what each server is known to take, in this process

    def __init__(self, host: str, port: int, given: str | None) -> None:
        self._key, self._given = (host, port), given or ""
        self._attempt = self._taken.get(self._key, 0)

    def add_to(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters with the options of this attempt."""
        text = f"{_ATTEMPTS[self._attempt]} {self._given}".strip()
        return {**parameters, "options": text} if text else dict(parameters)

    def give_in(self, error: Exception) -> bool:
        """Whether the server refused the options and there are others to try."""
        if self._attempt + 1 == len(_ATTEMPTS) or not _REFUSED.search(str(error)):
            return False
        self._attempt += 1
        return True

    def keep(self) -> None:
        """The server has taken these."""
        self._taken[self._key] = self._attempt
