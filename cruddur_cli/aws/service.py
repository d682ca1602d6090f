"""An opened AWS service, and the entries of all pages of an answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..aws_client import client as aws_client
from ..aws_client.client import Endpoint


@dataclass(frozen=True)
class Service:
    """An opened AWS service, such as EC2 or RDS."""

    client: Any
    at: Endpoint

    @property
    def region(self) -> str:
        """The region that requests go to."""
        return str(self.client.meta.region_name)


def pages(
    opened: Service, operation: str, params: dict[str, Any], key: str, *, token: str = "NextToken"
) -> Iterator[dict[str, Any]]:
    """Yield the entries under ``key`` from all pages of an answer. ``token`` is the member with the next page's token.

    It stops at a token that was returned before, so that it always ends.
    """
    seen: set[str] = set()
    while True:
        answer = aws_client.call(opened.client, operation, params, at=opened.at)
        yield from answer.get(key, [])
        following = answer.get(token)
        if not following or following in seen:
            return
        seen.add(following)
        params = {**params, token: following}
