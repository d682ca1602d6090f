"""Helpers that audit the simulated account, and check that one change makes one check fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cruddur_cli.audit import collect, report
from cruddur_cli.audit.checks import CHECKS
from cruddur_cli.audit.model import FAIL, UNSEEN, Finding
from tests.audit.account import Account

Breaks = dict[str, list[Callable[[Account], None]]]
"""What makes each check of a module fail, and no other."""
# What cannot be told any more because of it; it is no failure of its own.
FOLLOWS = {
    "vpc-endpoint": {"vpc-endpoint-policy"},
    "trail-logging": {"trail-multi-region", "trail-data-events"},
}


def each_change(breaks: Breaks) -> list[object]:
    """The parameters of a test: each check with each of its changes."""
    return [
        pytest.param(name, change, id=f"{name}-{number}")
        for name, changes in breaks.items()
        for number, change in enumerate(changes)
    ]


def audit(account: Account) -> dict[str, Finding]:
    """The findings of a whole audit, by check."""
    seen = collect.collect(CHECKS, account.scope, account.opened, say=lambda _: None)
    return {one.check: one for one in report.findings(CHECKS, seen)}


def names(found: dict[str, Finding], result: str) -> set[str]:
    """The names of the checks with that result."""
    return {name for name, one in found.items() if one.result == result}


def found_alone(account: Account, name: str, change: Callable[[Account], None]) -> None:
    """Assert that after the change only this check fails, with evidence and a command that fixes it."""
    change(account)
    found = audit(account)
    assert names(found, FAIL) == {name}
    assert names(found, UNSEEN) == FOLLOWS.get(name, set())
    remedy = found[name].remedy
    assert remedy is not None
    assert remedy.startswith(("aws ", "cruddur "))
    assert found[name].evidence
