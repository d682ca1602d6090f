"""What a check finds in answers that a test makes up, without an account."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cruddur_cli.audit.checks import CHECKS
from cruddur_cli.audit.model import PASS, Ask, CannotSee, Finding, Scope, Seen, evaluate
from tests.audit.account import ACCOUNT, FUNCTION, REGION, TABLE

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SCOPE: dict[str, Any] = {
    "table": TABLE,
    "region": REGION,
    "account": ACCOUNT,
    "partition": "aws",
    "now": NOW,
    "user_pool_id": f"{REGION}_pool",
    "function": FUNCTION,
}
Answers = Mapping[Ask, "dict[str, Any] | list[dict[str, Any]] | CannotSee"]


def seen(answers: Answers, **scope: Any) -> Seen:
    """The answers as they are collected: one of a kind, or a list of them."""
    listed = {ask: [answer] if isinstance(answer, dict) else answer for ask, answer in answers.items()}
    return Seen(Scope(**{**SCOPE, **scope}), listed)


def finding(name: str, answers: Answers, **scope: Any) -> Finding:
    """What the check of that name finds."""
    (check,) = (check for check in CHECKS if check.name == name)
    return evaluate(check, seen(answers, **scope))


def passes(name: str, answers: Answers, **scope: Any) -> bool:
    """Whether the check passes; a check that cannot see does not."""
    return finding(name, answers, **scope).result == PASS
