"""A fixture with rows of every type."""

from __future__ import annotations

import pytest

from tests.dynamodb.rows import Item
from tests.dynamodb.transfer.roundtrip import every_type


@pytest.fixture
def rows(endpoint: str, dynamodb_local: str | None) -> list[Item]:
    """62 rows of every type that the engine takes."""
    return every_type(endpoint, dynamodb_local)
