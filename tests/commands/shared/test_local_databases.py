"""The cache of local databases: file names without secrets, readable for the owner only, with an expiry."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from cruddur_cli import settings, times
from cruddur_cli.commands.shared import local_databases
from cruddur_cli.postgres import production_marker
from cruddur_cli.settings import Settings


@pytest.fixture
def s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str) -> Settings:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return settings.load(environ={"CONNECTION_URL": database}, folder=tmp_path)


def files(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "cache" / "cruddur" / "databases").iterdir())


def later(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    at = times.of_this_machine() + by

    def now() -> datetime:
        return at

    monkeypatch.setattr(times, "of_this_machine", now)


def test_a_database_is_local_for_a_day_and_checked_each_hour(
    s: Settings, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (local_databases.is_due(s), local_databases.is_local(s)) == (True, False)
    with psycopg.connect(database) as conn:
        assert local_databases.remember(s, conn)
    assert (local_databases.is_due(s), local_databases.is_local(s)) == (False, True)
    (path,) = files(tmp_path)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert "postgres" not in path.name + path.read_text()
    later(monkeypatch, timedelta(hours=2))
    assert (local_databases.is_due(s), local_databases.is_local(s)) == (True, True)
    later(monkeypatch, timedelta(days=1))
    assert (local_databases.is_due(s), local_databases.is_local(s)) == (True, False)


def test_a_marked_database_is_not_local(s: Settings, database: str) -> None:
    with psycopg.connect(database) as conn:
        production_marker.write(conn)
        assert not local_databases.remember(s, conn)
    assert not local_databases.is_local(s)


def test_handles_are_cached_for_seconds_and_dropped_by_a_new_check(
    s: Settings, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert local_databases.handles(s) is None
    local_databases.keep(s, [("bayko", "Andrew Bayko")])
    assert local_databases.handles(s) == [("bayko", "Andrew Bayko")]
    assert not local_databases.is_local(s)
    with psycopg.connect(database) as conn:
        local_databases.remember(s, conn)
    assert local_databases.handles(s) is None
    local_databases.keep(s, [("bayko", "Andrew Bayko")])
    assert local_databases.is_local(s)
    local_databases.forget_handles(s)
    assert (local_databases.handles(s), local_databases.is_local(s)) == (None, True)
    local_databases.keep(s, [("bayko", "Andrew Bayko")])
    later(monkeypatch, timedelta(minutes=1))
    assert local_databases.handles(s) is None


def test_old_files_are_deleted_and_damaged_files_are_ignored(
    s: Settings, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_databases.keep(s, [])
    (path,) = files(tmp_path)
    for content in ("{", "[]", json.dumps({"noted_at": "now", "is_local": True, "read_at": None, "handles": 1})):
        path.write_text(content)
        assert (local_databases.is_due(s), local_databases.is_local(s)) == (True, False)
        assert local_databases.handles(s) is None
    later(monkeypatch, timedelta(days=2))
    other = settings.load(environ={"CONNECTION_URL": f"{database}_2"}, folder=tmp_path)
    local_databases.keep(other, [])
    assert path not in files(tmp_path)


def test_a_cache_that_cannot_be_written_fails_nothing(
    s: Settings, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with psycopg.connect(database) as conn:
        assert local_databases.remember(s, conn)
    assert not local_databases.is_local(s)
