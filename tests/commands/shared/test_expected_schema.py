"""The expected schema is built in a temporary database, in a transaction, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cruddur_cli.commands.shared import expected_schema, load_sql, targets
from cruddur_cli.errors import Refused
from cruddur_cli.postgres import production_marker
from cruddur_cli.postgres.migrations import runner as migration_runner
from cruddur_cli.postgres.migrations.files import Migration
from cruddur_cli.settings import load
from tests import dumps
from tests.commands.conftest import Here
from tests.commands.db.test_database import run
from tests.commands.db.test_diff import differences
from tests.commands.db.test_rebuild import checkout, owner

__all__ = ["checkout", "owner"]


def test_a_user_without_the_right_to_create_databases_uses_a_transaction(
    here: Here, checkout: Path, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONNECTION_URL", owner)
    assert here("db", "setup").code == 0
    run(owner, "CREATE VIEW more AS SELECT handle FROM users")
    before = dumps.rows(owner)
    ran = here("db", "diff", "-o", "json")
    assert [item["object"] for item in json.loads(ran.out)["items"]] == ["view public.more"]
    assert "in a transaction that is rolled back" in ran.err
    assert dumps.rows(owner) == before


def test_a_lock_ends_the_comparison_in_a_transaction(
    here: Here, checkout: Path, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONNECTION_URL", owner)
    assert here("db", "setup").code == 0
    with psycopg.connect(owner) as conn:
        conn.execute("LOCK TABLE users IN ACCESS SHARE MODE")
        assert here("db", "diff").code == 5


def test_only_a_database_of_its_own_is_committed_to(
    here: Here, checkout: Path, owner: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a transaction that has emptied the database, a commit would keep it empty."""
    commits: list[bool] = []
    build = migration_runner.build

    def noted(*arguments: Any, **options: Any) -> None:
        commits.append(options["commits"])
        build(*arguments, **options)

    for url in (owner, database):
        monkeypatch.setenv("CONNECTION_URL", url)
        assert here("db", "setup").code == 0
        with monkeypatch.context() as patch:
            patch.setattr(migration_runner, "build", noted)
            assert here("db", "diff").code == 0
    assert commits == [False, True]


def test_a_remote_server_gets_no_database_and_the_stored_schema_is_used(
    here: Here, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "is_foreign", lambda _: True)
    run(database, "ALTER TABLE users ADD bio text")
    ran = here("db", "diff")
    assert ran.code == 3
    assert "run `cruddur db diff` on a local database first" in ran.err
    monkeypatch.setattr(targets, "is_foreign", lambda _: False)
    assert here("db", "diff").code == 1
    monkeypatch.setattr(targets, "is_foreign", lambda _: True)
    with psycopg.connect(database, autocommit=True) as conn:
        before = conn.execute("SELECT max(oid::bigint) FROM pg_database").fetchone()
        assert set(differences(here)) == {"column public.users.bio"}
        assert conn.execute("SELECT max(oid::bigint) FROM pg_database").fetchone() == before


def test_a_database_that_is_marked_as_production_gets_no_database_beside_it(here: Here, database: str) -> None:
    assert here("db", "diff").code == 0
    with psycopg.connect(database) as conn:
        production_marker.write(conn)
    ran = here("db", "diff")
    assert ran.code == 0, ran.err
    with psycopg.connect(database, autocommit=True) as conn:
        before = conn.execute("SELECT max(oid::bigint) FROM pg_database").fetchone()
        run(database, "ALTER TABLE users ADD bio text")
        assert set(differences(here)) == {"column public.users.bio"}
        assert conn.execute("SELECT max(oid::bigint) FROM pg_database").fetchone() == before


def test_a_migration_that_is_pending_does_not_count_as_applied(database: str, tmp_path: Path) -> None:
    files = [Migration(version, "x", tmp_path / f"{version}_x.sql") for version in ("1", "2")]
    with psycopg.connect(database) as conn:
        assert expected_schema.applied(conn, files) == []
        migration_runner.mark_applied(conn, files, "1")
        assert expected_schema.applied(conn, files) == files[:1]


def test_a_schema_is_stored_for_the_owner_alone_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a" / "cache"))
    expected_schema._write(None, {"table a": ""})
    assert not (tmp_path / "a").exists()
    for text in ("", "x"):
        expected_schema._write("key", {"table a": text})
        assert expected_schema._read("key") == {"table a": text}
    assert expected_schema._folder().stat().st_mode & 0o777 == 0o700
    assert expected_schema._read("another") is None


def test_a_schema_that_is_typed_or_cannot_be_read_is_not_met(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked for a typed one."""
    conn: Any = None
    typed = load({"schema_file": "-"}, environ={}, folder=tmp_path)
    assert typed.origins["schema_file"] == "--file"
    assert not expected_schema.is_met(typed, conn, [])

    def refused(*_: object) -> list[Migration]:
        raise Refused("no")

    monkeypatch.setattr(expected_schema, "applied", refused)
    assert not expected_schema.is_met(load({}, environ={}, folder=tmp_path), conn, [])


def test_a_schema_is_met_until_the_database_gets_another_object(here: Here, database: str) -> None:
    settings = load({})
    with psycopg.connect(database) as conn:
        expected_schema.store(conn, load_sql.read_schema(settings), [], expected_schema.described(conn))
        assert expected_schema.is_met(settings, conn, [])
        conn.execute("CREATE VIEW more AS SELECT handle FROM users")
        assert not expected_schema.is_met(settings, conn, [])
