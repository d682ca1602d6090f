"""The facts that ``doctor`` reads: each store by itself, within the limit of units, and CloudWatch with moto."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from cruddur_cli import times
from cruddur_cli.dynamodb.schema import INDEX
from tests.commands.conftest import Here
from tests.commands.production import TABLE, Run, client, make_table, production
from tests.conftest import NOWHERE, Engines
from tests.integrity.breaks import BREAKS
from tests.integrity.doctored import World, world

__all__ = ["production", "world"]


def test_a_database_that_cannot_be_reached_does_not_hide_the_rest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put({}, pk="SETTING#1", sk="x")
    monkeypatch.setenv("CONNECTION_URL", "postgresql://nobody:secret@127.0.0.1:9/cruddur")
    found = world.found()
    assert list(found) == ["postgres-unreachable", "items-foreign"]
    assert "secret" not in json.dumps(found)


def test_a_dynamodb_that_cannot_be_reached_is_a_finding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", NOWHERE)
    assert list(world.found()) == ["dynamodb-unreachable"]


def test_a_user_pool_that_does_not_exist_is_a_finding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_COGNITO_USER_POOL_ID", "us-east-1_gone")
    monkeypatch.setenv("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", world.environment["AWS_ENDPOINT_URL_DYNAMODB"])
    assert list(world.found()) == ["cognito-unreachable"]


def test_engines_that_do_not_run_are_a_finding_and_are_not_started(
    here: Here, engines: Engines, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("CONNECTION_URL", "AWS_ENDPOINT_URL_DYNAMODB"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("CRUDDUR_HOME", str(tmp_path / "stopped"))
    ran = here("doctor", "-o", "json")
    assert ran.code == 1
    assert [item["check"] for item in json.loads(ran.out)["items"]] == ["engine-stopped"]
    assert json.loads(ran.out)["items"][0]["remedy"] == "cruddur local up"
    assert not (tmp_path / "stopped").exists()


def test_production_never_falls_back_to_another_database(production: Run) -> None:
    make_table(items=0)
    (first, second) = json.loads(production("doctor", "--prod", "-o", "json").out)["items"]
    assert (first["check"], second["check"]) == ("postgres-unreachable", "table-not-marked")
    assert "PROD_CONNECTION_URL is not set" in first["evidence"]


# What it costs.


def test_within_max_units_a_sample_is_read_and_reported(world: World) -> None:
    BREAKS["conversation-with-one-row"](world)
    ran = world.here("doctor", "--max-units", "2", "-o", "json")
    told = json.loads(ran.out)
    assert told["sampled"]
    assert told["consumed_capacity"]["read_units"] <= 2
    assert "Not checked: the group rows" in ran.err
    assert told["items"] == []
    whole = json.loads(world.here("doctor", "--max-units", "100", "-o", "json").out)
    assert not whole["sampled"]
    assert [item["check"] for item in whole["items"]] == ["conversation-with-one-row"]


def test_an_export_is_read_instead_of_the_table(world: World, tmp_path: Path) -> None:
    BREAKS["conversation-with-one-row"](world)
    file = str(tmp_path / "messages.jsonl")
    assert world.here("ddb", "export", file).code == 0
    for row in world.rows():
        world.delete(row)
    ran = world.here("doctor", "--from", file, "-o", "json")
    assert [item["check"] for item in json.loads(ran.out)["items"]] == ["conversation-with-one-row"]
    assert "consumed_capacity" not in json.loads(ran.out)


def test_production_says_what_the_reading_costs(
    production: Run, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_table(items=3)
    monkeypatch.setenv("PROD_CONNECTION_URL", database)
    assert "at most 1000 RCU are used" in production("doctor", "--prod").err


# Throttled requests in CloudWatch.


@pytest.fixture
def account(production: Run, database: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """An account whose table has no problem except the missing marks."""
    make_table(items=0)
    monkeypatch.setenv("PROD_CONNECTION_URL", database)
    assert production("doctor", "--prod", "--fix", "--confirm", TABLE).code == 0
    return production


def _throttle(metric: str, number: int, *, hours: int, **dimensions: str) -> None:
    point = {
        "MetricName": metric,
        "Dimensions": [{"Name": name, "Value": value} for name, value in {"TableName": TABLE, **dimensions}.items()],
        "Timestamp": times.now() - timedelta(hours=hours),
        "Value": float(number),
    }
    client("cloudwatch").put_metric_data(Namespace="AWS/DynamoDB", MetricData=[point])


@pytest.mark.parametrize(
    ("metric", "dimensions"),
    [
        ("ReadThrottleEvents", {}),
        ("WriteThrottleEvents", {}),
        ("WriteThrottleEvents", {"GlobalSecondaryIndexName": INDEX}),
    ],
)
def test_requests_that_were_throttled_today_are_a_finding(
    account: Run, metric: str, dimensions: Mapping[str, str]
) -> None:
    _throttle(metric, 7, hours=2, **dimensions)
    ran = account("doctor", "--prod", "-o", "json")
    (found,) = json.loads(ran.out)["items"]
    assert found["check"] == "requests-throttled"
    # moto adds the figure of an index to the table's, CloudWatch does not.
    assert found["evidence"] in {f"{n} requests throttled in the last 24 hours (CloudWatch)" for n in (7, 14)}


def test_requests_that_were_throttled_two_days_ago_are_no_finding(account: Run) -> None:
    _throttle("ReadThrottleEvents", 7, hours=50)
    assert account("doctor", "--prod").code == 0


def test_without_the_permission_the_rest_is_checked_and_a_note_says_so(
    account: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.cloudwatch.responses import CloudWatchResponse

    def denied(self: object) -> tuple[int, dict[str, str], str]:
        return 403, {}, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"

    monkeypatch.setattr(CloudWatchResponse, "get_metric_statistics", denied)
    ran = account("doctor", "--prod")
    assert ran.code == 0, ran.err
    assert "Not checked: throttled requests" in ran.err


def test_an_export_that_cannot_be_read_is_an_error_and_no_finding(world: World, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("this is no JSON\n")
    ran = world.here("doctor", "--from", str(tmp_path / "bad.jsonl"))
    assert (ran.code, "bad.jsonl, line 1 is not JSON" in ran.err) == (2, True), ran.err
    assert "dynamodb-unreachable" not in ran.out


def test_a_finding_about_the_schema_says_what_it_is_compared_with(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert world.here("db", "diff").code == 0
    world.sql("ALTER TABLE public.activities ADD COLUMN odd text")
    found = world.found()["schema-differs"]["evidence"]
    assert found.startswith("the schema differs from the built-in one, because there is no schema.sql here: column")
