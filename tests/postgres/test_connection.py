"""Connection URLs as people write them, and the error of each failure."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from cruddur_cli.errors import BadInput, CannotConnect, CruddurError, NotConfigured, Refused
from cruddur_cli.postgres import connection
from cruddur_cli.postgres.connection import Server, parse_url

from . import servers


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
    ("written", "password"),
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
def test_a_password_with_unencoded_signs_is_read(scheme: str, host: str, written: str, password: str) -> None:
    found = parse_url(f"{scheme}://cruddurroot:{written}@{host}:5433/cruddur_dev?sslmode=require", origin="X")
    assert found.pop("password", "") == password
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
def test_a_text_that_is_no_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(NotConfigured) as caught:
        parse_url(url, origin="DATABASE_URL")
    assert caught.value.message.startswith("DATABASE_URL is not a valid PostgreSQL URL")
    assert "%40 for @" in str(caught.value.hint)
    assert "Hidden1" not in caught.value.message + str(caught.value.hint)


def test_a_server_does_not_show_its_password_when_printed() -> None:
    assert "Hidden1" not in repr(server("postgresql://u:Hidden1@h:1/d"))


def test_in_a_dry_run_postgresql_itself_refuses_a_change(database: str) -> None:
    with pytest.raises(Refused) as caught, connection.opened(server(database, read_only=True)) as conn:
        conn.execute("DELETE FROM users")
    assert caught.value.code == "read_only"


def test_an_exception_rolls_the_transaction_back(database: str) -> None:
    with pytest.raises(RuntimeError), connection.opened(server(database)) as conn:
        conn.execute("DELETE FROM users")
        raise RuntimeError
    with connection.opened(server(database)) as conn:
        assert conn.execute("SELECT count(*) FROM users").fetchone() == (4,)


def test_a_lost_connection_is_reported_as_lost(database: str) -> None:
    with pytest.raises(CannotConnect, match="was lost"), connection.opened(server(database)) as conn:
        with connection.opened(server(database)) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [conn.info.backend_pid])
        conn.execute("SELECT 1")


@pytest.mark.parametrize("name", ["", "x" * 64, "é" * 32])
def test_a_name_that_postgresql_would_truncate_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        connection.check_name(name)
    assert connection.check_name("x" * 63)


@pytest.fixture
def silent() -> Iterator[list[int]]:
    """The ports of servers that accept a connection and never answer."""
    with ExitStack() as stack:
        found = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(6)]
        yield [one.getsockname()[1] for one in found]


def failure(url: str) -> CruddurError:
    with pytest.raises(CruddurError) as caught, connection.opened(servers.server(url)):
        pass
    return caught.value


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_hosts_that_never_answer_are_given_up_within_five_seconds(silent: list[int], count: int) -> None:
    began = time.monotonic()
    hosts, ports = ",".join(["127.0.0.1"] * count), ",".join(map(str, silent[:count]))
    parameters = {"host": hosts, "port": ports, "user": "u", "dbname": "d"}
    server = connection.Server(parameters, hosts, silent[0], "d", "u", "database 'd'")
    with pytest.raises(CannotConnect, match="no answer in time"), connection.opened(server):
        pass
    assert time.monotonic() - began < 5.5


def test_the_last_of_four_hosts_is_reached_where_the_others_refuse(postgres15: str) -> None:
    host, _, port = postgres15.partition("@")[2].partition("/")[0].partition(":")
    parameters = {"host": f"{host},{host},{host},{host}", "port": f"1,2,3,{port}", "user": "postgres"}
    with connection.connect_to_any_host({**parameters, "dbname": "postgres"}) as conn:
        assert conn.info.port == int(port)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("sslmode=bogus", "invalid sslmode value"),
        ("sslmode=require", "sslmode needs something that is missing"),
        ("sslmode=verify-full", "sslmode needs something that is missing"),
        ("service=gone", 'definition of service "gone" not found'),
        ("hostaddr=127.0.0.1,127.0.0.2", "could not match"),
        ("connect_timeout=soon", "connect_timeout"),
    ],
)
def test_a_wrong_setting_is_named_instead_of_an_unreachable_server(postgres15: str, query: str, named: str) -> None:
    error = failure(f"{postgres15}?{query}")
    assert isinstance(error, NotConfigured)
    assert named in error.message
    assert "running" not in str(error.hint)


def test_a_missing_root_certificate_is_named_with_its_file() -> None:
    message = (
        'connection failed: connection to server at "127.0.0.1", port 5432 failed: '
        'root certificate file "/home/me/.postgresql/root.crt" does not exist\n'
        "Either provide the file, use the system's trusted roots with sslrootcert=system, or change sslmode to disable"
    )
    error = connection.wrong_setting(message, "PostgreSQL on h:5432")
    assert error is not None
    assert 'root certificate file "/home/me/.postgresql/root.crt" does not exist.' in error.message
    assert "sslrootcert" in str(error.hint)


@pytest.mark.parametrize(
    "text",
    [
        'connection to server at "127.0.0.1", port 9 failed: Connection refused',
        'FATAL:  password authentication failed for user "u"',
        'FATAL:  database "ssl" does not exist',
        "server closed the connection unexpectedly",
    ],
)
def test_an_unreachable_server_is_no_wrong_setting(text: str) -> None:
    assert connection.wrong_setting(text, "PostgreSQL on h:5432") is None


def test_a_refusal_without_tls_has_a_hint_about_tls() -> None:
    plain = 'FATAL:  no pg_hba.conf entry for host "127.0.0.1", user "u", database "d", no encryption'
    assert "sslmode=require" in connection.login_hint(plain)
    assert "sslmode" not in connection.login_hint(f"{plain.replace('no encryption', 'SSL encryption')}\n{plain}")


def settings(at: Server) -> tuple[str, str]:
    """Both settings; on a PostgreSQL without the second, the expected value."""
    with connection.opened(at) as conn:
        row = conn.execute(
            "SELECT current_setting('lock_timeout'), current_setting('client_connection_check_interval', true)"
        ).fetchone()
        assert row
        assert (row[1] is None) == (conn.info.server_version < 140_000)
        return str(row[0]), str(row[1] or "2s")


def test_every_transaction_has_time_outs_and_the_session_keeps_its_own(at: Server) -> None:
    assert settings(at) == ("5s", "2s")
    with connection.opened(at) as conn:
        conn.commit()
        assert conn.execute("SHOW lock_timeout").fetchone() == ("0",)
        connection.set_timeouts(conn)
        assert conn.execute("SHOW lock_timeout").fetchone() == ("5s",)


def test_a_time_out_in_the_url_or_in_pgoptions_is_kept(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(servers.server(f"{url}?options=-c%20lock_timeout%3D7s")) == ("7s", "2s")
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=8s")
    assert settings(servers.server(url)) == ("8s", "2s")
