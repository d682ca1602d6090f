"""A lock time-out is an error that names the session with the lock."""

from __future__ import annotations

import psycopg
import pytest

from cruddur_cli.errors import Refused
from cruddur_cli.postgres import connection, locks
from cruddur_cli.postgres.connection import Server


def test_the_session_that_holds_the_lock_is_named(at: Server, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=2s")
    with psycopg.connect(url) as holder:
        holder.execute("CREATE TABLE t (i int)")
        holder.commit()
        holder.execute("LOCK TABLE t")
        with pytest.raises(Refused) as caught, connection.opened(at) as conn, locks.report_holder(conn, at):
            conn.execute("SELECT * FROM t")
        assert caught.value.fields["blocking_pids"] == [holder.info.backend_pid]
