"""Evaluates all checks, applies the accepted findings, and decides the exit code of an audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .accepted import Acceptance
from .model import ACCEPTED, FAIL, PASS, SEVERITIES, UNSEEN, Check, Finding, Seen, evaluate

_ORDER = (FAIL, UNSEEN, ACCEPTED, PASS)


def findings(checks: Sequence[Check], seen: Seen, accepted: Sequence[Acceptance] = ()) -> list[Finding]:
    """One finding for each check, failures first, and the most severe of each result first."""
    today = seen.scope.now.date()
    unsorted = []
    for check in checks:
        one = evaluate(check, seen)
        acceptance = next((entry for entry in accepted if entry.check == one.check and entry.until >= today), None)
        if acceptance is None or one.result == PASS:
            unsorted.append(one)
        else:
            why, until = acceptance.reason, acceptance.until.isoformat()
            unsorted.append(replace(one, result=ACCEPTED, accepted_reason=why, accepted_until=until))
    return sorted(unsorted, key=lambda one: (_ORDER.index(one.result), SEVERITIES.index(one.severity)))


def is_bad(findings: Sequence[Finding], *, strict: bool) -> bool:
    """Whether a check failed; with ``strict`` also whether one could not be decided."""
    return any(one.result == FAIL or (strict and one.result == UNSEEN) for one in findings)


def notes(findings: Sequence[Finding], accepted: Sequence[Acceptance], seen: Seen) -> list[str]:
    """Sentences about entries in the file of accepted findings that have expired or are no longer needed."""
    today = seen.scope.now.date()
    results = {one.check: one.result for one in findings}
    expired = [
        f"{one.check}: it was accepted until {one.until} ({one.reason}) and counts again"
        for one in accepted
        if one.until < today and results.get(one.check) in {FAIL, UNSEEN}
    ]
    unneeded = [
        f"{one.check} passes: its entry in the file of accepted findings is no longer needed"
        for one in accepted
        if results.get(one.check) == PASS
    ]
    return expired + unneeded


def counts(findings: Sequence[Finding]) -> dict[str, int]:
    """The number of findings of each result, by the result's name in JSON."""
    names = {PASS: "passed", FAIL: "failed", UNSEEN: "unseen", ACCEPTED: "accepted"}
    return {name: sum(one.result == result for one in findings) for result, name in names.items()}
