"""A whole Cruddur that a test breaks in one place: a database, a table and a user pool."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from cruddur_cli import times
from cruddur_cli.aws import user_pool
from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB
from tests import dumps
from tests.commands.conftest import Here
from tests.conftest import SEEDED

Item = dict[str, Any]


@dataclass
class World:
    """The stores after ``cruddur setup``, with functions that break them."""

    here: Here
    environment: dict[str, str]
    table: DynamoDB
    own_pool: Any = None

    def found(self, *options: str) -> dict[str, Any]:
        """The findings by check. Asserts that doctor prints a line for each."""
        ran = self.here("doctor", "-o", "json", *options)
        assert ran.code in {0, 1}, ran.err
        items = json.loads(ran.out)["items"]
        assert (ran.code == 1) == bool(items)
        assert all("\n" not in item["evidence"] and item["remedy"] for item in items)
        return {item["check"]: item for item in items}

    def finds_alone(self, check: str) -> None:
        """Assert that only this check finds something, and that doctor writes nothing."""
        before = dumps.rows(self.environment["CONNECTION_URL"]), dumps.items(self.environment)
        assert list(self.found()) == [check]
        assert (dumps.rows(self.environment["CONNECTION_URL"]), dumps.items(self.environment)) == before

    def sql(self, text: str) -> None:
        """Run SQL in the database and commit."""
        with psycopg.connect(self.environment["CONNECTION_URL"], autocommit=True) as conn:
            conn.execute(text.encode())

    def items(self, prefix: str = "") -> list[Item]:
        """The items whose partition key has that prefix, sorted by key."""
        found = self.table.client.scan(TableName=self.table.table, ConsistentRead=True)["Items"]
        return sorted(
            (item for item in found if item["pk"]["S"].startswith(prefix)),
            key=lambda item: (item["pk"]["S"], item["sk"]["S"]),
        )

    def put(self, item: Item, **texts: str) -> None:
        """Put an item with these string attributes."""
        changed = {**item, **{name: {"S": text} for name, text in texts.items()}}
        self.table.client.put_item(TableName=self.table.table, Item=changed)

    def delete(self, item: Item) -> None:
        """Delete an item."""
        self.table.client.delete_item(TableName=self.table.table, Key={name: item[name] for name in ("pk", "sk")})

    def move(self, item: Item, **texts: str) -> None:
        """Delete an item, and put it again with these string attributes."""
        self.delete(item)
        self.put(item, **texts)

    def rows(self) -> list[Item]:
        """The two group rows of the seeded conversation."""
        return self.items("GRP#")

    def messages(self) -> list[Item]:
        """The messages of the seeded conversation, the oldest first."""
        return self.items(f"MSG#{SEEDED}")

    def shift(self, by: timedelta) -> None:
        """Move all rows in time."""
        for item in self.items():
            moment = times.instant(item["sk"]["S"])
            assert moment is not None
            self.move(item, sk=times.sort_key(moment + by))

    def pool(self, *handles: str | None) -> PoolOfOnesOwn:
        """A user pool with these people, which the commands use instead of the demo pool."""
        url = self.environment["AWS_ENDPOINT_URL_DYNAMODB"]
        at = aws_client.Endpoint("cognito-idp", url, aws_client.LOCAL_REGION, "Cognito")
        client = aws_client.open_client(at)
        pool = client.create_user_pool(PoolName=f"pool of {self.table.table}")["UserPool"]["Id"]
        own = PoolOfOnesOwn(client, pool)
        for number, handle in enumerate(handles):
            own.add(f"user-{number}", handle)
        return own


Breaks = dict[str, Callable[[World], None]]
"""What makes each check of a module fail, and no other."""


@dataclass
class PoolOfOnesOwn:
    """A user pool that is not the demo pool."""

    client: Any
    id: str

    def add(self, username: str, handle: str | None) -> None:
        """Add an account."""
        attributes = [{"Name": "preferred_username", "Value": handle}] if handle else []
        self.client.admin_create_user(UserPoolId=self.id, Username=username, UserAttributes=attributes)


@pytest.fixture
def world(here: Here, environment: dict[str, str], table: DynamoDB) -> Iterator[World]:
    """A Cruddur in which nothing is wrong."""
    ran = here("setup")
    assert ran.code == 0, ran.err
    yield World(here, environment, table)
    tables.drop(table, say=lambda _: None)


@pytest.fixture
def pooled(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A Cruddur in which nothing is wrong, with a user pool of all people that is not the demo pool."""
    pool = world.pool("andrewbrown", "bayko", "altbrown", "londo")
    monkeypatch.setenv("AWS_COGNITO_USER_POOL_ID", pool.id)
    monkeypatch.setenv("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", world.environment["AWS_ENDPOINT_URL_DYNAMODB"])
    assert world.here("db", "update-cognito-user-ids").code == 0
    assert world.found() == {}
    world.own_pool = pool
    return world


@pytest.fixture
def demo_pool(world: World) -> Iterator[None]:
    """Restore the people of the demo pool afterwards, because other tests use it too."""
    url = world.environment["AWS_ENDPOINT_URL_DYNAMODB"]
    at = aws_client.Endpoint("cognito-idp", url, aws_client.LOCAL_REGION, "Cognito")
    client = aws_client.open_client(at)
    pool = user_pool.require_pool(client, at)
    cognito = user_pool.Cognito(client, at, pool)
    before = {account.username for account in user_pool.identities(cognito)}
    yield
    for account in list(user_pool.identities(cognito)):
        if account.username not in before:
            client.admin_delete_user(UserPoolId=pool, Username=account.username)
