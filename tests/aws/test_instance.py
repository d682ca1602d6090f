"""The instance is found, started, stopped and waited for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from cruddur_cli.aws import instance
from cruddur_cli.aws.instance import RDS
from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.errors import NotConfigured, NotFound, Refused
from tests.aws.account import GROUP, Account, Refusal


@pytest.fixture
def rds(account: Account) -> Iterator[RDS]:
    account.add_instance()
    at = aws_client.Endpoint("rds", account.url, "us-east-1", f"RDS at {account.url}")
    with aws_client.opened(at) as client:
        yield RDS(client, at)


def test_the_only_postgresql_instance_is_found_without_a_name(account: Account, rds: RDS) -> None:
    account.add_instance("blog", engine="mysql")
    found = instance.find(rds, name=None)
    assert (found.instance, found.status, found.security_groups) == ("cruddur-db", "available", (GROUP,))
    assert (found.endpoint, found.restarts_at) == (None, None)


def test_one_of_several_instances_must_be_named(account: Account, rds: RDS) -> None:
    account.add_instance("other-db", status="stopped")
    with pytest.raises(NotConfigured, match="2 PostgreSQL instances") as caught:
        instance.find(rds, name=None)
    assert caught.value.details == "cruddur-db  available  postgres\nother-db  stopped  postgres"
    assert instance.find(rds, name="other-db").status == "stopped"


def test_a_missing_instance_lists_the_existing_ones(account: Account, rds: RDS) -> None:
    with pytest.raises(NotFound, match="'nobody'") as caught:
        instance.find(rds, name="nobody")
    assert caught.value.details == "cruddur-db  available  postgres"
    account.instances = {}
    account.add_instance("blog", engine="mysql")
    with pytest.raises(NotFound, match="no PostgreSQL instance") as caught:
        instance.find(rds, name=None)
    assert caught.value.details == "blog  available  mysql"


def test_the_time_of_the_automatic_restart_is_read(account: Account, rds: RDS) -> None:
    account.add_instance(status="stopped", restart="2026-11-27T10:00:00Z")
    assert instance.find(rds, name=None).restarts_at == datetime(2026, 11, 27, 10, tzinfo=UTC)


def test_an_instance_is_started_and_stopped(account: Account, rds: RDS) -> None:
    stopping = instance.stop(rds, instance.find(rds, name=None))
    assert stopping.status == "stopping"
    stopped = instance.wait(rds, stopping, goal="stopped", wait_s=30, pause_s=0.001)
    assert stopped.status == "stopped"
    said: list[str] = []
    starting = instance.start(rds, stopped)
    assert (
        instance.wait(rds, starting, goal="available", wait_s=30, pause_s=0.001, say=said.append).status == "available"
    )
    assert said == ["cruddur-db: starting"]
    assert account.sent("StopDBInstance") == [{"DBInstanceIdentifier": "cruddur-db"}]


@pytest.mark.parametrize("status", ["available", "starting", "configuring-log-exports", "backing-up", "rebooting"])
def test_a_running_instance_is_not_started(account: Account, rds: RDS, status: str) -> None:
    account.add_instance(status=status)
    one = instance.find(rds, name=None)
    assert instance.start(rds, one) is one
    assert "StartDBInstance" not in account.operations()


@pytest.mark.parametrize("status", ["stopped", "stopping"])
def test_a_stopped_instance_is_not_stopped_again(account: Account, rds: RDS, status: str) -> None:
    account.add_instance(status=status)
    one = instance.find(rds, name=None)
    assert instance.stop(rds, one) is one
    assert "StopDBInstance" not in account.operations()


@pytest.mark.parametrize("status", ["stopping", "failed", "storage-full"])
def test_an_instance_that_cannot_start_is_refused_with_the_reason_of_aws(
    account: Account, rds: RDS, status: str
) -> None:
    account.add_instance(status=status)
    with pytest.raises(Refused, match="Instance cruddur-db is not in stopped state") as caught:
        instance.start(rds, instance.find(rds, name=None))
    assert caught.value.message.endswith(f"cruddur-db is {status}.")
    assert caught.value.hint == "cruddur rds status --wait 600"


def test_an_instance_that_cannot_stop_is_refused_with_the_reason_of_aws(account: Account, rds: RDS) -> None:
    account.fail("StopDBInstance", Refusal("InvalidParameterCombination", "Cannot stop a read replica"))
    with pytest.raises(Refused, match="Cannot stop a read replica") as caught:
        instance.stop(rds, instance.find(rds, name=None))
    assert caught.value.exit_code == 5


def test_a_lost_answer_is_not_an_error(account: Account, rds: RDS) -> None:
    one = instance.find(rds, name=None)
    account.instances["cruddur-db"]["status"] = "stopping"  # the first request arrived, its answer did not
    account.fail("StopDBInstance", Refusal("InternalFailure", status=500))
    assert instance.stop(rds, one).status == "stopping"


def test_throttling_is_retried_and_a_missing_permission_is_named(account: Account, rds: RDS) -> None:
    account.fail("DescribeDBInstances", *[Refusal("Throttling")] * 3)
    one = instance.find(rds, name=None)
    account.fail(
        "StopDBInstance", Refusal("AccessDenied", "User: x is not authorized to perform: rds:StopDBInstance", 403)
    )
    with pytest.raises(Refused, match="lack the permission rds:StopDBInstance") as caught:
        instance.stop(rds, one)
    assert caught.value.code == "access_denied"


def test_waiting_ends_at_the_deadline_and_in_a_final_state(account: Account, rds: RDS) -> None:
    account.slow["cruddur-db"] = ["starting"] * 1000
    account.instances["cruddur-db"]["status"] = "starting"
    one = instance.find(rds, name="cruddur-db")
    assert instance.wait(rds, one, goal="available", wait_s=0.05, pause_s=0.001).status == "starting"
    account.slow["cruddur-db"] = ["starting", "incompatible-network", "never read"]
    assert instance.wait(rds, one, goal="available", wait_s=60, pause_s=0.001).status == "incompatible-network"
    assert account.slow["cruddur-db"] == ["never read"]


def test_the_emulator_agrees(emulator: str) -> None:
    at = aws_client.Endpoint("rds", emulator, "us-east-1", f"RDS at {emulator}")
    with aws_client.opened(at) as client:
        rds = RDS(client, at)
        client.create_db_instance(
            DBInstanceIdentifier="cruddur-test",
            Engine="postgres",
            DBInstanceClass="db.t3.micro",
            MasterUsername="cruddurroot",
            MasterUserPassword="good-db-password",
            AllocatedStorage=20,
            VpcSecurityGroupIds=[GROUP],
        )
        try:
            one = instance.find(rds, name="cruddur-test")
            assert (one.status, one.port, one.security_groups) == ("available", 5432, (GROUP,))
            assert instance.stop(rds, one).status in {"stopping", "stopped"}
            assert instance.wait(rds, one, goal="stopped", wait_s=5, pause_s=0.001).status in {"available", "stopped"}
            assert instance.start(rds, instance.find(rds, name="cruddur-test")).status in {"starting", "available"}
            with pytest.raises(NotFound):
                instance.find(rds, name="nobody")
        finally:
            client.delete_db_instance(DBInstanceIdentifier="cruddur-test", SkipFinalSnapshot=True)
