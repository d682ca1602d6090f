"""What was read where nothing is wrong."""

from __future__ import annotations

from datetime import UTC, datetime

from cruddur_cli.integrity.model import Database, Facts

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
