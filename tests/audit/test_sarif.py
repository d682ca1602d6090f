"""The SARIF log is valid, has a location in every result, and suppresses accepted findings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

from cruddur_cli.audit import report, sarif
from cruddur_cli.audit.accepted import Acceptance
from cruddur_cli.audit.checks import CHECKS
from cruddur_cli.audit.model import CannotSee
from tests.audit.findings import NOW, check, seen

# By OASIS, "SARIF Version 2.1.0 Plus Errata 01", schemas; copied whole, as its notices allow.
SCHEMA = json.loads(Path(__file__).with_name("sarif-schema-2.1.0.json").read_text(encoding="utf-8"))
FOUR = [check("a", "pass"), check("b", "fail", "critical"), check("c", "cannot see"), check("d", "fail", "low")]


def log(*, strict: bool = False) -> dict[str, Any]:
    accepted = [Acceptance("d", "known", NOW.date())]
    found = report.findings(FOUR, seen(), accepted)
    made = sarif.log(FOUR, found, version="1.2.3", place="cruddur.toml", strict=strict)
    return dict(json.loads(json.dumps(made)))


def is_valid(made: dict[str, Any]) -> None:
    jsonschema.Draft4Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(made)


def test_it_is_valid_by_its_schema_and_the_schema_can_refuse() -> None:
    jsonschema.Draft4Validator.check_schema(SCHEMA)
    made = log()
    is_valid(made)
    is_valid(log(strict=True))
    made["runs"][0]["results"][0]["level"] = "severe"
    assert list(jsonschema.Draft4Validator(SCHEMA).iter_errors(made))


def test_every_rule_of_the_real_checks_is_valid() -> None:
    found = report.findings(CHECKS, _blind())
    made = sarif.log(CHECKS, found, version="1.2.3", place="cruddur.toml", strict=True)
    is_valid(json.loads(json.dumps(made)))
    assert len(made["runs"][0]["results"]) == len(CHECKS)


def test_every_result_has_a_place_in_the_repository_and_a_resource() -> None:
    results = log(strict=True)["runs"][0]["results"]
    for one in results:
        (location,) = one["locations"]
        assert location["physicalLocation"]["artifactLocation"]["uri"] == "cruddur.toml"
        assert location["physicalLocation"]["region"]["startLine"] == 1
        assert location["logicalLocations"][0]["fullyQualifiedName"].startswith("arn:aws:")
    assert [one["ruleId"] for one in results] == ["b", "c", "d"]


def test_what_passes_is_no_result_and_what_cannot_be_seen_is_a_notice() -> None:
    run = log()["runs"][0]
    assert [(one["ruleId"], one["level"]) for one in run["results"]] == [("b", "error"), ("d", "note")]
    notices = run["invocations"][0]["toolExecutionNotifications"]
    assert [one["associatedRule"]["id"] for one in notices] == ["c"]
    assert run["tool"]["driver"]["rules"][run["results"][0]["ruleIndex"]]["id"] == "b"


def test_an_accepted_finding_is_suppressed_with_its_reason() -> None:
    b, d = log()["runs"][0]["results"]
    assert "suppressions" not in b
    assert d["suppressions"] == [
        {"kind": "external", "status": "accepted", "justification": "known (until 2026-11-20)"}
    ]


def _blind() -> Any:
    found = seen()
    found._answers = {ask: CannotSee("no answer") for one in CHECKS for ask in one.reads}
    return found
