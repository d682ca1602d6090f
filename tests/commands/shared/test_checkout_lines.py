"""The line of the checkout to which a finding points."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cruddur_cli import settings
from cruddur_cli.audit.model import Finding as AuditFinding
from cruddur_cli.commands.shared import checkout_lines
from cruddur_cli.integrity.differences import Difference
from cruddur_cli.integrity.model import Contradiction, Facts, Finding, Machine, Unresolved
from tests.integrity.facts import DATABASE, FACTS

SCHEMA = """DROP TABLE IF EXISTS public.users;
CREATE TABLE public.users (
  uuid UUID PRIMARY KEY,
  handle text NOT NULL
);
CREATE TABLE IF NOT EXISTS "public"."activities" (
  uuid UUID PRIMARY KEY,
  message text
);
"""
TOML = 'table = "mine"\nconnection_url = "postgresql://me@nowhere/cruddur"\n\n[prod]\ntable = "theirs"\n'
DB = Path("backend-flask/db")


@dataclass(frozen=True)
class Row:
    version: str
    name: str
    state: str


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    migrations = tmp_path / DB / "migrations"
    migrations.mkdir(parents=True)
    (tmp_path / DB / "schema.sql").write_text(SCHEMA, encoding="utf-8")
    for number, column in (("1001", "bio"), ("1002", "city")):
        text = f"-- migrate:up\n-- adds {column}\nALTER TABLE public.users ADD {column} text;\n-- migrate:down\n"
        (migrations / f"{number}_add_{column}.sql").write_text(text, encoding="utf-8")
    (tmp_path / "cruddur.toml").write_text(TOML, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def line(check: str, store: str = "postgres", facts: Facts = FACTS, *, prod: bool = False) -> tuple[str, int] | None:
    found = Finding(check, store, "low", "", "", "", fixable=False)
    at = checkout_lines.of_doctor(settings.load({"prod": prod}, environ={}), facts, found)
    return None if at is None else (Path(at[0]).name, at[1])


def reads(**changes: object) -> Facts:
    return replace(FACTS, database=replace(DATABASE, **changes))  # type: ignore[arg-type]


def test_a_finding_of_a_migration_is_at_its_file(checkout: Path) -> None:
    rows = [Row("1001", "add_bio", "applied"), Row("1002", "add_city", "pending")]
    assert line("migrations-pending", facts=reads(migrations=rows)) == ("1002_add_city.sql", 1)


@pytest.mark.parametrize(
    ("thing", "file", "number"),
    [
        ("column public.users.bio", "1001_add_bio.sql", 3),
        ("column public.activities.message", "schema.sql", 8),
        ("column public.activities.nowhere", "schema.sql", 6),
        ("table public.users", "schema.sql", 2),
        ("table public.nowhere", "cruddur.toml", 2),
    ],
)
def test_a_finding_of_an_object_is_at_the_line_that_creates_it(
    checkout: Path, thing: str, file: str, number: int
) -> None:
    facts = reads(differences=[Difference(thing, "missing", "", None)])
    assert line("schema-differs", facts=facts) == (file, number)


def test_a_finding_of_a_missing_table_or_column_is_at_the_table(checkout: Path) -> None:
    assert line("tables-missing", facts=reads(missing_tables=["activities"])) == ("schema.sql", 6)
    assert line("columns-missing") == ("schema.sql", 2)


def test_a_finding_of_a_setting_is_at_its_line(checkout: Path) -> None:
    url = settings.load(environ={}).origins["connection_url"]
    hosts = Machine(unresolved=[Unresolved(url, "nowhere", "postgres")])
    assert line("host-unresolved", "machine", replace(FACTS, machine=hosts)) == ("cruddur.toml", 2)
    both = Machine(contradictions=[Contradiction("DDB_MESSAGE_TABLE", "table in cruddur.toml")])
    assert line("variables-contradict", "machine", replace(FACTS, machine=both)) == ("cruddur.toml", 1)


def test_a_finding_of_data_is_at_the_setting_that_names_its_store(checkout: Path) -> None:
    assert line("handles-duplicate") == ("cruddur.toml", 2)
    assert line("times-in-future", "dynamodb") == ("cruddur.toml", 1)
    assert line("times-in-future", "dynamodb", prod=True) == ("cruddur.toml", 5)
    assert line("cognito-id-mock", "cognito") == ("cruddur.toml", 1)
    (checkout / "cruddur.toml").unlink()
    assert line("handles-duplicate") is None


def test_a_finding_of_the_audit_is_at_its_expired_entry_or_the_setting(checkout: Path) -> None:
    accepted = checkout / "cruddur-audit.toml"
    accepted.write_text('[[accepted]]\ncheck = "table-tags"\nreason = "one"\nuntil = 2020-01-01\n', encoding="utf-8")
    s = settings.load({"prod": True}, environ={})

    def at(check: str) -> tuple[str, int] | None:
        finding = AuditFinding(check, "fail", "low", "", "", "", None, None, ())
        return checkout_lines.of_audit(s, finding, accepted)

    assert at("table-tags") == (str(accepted), 2)
    assert at("table-key") == (str(checkout / "cruddur.toml"), 5)
    assert at("trail-logging") == (str(checkout / "cruddur.toml"), 1)
