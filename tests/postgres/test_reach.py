"""A server is reached or given up within seconds, and a setting that is wrong is told as one."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from cruddur_cli.errors import CannotConnect, CruddurError, NotConfigured
from cruddur_cli.postgres import connection, reach

from . import servers


@pytest.fixture
def silent() -> Iterator[list[int]]:
    """The ports of servers that take a connection and never answer."""
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
    with reach.connect({**parameters, "dbname": "postgres"}) as conn:
        assert conn.info.port == int(port)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("sslmode=bogus", "invalid sslmode value"),
        ("sslmode=require", "sslmode asks for what cannot be had"),
        ("sslmode=verify-full", "sslmode asks for what cannot be had"),
        ("service=gone", 'definition of service "gone" not found'),
        ("hostaddr=127.0.0.1,127.0.0.2", "could not match"),
        ("connect_timeout=soon", "connect_timeout"),
    ],
)
def test_a_wrong_setting_is_named_and_nobody_asks_whether_the_server_runs(
    postgres15: str, query: str, named: str
) -> None:
    error = failure(f"{postgres15}?{query}")
    assert isinstance(error, NotConfigured)
    assert named in error.message
    assert "running" not in str(error.hint)


def test_a_missing_root_certificate_is_named_with_its_file() -> None:
    said = (
        'connection failed: connection to server at "127.0.0.1", port 5432 failed: '
        'root certificate file "/home/me/.postgresql/root.crt" does not exist\n'
        "Either provide the file, use the system's trusted roots with sslrootcert=system, or change sslmode to disable"
    )
    error = reach.wrong_setting(said, "PostgreSQL on h:5432")
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
def test_a_server_that_is_away_or_refuses_is_no_wrong_setting(text: str) -> None:
    assert reach.wrong_setting(text, "PostgreSQL on h:5432") is None


def test_a_server_that_wants_tls_is_told_apart_from_one_that_knows_nobody() -> None:
    plain = 'FATAL:  no pg_hba.conf entry for host "127.0.0.1", user "u", database "d", no encryption'
    assert "sslmode=require" in reach.login_hint(plain)
    assert "sslmode" not in reach.login_hint(f"{plain.replace('no encryption', 'SSL encryption')}\n{plain}")
