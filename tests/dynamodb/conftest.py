"""A fixture with a message store on moto."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cruddur_cli.dynamodb.client import DynamoDB
from tests.dynamodb import aws_by_moto


@pytest.fixture
def aws() -> Iterator[DynamoDB]:
    with aws_by_moto.store() as found:
        yield found
