"""A lock time-out is an error that names the session with the lock."""

from __future__ import annotations

import psycopg
import pytest

from cruddur_cli.errors import Refused
from cruddur_cli.postgres import connection, locks
from cruddur_cli.postgres.connection import Server


@pytest.mark.parametrize("is_schema_change", [True, False])
def test_values_for_secrets_in_the_query_of_another_session_are_masked(
    at: Server, url: str, monkeypatch: pytest.MonkeyPatch, is_schema_change: bool
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=2s")
    with psycopg.connect(url) as holder:
        holder.execute("CREATE TABLE logins (handle text, password text)")
        holder.commit()
        with connection.opened(at) as first:
            if is_schema_change:
                locks.take(first)
                first.execute("INSERT INTO logins VALUES ('liz', 'hidden')")
            else:
                holder.execute("LOCK TABLE logins; INSERT INTO logins VALUES ('liz', 'hidden')")
            with pytest.raises(Refused) as caught, connection.opened(at) as conn, locks.report_holder(conn, at):
                if is_schema_change:
                    locks.take(conn, wait_s=1)
                else:
                    conn.execute("SELECT * FROM logins")
    details = caught.value.details or ""
    assert "INSERT INTO logins VALUES ***" in details
    assert "hidden" not in details


def test_the_session_that_holds_the_lock_is_named(at: Server, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=2s")
    with psycopg.connect(url) as holder:
        holder.execute("CREATE TABLE t (i int)")
        holder.commit()
        holder.execute("LOCK TABLE t")
        with pytest.raises(Refused) as caught, connection.opened(at) as conn, locks.report_holder(conn, at):
            conn.execute("SELECT * FROM t")
        assert caught.value.fields["blocking_pids"] == [holder.info.backend_pid]
