"""Findings of a whole audit: what passes, what fails, what was accepted, and the answer for a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .accepted import Acceptance
from .model import ACCEPTED, FAIL, PASS, SEVERITIES, UNSEEN, Check, Finding, Seen, evaluate

_ORDER = (FAIL, UNSEEN, ACCEPTED, PASS)


def findings(checks: Sequence[Check], seen: Seen, accepted: Sequence[Acceptance] = ()) -> list[Finding]:
    """What every check finds: failures first, the most severe before the others."""
    today = seen.scope.now.date()
    found = []
    for check in checks:
        one = evaluate(check, seen)
        taken = next((entry for entry in accepted if entry.check == one.check and entry.until >= today), None)
        if taken is None or one.result == PASS:
            found.append(one)
        else:
            why, until = taken.reason, taken.until.isoformat()
            found.append(replace(one, result=ACCEPTED, accepted_reason=why, accepted_until=until))
    return sorted(found, key=lambda one: (_ORDER.index(one.result), SEVERITIES.index(one.severity)))


def is_bad(found: Sequence[Finding], *, strict: bool) -> bool:
    """Whether something failed; with ``strict`` also whether something could not be seen."""
    return any(one.result == FAIL or (strict and one.result == UNSEEN) for one in found)


def notes(found: Sequence[Finding], accepted: Sequence[Acceptance], seen: Seen) -> list[str]:
    """What a person has to know about the accepted findings: which have ended, which are no longer needed."""
    today = seen.scope.now.date()
    results = {one.check: one.result for one in found}
    ended = [
        f"{one.check}: it was accepted until {one.until} ({one.reason}) and counts again"
        for one in accepted
        if one.until < today and results.get(one.check) in {FAIL, UNSEEN}
    ]
    idle = [
        f"{one.check} passes: its entry in the file of accepted findings is no longer needed"
        for one in accepted
        if results.get(one.check) == PASS
    ]
    return ended + idle


def counts(found: Sequence[Finding]) -> dict[str, int]:
    """How many findings there are of each result, by the name that JSON has for it."""
    names = {PASS: "passed", FAIL: "failed", UNSEEN: "unseen", ACCEPTED: "accepted"}
    return {name: sum(one.result == result for one in found) for result, name in names.items()}
