"""The checks of PostgreSQL that no engine of the tests can be broken into."""

from __future__ import annotations

from dataclasses import replace

from cruddur_cli.integrity.checks import CHECKS
from cruddur_cli.integrity.model import findings
from tests.integrity.facts import DATABASE, FACTS


def test_postgresql_12_is_too_old_and_13_is_not() -> None:
    for version, expected in ((120_022, ["postgres-version"]), (130_000, [])):
        found = findings(CHECKS, replace(FACTS, database=replace(DATABASE, version=version)))
        assert [each.check for each in found] == expected
