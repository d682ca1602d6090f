"""Connection URLs as people write them, and the error that each failure becomes."""

from __future__ import annotations

import pytest

from cruddur_cli.errors import BadInput, CannotConnect, NotConfigured, Refused
from cruddur_cli.postgres import connection
from cruddur_cli.postgres.connection import Server, parse_url


def server(url: str, *, read_only: bool = False) -> Server:
    found = parse_url(url, origin="CONNECTION_URL")
    return Server(
        parameters=found,
        host=found["host"],
        port=connection.port(found),
        database=found["dbname"],
        user=found["user"],
        label=f"database {found['dbname']!r}",
        read_only=read_only,
    )


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
@pytest.mark.parametrize("host", ["db", "localhost", "127.0.0.1", "x.abc.eu-west-1.rds.amazonaws.com"])
@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("plain", "plain"),
        ("!@/%#: x", "!@/%#: x"),
        ("/cruddur@%", "/cruddur@%"),
        ("12/34@56", "12/34@56"),
        ("p%40ss%2F", "p@ss/"),
        ("100%25", "100%"),
        ("what?a=b&c", "what?a=b&c"),
        ("", ""),
    ],
)
def test_a_password_is_read_as_it_was_meant(scheme: str, host: str, written: str, meant: str) -> None:
    found = parse_url(f"{scheme}://cruddurroot:{written}@{host}:5433/cruddur_dev?sslmode=require", origin="X")
    assert found.pop("password", "") == meant
    assert found == {
        "user": "cruddurroot", "host": host, "port": "5433", "dbname": "cruddur_dev", "sslmode": "require",
    }  # fmt: skip


def test_other_forms_of_libpq_are_read_too() -> None:
    assert parse_url("host=h dbname=d password='a b'", origin="X") == {"host": "h", "dbname": "d", "password": "a b"}
    assert parse_url("postgresql://u@h/d?application_name=a@b", origin="X")["application_name"] == "a@b"
    assert parse_url("postgresql:///d?host=/run/postgresql", origin="X") == {"dbname": "d", "host": "/run/postgresql"}
    assert parse_url("postgresql://u:p@[::1]:5432/d", origin="X")["host"] == "::1"
    assert parse_url("postgresql://h/a%40b", origin="X")["dbname"] == "a@b"


@pytest.mark.parametrize("url", ["nonsense", "mysql://u:Hidden1@h/d", "postgresql://u:Hidden1@h:port/d", "http://x"])
def test_what_is_no_postgresql_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(NotConfigured) as caught:
        parse_url(url, origin="DATABASE_URL")
    assert caught.value.message.startswith("DATABASE_URL is not a PostgreSQL URL")
    assert "%40 for @" in str(caught.value.hint)
    assert "Hidden1" not in caught.value.message + str(caught.value.hint)


def test_a_server_does_not_show_its_password_when_printed() -> None:
    assert "Hidden1" not in repr(server("postgresql://u:Hidden1@h:1/d"))


def test_in_a_dry_run_postgresql_itself_refuses_a_change(database: str) -> None:
    with pytest.raises(Refused) as caught, connection.opened(server(database, read_only=True)) as conn:
        conn.execute("DELETE FROM users")
    assert caught.value.code == "read_only"


def test_what_raises_inside_is_rolled_back(database: str) -> None:
    with pytest.raises(RuntimeError), connection.opened(server(database)) as conn:
        conn.execute("DELETE FROM users")
        raise RuntimeError
    with connection.opened(server(database)) as conn:
        assert conn.execute("SELECT count(*) FROM users").fetchone() == (4,)


def test_a_connection_that_is_cut_is_told_as_such(database: str) -> None:
    with pytest.raises(CannotConnect, match="was lost"), connection.opened(server(database)) as conn:
        with connection.opened(server(database)) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [conn.info.backend_pid])
        conn.execute("SELECT 1")


@pytest.mark.parametrize("name", ["", "x" * 64, "é" * 32])
def test_a_name_that_postgresql_would_cut_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        connection.check_name(name)
    assert connection.check_name("x" * 63)
