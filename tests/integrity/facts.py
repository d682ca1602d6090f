"""Facts in which no check finds a problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cruddur_cli.integrity.model import Check, Database, Facts, Finding, TableFacts, findings
from cruddur_cli.integrity.rows import Rows

NOW = datetime(2026, 11, 20, tzinfo=UTC)


DATABASE = Database(
    label="database 'cruddur'",
    version=160_000,
    missing_tables=[],
    columns=frozenset({"uuid", "handle", "display_name", "cognito_user_id"}),
    people=[],
    migrations=None,
    has_file=frozenset(),
    blockers=[],
    is_production=False,
)


FACTS = Facts(prod=False, table_name="cruddur-messages", table_option="", now=NOW, database=DATABASE)


TABLE = TableFacts(
    label="DynamoDB",
    keys="k",
    expected_keys="k",
    index_keys="i",
    expected_index_keys="i",
    projection="ALL",
    write_capacity=5,
    index_write_capacity=5,
    stream_view=None,
    is_production=None,
    rows=Rows(),
)


@dataclass(frozen=True)
class Person:
    """One row of ``public.users``."""

    uuid: str
    handle: str
    display_name: str = "A Person"
    cognito_user_id: str = "MOCK"


@dataclass(frozen=True)
class Account:
    """One account of a user pool."""

    handle: str | None
    sub: str = "sub"
    username: str = "user"
    enabled: bool = True


def evidence_and_remedy(checks: Sequence[Check], facts: Facts, name: str) -> list[tuple[str, str]]:
    """Evidence and remedy of each finding of one check."""
    return [(found.evidence, found.remedy) for found in of(checks, facts, name)]


def of(checks: Sequence[Check], facts: Facts, name: str) -> list[Finding]:
    """The findings of one check."""
    (check,) = (check for check in checks if check.name == name)
    return findings([check], facts)
