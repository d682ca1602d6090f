"""The temporary database in which files are tried is dropped, even if its command was killed."""

from __future__ import annotations

import secrets
from datetime import timedelta
from urllib.parse import urlsplit

import psycopg
import pytest

from cruddur_cli import times
from cruddur_cli.commands.shared import try_database
from cruddur_cli.postgres import connection
from tests.commands.conftest import Here
from tests.commands.db.test_rebuild import databases


def test_the_database_is_empty_and_dropped_even_after_an_error(database: str) -> None:
    at = connection.Server.at(database)
    with pytest.raises(RuntimeError), try_database.beside(at) as beside:
        assert databases(database) == {beside.database}
        assert len(beside.database) <= 63
        raise RuntimeError
    assert databases(database) == set()


def _make(database: str, minutes_ago: int) -> str:
    """Create the database that a killed command would leave."""
    name = urlsplit(database).path[1:37]
    name += f"_cruddur_try_{int(times.now().timestamp()) // 60 - minutes_ago:07x}{secrets.token_hex(3)}"
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(f'CREATE DATABASE "{name}"'.encode())
    return name


def _drop(database: str, name: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(f'DROP DATABASE "{name}"'.encode())


def test_a_database_of_a_killed_command_is_dropped_by_the_next_command(database: str) -> None:
    old, young = _make(database, 90), _make(database, 5)
    with try_database.beside(connection.Server.at(database)):
        assert old not in databases(database)
    assert databases(database) == {young}
    _drop(database, young)


def test_a_database_that_a_session_uses_is_not_dropped(database: str) -> None:
    old = _make(database, 90)
    url = urlsplit(database)._replace(path=f"/{old}").geturl()
    with psycopg.connect(url), try_database.beside(connection.Server.at(database)):
        assert old in databases(database)
    _drop(database, old)


def test_a_setup_drops_such_a_database_and_a_dry_run_does_not(here: Here, database: str) -> None:
    old, young = _make(database, 90), _make(database, 5)
    assert here("db", "setup", "-n").code == 0
    assert databases(database) == {old, young}
    ran = here("db", "setup")
    assert ran.code == 0, ran.err
    assert ran.err.count(f"database {old}: dropped; a killed command created it") == 1
    assert databases(database) == {young}
    _drop(database, young)


def test_one_is_stale_after_an_hour(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = times.now()
    monkeypatch.setattr(times, "now", lambda: now)
    old, young = _make(database, 61), _make(database, 60)
    at = connection.Server.at(database)
    with connection.opened_maintenance(at) as conn:
        assert try_database.drop_stale(conn, at) == [old]
        assert try_database.drop_stale(conn, at) == []
    _drop(database, young)


def test_the_name_says_when_it_was_made(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at, now = connection.Server.at(database), times.now()
    with try_database.beside(at) as beside, connection.opened_maintenance(at) as conn:
        monkeypatch.setattr(times, "now", lambda: now + timedelta(minutes=59))
        assert try_database.drop_stale(conn, at) == []
        monkeypatch.setattr(times, "now", lambda: now + timedelta(minutes=62))
        assert try_database.drop_stale(conn, at) == [beside.database]


def test_another_database_with_such_a_beginning_stays(database: str) -> None:
    at = connection.Server.at(database)
    name = f"{at.database[:36]}_cruddur_try_of_mine"
    with connection.opened_maintenance(at) as conn:
        conn.execute(f'CREATE DATABASE "{name}"'.encode())
        assert try_database.drop_stale(conn, at) == []
    assert databases(database) == {name}
    _drop(database, name)
