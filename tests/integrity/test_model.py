"""How findings are made, and what is said beside them."""

from __future__ import annotations

from dataclasses import replace

from cruddur_cli.integrity.checks import CHECKS
from cruddur_cli.integrity.model import Problem, findings, notes
from tests.integrity.facts import FACTS


def test_the_advice_of_an_error_that_is_no_command_goes_into_the_evidence() -> None:
    problem = Problem("There is no answer.", "is it running?", "cannot_connect")
    (found,) = findings(CHECKS, replace(FACTS, database=problem, prod=True))
    assert (found.evidence, found.remedy) == ("There is no answer (is it running?)", "cruddur config --prod")


def test_what_was_not_compared_is_said() -> None:
    problem = Problem("There is no answer.", None, "cannot_connect")
    assert any("Not checked" in line for line in notes(replace(FACTS, database=problem)))
