"""Checks that alarms report a table that throttles or fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..model import Ask, Scope, Seen, Verdict, failed, passed
from .registry import check

ALARMS = Ask(
    "cloudwatch",
    "describe_alarms",
    "cloudwatch:DescribeAlarms",
    lambda _: [{"AlarmTypes": ["MetricAlarm"]}],
    pages=("MetricAlarms", "NextToken", "NextToken"),
)
_CONTROLS = (
    "DynamoDB Developer Guide, DynamoDB metrics and dimensions",
    "Security Hub CloudWatch.15",
    "AWS Config cloudwatch-alarm-action-check",
)


# SystemErrors is counted for each operation; a message is sent with TransactWriteItems.
_BY_OPERATION = " Name=Operation,Value=TransactWriteItems"


def _resource(scope: Scope) -> str:
    return scope.table_arn


def _metrics(alarm: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The metrics that an alarm watches, directly or in an expression."""
    if alarm.get("MetricName"):
        yield alarm
    for entry in alarm.get("Metrics") or []:
        if entry.get("MetricStat"):
            yield entry["MetricStat"]["Metric"]


def _watched(seen: Seen) -> dict[str, str]:
    """The table's metrics that have an alarm with an action, each with the alarm's name."""
    watched: dict[str, str] = {}
    for alarm in seen.listed(ALARMS):
        if not alarm.get("ActionsEnabled", True) or not alarm.get("AlarmActions"):
            continue
        for metric in _metrics(alarm):
            tables = {one["Value"] for one in metric.get("Dimensions") or [] if one["Name"] == "TableName"}
            # UserErrors is counted for the whole account, without a table.
            if metric.get("Namespace") == "AWS/DynamoDB" and tables <= {seen.scope.table}:
                watched.setdefault(metric["MetricName"], alarm["AlarmName"])
    return watched


def _add(seen: Seen, metric: str, dimensions: str = "") -> str:
    scope = seen.scope
    of = f"Name=TableName,Value={scope.table}{dimensions}"
    topic = f"arn:{scope.partition}:sns:{scope.region}:{scope.account}:TOPIC"
    return scope.aws(
        f"cloudwatch put-metric-alarm --alarm-name {scope.table}-{metric} --namespace AWS/DynamoDB "
        f"--metric-name {metric} --dimensions {of} --statistic Sum --period 60 "
        "--evaluation-periods 1 --threshold 0 --comparison-operator GreaterThanThreshold "
        f"--treat-missing-data notBreaching --alarm-actions {topic}"
    )


@check(
    "alarm-throttling",
    "An alarm reports when the table throttles reads or writes",
    severity="medium",
    controls=_CONTROLS,
    asks=(ALARMS,),
    resource=_resource,
)
def throttling(seen: Seen) -> Verdict:
    """Passes with alarms on ReadThrottleEvents and WriteThrottleEvents, or one on ThrottledRequests."""
    watched = _watched(seen)
    both = [watched[name] for name in ("ReadThrottleEvents", "WriteThrottleEvents") if name in watched]
    if "ThrottledRequests" in watched or len(both) == 2:
        return passed(", ".join(dict.fromkeys(both)) or watched["ThrottledRequests"])
    missing = [name for name in ("ReadThrottleEvents", "WriteThrottleEvents") if name not in watched]
    return failed(f"no alarm with an action on {' and '.join(missing)}", remedy=_add(seen, missing[0]))


@check(
    "alarm-errors",
    "An alarm reports when DynamoDB fails or refuses requests",
    severity="medium",
    controls=_CONTROLS,
    asks=(ALARMS,),
    resource=_resource,
)
def errors(seen: Seen) -> Verdict:
    """Passes with an alarm on SystemErrors (HTTP 500) or UserErrors (HTTP 400)."""
    watched = _watched(seen)
    alarms = [watched[name] for name in ("SystemErrors", "UserErrors") if name in watched]
    if alarms:
        return passed(", ".join(alarms))
    return failed(
        "no alarm with an action on SystemErrors or UserErrors", remedy=_add(seen, "SystemErrors", _BY_OPERATION)
    )
