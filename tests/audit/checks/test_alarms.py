"""The checks of alarms: each fails alone, with a command that fixes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cruddur_cli.audit.checks import alarms
from cruddur_cli.audit.model import PASS
from tests.audit.account import TABLE, Account, alarm, client
from tests.audit.alone import Breaks, each_change, found_alone
from tests.audit.answers import finding


def _no_alarm(metric: str) -> Callable[[Account], None]:
    return lambda _: client("cloudwatch").delete_alarms(AlarmNames=[f"{TABLE}-{metric}"])


BREAKS: Breaks = {
    "alarm-throttling": [_no_alarm("WriteThrottleEvents")],
    "alarm-errors": [_no_alarm("SystemErrors"), lambda _: alarm("SystemErrors", with_action=False)],
}


@pytest.mark.parametrize(("name", "change"), each_change(BREAKS))
def test_each_fails_alone_with_a_command_that_fixes_it(
    account: Account, name: str, change: Callable[[Account], None]
) -> None:
    found_alone(account, name, change)


# What is decided from answers that no test makes moto give.


def _on(metric: str, name: str = "a", *, table: str | None = TABLE, **alarm: Any) -> dict[str, Any]:
    dimensions = [{"Name": "Operation", "Value": "Query"}]
    dimensions += [{"Name": "TableName", "Value": table}] if table else []
    watched = {"Namespace": "AWS/DynamoDB", "MetricName": metric, "Dimensions": dimensions}
    return {"AlarmName": name, "AlarmActions": ["arn:topic"], **watched, **alarm}


def _found(check: str, *given: dict[str, Any]) -> tuple[str, str]:
    one = finding(check, {alarms.ALARMS: {"MetricAlarms": list(given)}})
    return one.result, one.evidence


def test_reads_and_writes_are_watched_both_or_all_requests_at_once() -> None:
    reads, writes = _on("ReadThrottleEvents", "r"), _on("WriteThrottleEvents", "w")
    assert _found("alarm-throttling", reads, writes) == (PASS, "r, w")
    assert _found("alarm-throttling", _on("ThrottledRequests", "t")) == (PASS, "t")
    assert _found("alarm-throttling", reads, _on("ThrottledRequests", "t")) == (PASS, "r")
    assert _found("alarm-throttling", reads)[1] == "no alarm with an action on WriteThrottleEvents"
    assert _found("alarm-throttling", writes)[1] == "no alarm with an action on ReadThrottleEvents"
    assert _found("alarm-throttling")[1] == "no alarm with an action on ReadThrottleEvents and WriteThrottleEvents"


def test_one_alarm_may_watch_both_in_an_expression() -> None:
    metrics = [
        {"Id": "sum", "Expression": "a + b"},
        {"Id": "a", "MetricStat": {"Metric": _on("ReadThrottleEvents")}},
        {"Id": "b", "MetricStat": {"Metric": _on("WriteThrottleEvents")}},
    ]
    both = {"AlarmName": "both", "AlarmActions": ["arn:topic"], "Metrics": metrics}
    assert _found("alarm-throttling", both) == (PASS, "both")


@pytest.mark.parametrize(
    ("alarm", "counts"),
    [
        ({}, True),
        ({"ActionsEnabled": True}, True),
        ({"ActionsEnabled": False}, False),
        ({"AlarmActions": []}, False),
        ({"Namespace": "AWS/SQS"}, False),
        ({"table": None}, True),
        ({"table": "another-table"}, False),
        ({"Dimensions": None}, True),
    ],
)
def test_an_alarm_counts_that_tells_of_the_table_or_of_the_account(alarm: dict[str, Any], counts: bool) -> None:
    result, evidence = _found("alarm-errors", _on("UserErrors", **alarm))
    assert (result == PASS) is counts
    assert evidence == ("a" if counts else "no alarm with an action on SystemErrors or UserErrors")


def test_the_first_alarm_of_a_metric_is_named_and_the_missing_one_is_added() -> None:
    assert (
        _found("alarm-errors", _on("SystemErrors", "1"), _on("UserErrors", "2"), _on("SystemErrors", "3"))[1] == "1, 2"
    )
    errors = finding("alarm-errors", {alarms.ALARMS: {}})
    throttling = finding("alarm-throttling", {alarms.ALARMS: {"MetricAlarms": [_on("ReadThrottleEvents")]}})
    of = f"--dimensions Name=TableName,Value={TABLE} "
    assert f"--metric-name SystemErrors {of}Name=Operation,Value=TransactWriteItems --statistic" in str(errors.remedy)
    assert f"--metric-name WriteThrottleEvents {of}--statistic" in str(throttling.remedy)
