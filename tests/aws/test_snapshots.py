"""Snapshots on moto. Intermediate states, which moto does not show, are injected."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from moto import mock_aws

from cruddur_cli.aws import instance, snapshots
from cruddur_cli.aws.instance import RDS, Instance
from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.errors import BadInput, CannotConnect, Refused

REGION = "eu-central-1"


@pytest.fixture
def rds(monkeypatch: pytest.MonkeyPatch) -> Iterator[RDS]:
    with mock_aws():
        at = aws_client.Endpoint("rds", None, REGION, "RDS at AWS", own=True)
        with aws_client.opened(at) as client:
            for name in ("cruddur-db", "other-db"):
                client.create_db_instance(
                    DBInstanceIdentifier=name,
                    Engine="postgres",
                    DBInstanceClass="db.t3.micro",
                    AllocatedStorage=20,
                    MasterUsername="root",
                    MasterUserPassword="not-a-secret",
                )
            yield RDS(client, at)


@pytest.fixture
def one(rds: RDS) -> Instance:
    return instance.find(rds, name="cruddur-db")


def silent(_: str) -> None:
    pass


def states(rds: RDS, *found: str) -> None:
    """Show the snapshot in these states in the next answers."""
    left = list(found)

    def change(parsed: dict[str, Any], **_: Any) -> None:
        if left:
            parsed["DBSnapshots"][0].update(Status=left.pop(0), PercentProgress=40)

    rds.client.meta.events.register("after-call.rds.DescribeDBSnapshots", change)


def test_a_snapshot_is_taken_once_and_waited_for(rds: RDS, one: Instance) -> None:
    states(rds, "creating", "creating")
    said: list[str] = []
    done, made = snapshots.create(rds, one, "weekly", say=said.append, wait_s=30)
    assert (done.snapshot, done.status, done.type, made) == ("weekly", "available", "manual", True)
    assert said == ["snapshot weekly: creating, 40 %"]
    assert snapshots.create(rds, one, "weekly", say=silent, wait_s=30)[1] is False
    newest = snapshots.listed(rds, one)[0]
    assert (newest.snapshot, newest.type) == ("weekly", "manual")


def test_a_foreign_a_failed_and_a_slow_snapshot_are_errors(rds: RDS, one: Instance) -> None:
    other = instance.find(rds, name="other-db")
    snapshots.create(rds, other, "weekly", say=silent, wait_s=30)
    with pytest.raises(Refused, match="is of instance other-db"):
        snapshots.create(rds, one, "weekly", say=silent, wait_s=30)
    states(rds, "failed")
    with pytest.raises(Refused, match="is failed"):
        snapshots.create(rds, one, "daily", say=silent, wait_s=30)
    states(rds, "creating", "creating")
    with pytest.raises(CannotConnect, match="AWS continues by itself"):
        snapshots.create(rds, one, "hourly", say=silent, wait_s=0)


@pytest.mark.parametrize("name", ["1st", "a--b", "a-", "a_b", "", "a b"])
def test_snapshot_names_that_rds_does_not_accept_are_refused(name: str) -> None:
    with pytest.raises(BadInput):
        snapshots.check_name(name)


def test_the_default_name_of_a_snapshot() -> None:
    name = snapshots.name_at("cruddur-db", datetime(2026, 11, 20, 10, 0, 1, tzinfo=UTC))
    assert name == "cruddur-db-20261120t100001z"
    snapshots.check_name(name)
