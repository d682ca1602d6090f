"""Findings and the notes beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cruddur_cli.integrity.checks import CHECKS
from cruddur_cli.integrity.model import Problem, findings, notes
from tests.integrity.facts import FACTS, TABLE


def test_a_hint_that_is_no_command_is_part_of_the_evidence() -> None:
    problem = Problem("There is no answer.", "is it running?", "cannot_connect")
    (found,) = findings(CHECKS, replace(FACTS, database=problem, prod=True))
    assert (found.evidence, found.remedy) == ("There is no answer (is it running?)", "cruddur config --prod")


def test_a_note_says_what_was_not_compared() -> None:
    problem = Problem("There is no answer.", None, "cannot_connect")
    assert any("Not checked" in line for line in notes(replace(FACTS, database=problem)))


def test_a_production_table_without_a_stream_is_a_note_and_no_finding() -> None:
    table = replace(
        TABLE,
        write_capacity=None,
        index_write_capacity=None,
        is_production=True,
        stream_off="aws dynamodb update-table …",
    )
    facts = replace(FACTS, prod=True, table=table)
    assert [line for line in notes(facts) if "cruddur ddb schema-load --stream --prod" in line]
    assert not [one for one in findings(CHECKS, facts) if "stream" in one.check]
    others: dict[str, dict[str, Any]] = {"here": {"prod": False}, "export": {"table": replace(table, stream_off="")}}
    others["on"] = {"table": replace(table, stream_view="NEW_IMAGE")}
    for changes in others.values():
        assert not [line for line in notes(replace(facts, **changes)) if "no stream" in line]
