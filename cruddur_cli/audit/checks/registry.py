"""Registers checks: ``@check`` declares a function that decides as a check."""

from __future__ import annotations

from collections.abc import Callable

from ..model import Ask, Check, Scope, Seen, Verdict

registered: list[Check] = []


def check(
    name: str,
    title: str,
    *,
    severity: str,
    controls: tuple[str, ...],
    asks: tuple[Ask, ...],
    resource: Callable[[Scope], str],
) -> Callable[[Callable[[Seen], Verdict]], Callable[[Seen], Verdict]]:
    """Declare the function below as a check; ``asks`` are the reads whose answers it uses."""

    def declare(decide: Callable[[Seen], Verdict]) -> Callable[[Seen], Verdict]:
        registered.append(Check(name, title, severity, controls, asks, resource, decide))
        return decide

    return declare


def account(scope: Scope) -> str:
    """The ARN of the whole account, as a check's resource."""
    return f"arn:{scope.partition}:iam::{scope.account}:root"
