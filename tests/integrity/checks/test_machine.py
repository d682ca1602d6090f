"""The checks of this machine."""

from __future__ import annotations

from dataclasses import replace

from cruddur_cli.integrity.checks import CHECKS
from cruddur_cli.integrity.model import Problem, findings
from tests.integrity.facts import FACTS


def test_a_problem_of_an_engine_that_does_not_run_is_said_once() -> None:
    stopped = Problem("The embedded AWS does not run.", "cruddur local up", "engine_stopped")
    found = findings(CHECKS, replace(FACTS, table=stopped, pool=stopped, engines=["AWS"]))
    assert [each.check for each in found] == ["engine-stopped"]
