"""Formats findings as SARIF 2.1.0, for code scanning.

GitHub refuses an upload in which a result has no location, and shows every result as an alert. So only failures and
accepted findings are results. A check that could not be decided is a notification, and with ``strict`` also a result.
Sources: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0"; GitHub, "SARIF support for code
scanning".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import controls
from .model import ACCEPTED, FAIL, UNSEEN, Check, Finding

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}
# "security-severity": over 9.0 is critical, 7.0 to 8.9 high, 4.0 to 6.9 medium.
_SCORES = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.0"}


def log(
    checks: Sequence[Check], findings: Sequence[Finding], *, version: str, place: str, strict: bool = False
) -> dict[str, Any]:
    """A SARIF log. ``place`` is the file that results point to, relative to the repository."""
    numbers = {check.name: number for number, check in enumerate(checks)}
    wanted = {FAIL, ACCEPTED, *([UNSEEN] if strict else [])}
    unseen = [one for one in findings if one.result == UNSEEN]
    driver = {
        "name": "cruddur audit",
        "semanticVersion": version,
        "rules": [_rule(check) for check in checks],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": [_notice(one) for one in unseen]}],
        "results": [_result(one, numbers[one.check], place) for one in findings if one.result in wanted],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(check: Check) -> dict[str, Any]:
    pages = list(filter(None, map(controls.page, check.controls)))
    return {
        "id": check.name,
        "name": "".join(part.capitalize() for part in check.name.split("-")),
        "shortDescription": {"text": check.title},
        "fullDescription": {"text": f"{check.title}. Implements: {'; '.join(check.controls)}."},
        **({"helpUri": pages[0]} if pages else {}),
        "help": {"text": f"Reads: {', '.join(check.permissions)}."},
        "defaultConfiguration": {"level": _LEVELS[check.severity]},
        "properties": {"tags": ["security"], "security-severity": _SCORES[check.severity]},
    }


def _result(one: Finding, number: int, place: str) -> dict[str, Any]:
    text = f"{one.title}: {one.evidence}." + (f" To fix it: {one.remedy}" if one.remedy else "")
    result: dict[str, Any] = {
        "ruleId": one.check,
        "ruleIndex": number,
        "kind": "fail",
        "level": _LEVELS[one.severity],
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": place}, "region": {"startLine": 1}},
                "logicalLocations": [{"fullyQualifiedName": one.resource, "kind": "resource"}],
            }
        ],
        "partialFingerprints": {"cruddurAudit/v1": f"{one.check}:{one.resource}"},
    }
    if one.result == ACCEPTED:
        why = f"{one.accepted_reason} (until {one.accepted_until})"
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": why}]
    return result


def _notice(one: Finding) -> dict[str, Any]:
    return {
        "level": "warning",
        "message": {"text": f"{one.title}: cannot see, {one.evidence}."},
        "associatedRule": {"id": one.check},
    }
