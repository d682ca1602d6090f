"""A copy of production's database is offered before it is lost; ``rds snapshot`` and ``rds list-snapshots``."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.commands.production import Run, client, production
from tests.terminals import in_terminal

__all__ = ["production"]
INSTANCE = "cruddur-db"


@pytest.fixture
def endpoint(production: Run) -> str:
    """The address of an instance of the simulated account."""
    rds = client("rds")
    rds.create_db_instance(
        DBInstanceIdentifier=INSTANCE,
        Engine="postgres",
        DBInstanceClass="db.t3.micro",
        AllocatedStorage=20,
        MasterUsername="root",
        MasterUserPassword="not-a-secret",
    )
    return str(rds.describe_db_instances()["DBInstances"][0]["Endpoint"]["Address"])


def behind(url: str, name: str) -> str:
    """The URL of the test's database with the host name of an instance; ``hostaddr`` has its real address."""
    parts = urlsplit(url)
    return f"postgresql://{parts.username}:{parts.password}@{name}:{parts.port}{parts.path}?hostaddr={parts.hostname}"


def taken() -> list[str]:
    """The snapshots that the test asked for, without the one that moto takes for each instance."""
    found = client("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    return [one["DBSnapshotIdentifier"] for one in found]


def users(url: str) -> int:
    with psycopg.connect(url) as conn:
        row = conn.execute("SELECT count(*) FROM users").fetchone()
    assert row is not None
    return int(row[0])


def test_a_snapshot_of_the_instance_is_taken_first(
    production: Run, endpoint: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROD_CONNECTION_URL", behind(database, endpoint))
    name = urlsplit(database).path[1:]
    ran = production("db", "schema-load", "--prod", "--backup", "snapshot", "--confirm", name)
    assert ran.code == 0, ran.err
    (snapshot,) = taken()
    assert snapshot in ran.err
    assert users(database) == 0


def test_a_snapshot_of_another_instance_is_refused_before_anything_is_lost(
    production: Run, endpoint: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROD_CONNECTION_URL", database)
    before, name = users(database), urlsplit(database).path[1:]
    for command in ("schema-load", "reset"):
        ran = production("db", command, "--prod", "--backup", "snapshot", "--confirm", name)
        assert (ran.code, "its snapshot would not contain" in ran.err) == (6, True), ran.err
    assert users(database) == before
    assert taken() == []


def test_a_dump_is_written_first_and_loads_again(
    production: Run, database: str, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROD_CONNECTION_URL", database)
    before, name = users(database), urlsplit(database).path[1:]
    ran = production("db", "schema-load", "--prod", "--backup", "dump", "--confirm", name)
    assert ran.code == 0, ran.err
    (path,) = Path.cwd().glob("*.sql")
    assert f"cruddur db schema-load --file {path} --prod" in ran.err
    assert users(database) == 0
    monkeypatch.setenv("PROD_CONNECTION_URL", empty_database)
    back = production("db", "schema-load", "--file", str(path), "--prod")
    assert back.code == 0, back.err
    assert users(empty_database) == before


def test_without_a_terminal_it_warns_and_continues(
    production: Run, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROD_CONNECTION_URL", database)
    name = urlsplit(database).path[1:]
    ran = production("db", "schema-load", "--prod", "--confirm", name)
    assert (ran.code, "--backup snapshot or --backup dump makes one" in ran.err) == (0, True), ran.err
    again = production("db", "schema-load", "--prod", "--confirm", name)
    assert "--backup" not in again.err, "an empty database has nothing to keep"
    monkeypatch.setenv("CONNECTION_URL", database)
    local = production("db", "drop", "--yes", "--dry-run")
    assert "--backup" not in local.err


def test_on_a_terminal_it_asks_which_copy_to_keep(environment: dict[str, str], database: str, tmp_path: Path) -> None:
    environment |= {"PROD_CONNECTION_URL": database}
    name, home = urlsplit(database).path[1:], tmp_path / "home"
    ran = in_terminal(environment, "db", "schema-load", "--prod", cwd=home, typed=f"d\n{name}\n")
    assert ran.code == 0, ran.out
    assert "[s]napshot, [d]ump, [n]o" in " ".join(re.sub(r"\x1b\[[\d;]*m", "", ran.out).split())
    (path,) = home.glob("*.sql")
    assert "andrewbrown" in path.read_text()
    assert users(database) == 0


def test_a_dump_that_fails_keeps_the_database(production: Run, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROD_CONNECTION_URL", database)
    before, name = users(database), urlsplit(database).path[1:]
    bad = Path("bin")
    bad.mkdir()
    monkeypatch.setenv("PATH", f"{bad.absolute()}:{os.environ['PATH']}")
    program = bad / "pg_dump"
    program.write_text("#!/bin/sh\necho 'pg_dump: error: disk full' >&2\nexit 1\n")
    program.chmod(0o755)
    ran = production("db", "schema-load", "--prod", "--backup", "dump", "--confirm", name)
    assert (ran.code, "disk full" in ran.err) == (5, True), ran.err
    assert users(database) == before


def test_a_snapshot_is_taken_listed_and_not_taken_again(production: Run, endpoint: str) -> None:
    dry = production("rds", "snapshot", "weekly", "--dry-run")
    assert (dry.code, taken()) == (0, [])
    made = json.loads(production("rds", "snapshot", "weekly", "-o", "json").out)
    assert (made["written"], made["items"][0]["snapshot"], made["items"][0]["instance"]) == (1, "weekly", INSTANCE)
    again = json.loads(production("rds", "snapshot", "weekly", "-o", "json").out)
    assert (again["written"], again["unchanged"]) == (0, 1)
    listed = json.loads(production("rds", "list-snapshots", "-o", "json").out)
    assert (listed["items"][0]["snapshot"], listed["count"]) == ("weekly", 2)
    assert taken() == ["weekly"]
    assert production("rds", "snapshot", "a--b").code == 2
