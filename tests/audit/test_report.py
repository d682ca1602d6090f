"""The order of a whole audit's findings, its exit code, and accepted findings."""

from __future__ import annotations

from datetime import date

from cruddur_cli.audit import report
from cruddur_cli.audit.accepted import Acceptance
from tests.audit.findings import check, finding, seen

CHECKS = [
    check("a", "pass"),
    check("b", "fail", "low"),
    check("c", "cannot see", "critical"),
    check("d", "fail", "high"),
]


def test_failures_come_first_the_most_severe_before_the_others() -> None:
    assert [one.check for one in report.findings(CHECKS, seen())] == ["d", "b", "c", "a"]


def test_what_cannot_be_seen_counts_only_when_strict() -> None:
    assert not report.is_bad([finding("a", "pass"), finding("b", "cannot see")], strict=False)
    assert report.is_bad([finding("a", "pass"), finding("b", "cannot see")], strict=True)
    assert report.is_bad([finding("a", "fail")], strict=False)


def test_an_accepted_finding_does_not_count_until_its_last_day() -> None:
    accepted = [Acceptance("d", "known", date(2026, 11, 20)), Acceptance("c", "no right", date(2027, 1, 1))]
    found = {one.check: one for one in report.findings(CHECKS, seen(), accepted)}
    assert (found["d"].result, found["d"].accepted_reason, found["d"].accepted_until) == (
        "accepted",
        "known",
        "2026-11-20",
    )
    assert found["c"].result == "accepted"
    assert report.counts(list(found.values())) == {"passed": 1, "failed": 1, "unseen": 0, "accepted": 2}
    assert report.notes(list(found.values()), accepted, seen()) == []


def test_a_finding_whose_acceptance_has_ended_counts_again() -> None:
    accepted = [Acceptance("d", "known", date(2026, 11, 19))]
    found = report.findings(CHECKS, seen(), accepted)
    assert [one.result for one in found if one.check == "d"] == ["fail"]
    assert report.notes(found, accepted, seen()) == ["d: it was accepted until 2026-11-19 (known) and counts again"]


def test_an_accepted_check_that_passes_has_a_note_about_its_entry() -> None:
    accepted = [Acceptance("a", "was wrong", date(2027, 1, 1))]
    found = report.findings(CHECKS, seen(), accepted)
    assert [one.result for one in found if one.check == "a"] == ["pass"]
    assert "no longer needed" in report.notes(found, accepted, seen())[0]
