"""What a connection asks of the server as it begins, and what it does where the server takes less."""

from __future__ import annotations

import pytest

from cruddur_cli.errors import Refused
from cruddur_cli.postgres import connection, locks, waits
from cruddur_cli.postgres.connection import Server

from . import servers


def settings(at: Server) -> tuple[str, str]:
    with connection.opened(at) as conn:
        row = conn.execute(
            "SELECT current_setting('lock_timeout'), current_setting('client_connection_check_interval')"
        ).fetchone()
        assert row
        return str(row[0]), str(row[1])


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits.Options, "_taken", {})


def test_every_connection_has_them(at: Server) -> None:
    assert settings(at) == ("5s", "2s")
    with connection.opened_maintenance(at) as conn:
        assert conn.execute("SHOW lock_timeout").fetchone() == ("5s",)


def test_what_somebody_says_themselves_wins(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(servers.server(f"{url}?options=-c%20lock_timeout%3D7s")) == ("7s", "2s")
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=8s")
    assert settings(servers.server(url)) == ("8s", "2s")


def test_a_server_that_takes_less(at: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "_ATTEMPTS", ("-c of_a_later_version=1", "-c lock_timeout=5s", ""))
    for _ in range(2):
        assert settings(at)[0] == "5s"
    assert list(waits.Options._taken.values()) == [1]  # and it is asked once only
    monkeypatch.setattr(waits, "_ATTEMPTS", ("-c of_a_later_version=1", "-c of_a_later_version=1", ""))
    assert settings(at)[0] == "0"


def test_whoever_is_in_the_way_is_named(at: Server, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg

    monkeypatch.setattr(waits, "_ATTEMPTS", ("-c lock_timeout=2s",))
    with psycopg.connect(url) as holder:
        holder.execute("CREATE TABLE t (i int)")
        holder.commit()
        holder.execute("LOCK TABLE t")
        with pytest.raises(Refused) as caught, connection.opened(at) as conn, locks.named(conn, at):
            conn.execute("SELECT * FROM t")
        assert caught.value.fields["blocking_pids"] == [holder.info.backend_pid]
