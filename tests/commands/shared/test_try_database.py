"""The database that files are tried in is dropped, whatever happened to the command that made it."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

import psycopg
import pytest

from cruddur_cli import times
from cruddur_cli.commands.shared import try_database
from cruddur_cli.postgres import connection
from tests.commands.conftest import Here
from tests.commands.db.test_rebuild import databases


def test_it_is_empty_and_gone_at_the_end_even_after_an_error(database: str) -> None:
    at = connection.Server.at(database)
    with pytest.raises(RuntimeError), try_database.beside(at) as beside:
        assert databases(database) == {beside.database}
        assert len(beside.database) <= 63
        raise RuntimeError
    assert databases(database) == set()


def _make(database: str, minutes_ago: int) -> str:
    """What a killed command left."""
    name = urlsplit(database).path[1:37]
    name += f"_cruddur_try_{int(times.now().timestamp()) // 60 - minutes_ago:07x}{secrets.token_hex(3)}"
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(f'CREATE DATABASE "{name}"'.encode())
    return name


def _drop(database: str, name: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(f'DROP DATABASE "{name}"'.encode())


def test_one_that_a_killed_command_left_is_dropped_by_the_next(database: str) -> None:
    old, young = _make(database, 90), _make(database, 5)
    with try_database.beside(connection.Server.at(database)):
        assert old not in databases(database)
    assert databases(database) == {young}
    _drop(database, young)


def test_one_that_a_session_uses_stays(database: str) -> None:
    old = _make(database, 90)
    url = urlsplit(database)._replace(path=f"/{old}").geturl()
    with psycopg.connect(url), try_database.beside(connection.Server.at(database)):
        assert old in databases(database)
    _drop(database, old)


def test_a_setup_drops_it_too_and_a_dry_run_does_not(here: Here, database: str) -> None:
    old, young = _make(database, 90), _make(database, 5)
    assert here("db", "setup", "-n").code == 0
    assert databases(database) == {old, young}
    ran = here("db", "setup")
    assert ran.code == 0, ran.err
    assert ran.err.count(f"database {old}: dropped; a killed command created it") == 1
    assert databases(database) == {young}
    _drop(database, young)
