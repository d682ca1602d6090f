"""Helpers that make findings without an account."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from cruddur_cli.audit.model import Ask, CannotSee, Check, Finding, Scope, Seen, Verdict, failed, passed

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
SCOPE = Scope(table="t", region="eu-central-1", account="123456789012", partition="aws", now=NOW)
READ = Ask("dynamodb", "describe_table", "dynamodb:DescribeTable", lambda _: [{}])


def seen(**changes: str) -> Seen:
    return Seen(replace(SCOPE, **changes), {})  # type: ignore[arg-type]


def check(name: str, result: str, severity: str = "medium") -> Check:
    """A check with a fixed result."""

    def decide(_: Seen) -> Verdict:
        if result == "cannot see":
            raise CannotSee("needs permission x:Y", permission="x:Y")
        return passed("fine") if result == "pass" else failed("wrong", remedy="aws mend it")

    return Check(name, f"Title of {name}", severity, ("Security Hub X.1",), (READ,), lambda s: s.table_arn, decide)


def finding(name: str, result: str, severity: str = "medium") -> Finding:
    from cruddur_cli.audit.model import evaluate

    return evaluate(check(name, result, severity), seen())
