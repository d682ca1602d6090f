"""Sessions are listed, found as blockers, and ended, on the embedded server and every PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from cruddur_cli.postgres import sessions
from tests import waiting


@pytest.fixture
def conn(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url, autocommit=True) as conn:
        yield conn


def test_other_sessions_are_listed_oldest_first(url: str, conn: psycopg.Connection) -> None:
    with (
        psycopg.connect(url, application_name="first") as first,
        psycopg.connect(url, application_name="second") as second,
    ):
        found = sessions.find(conn, conn.info.dbname)
        assert [each.pid for each in found] == [first.info.backend_pid, second.info.backend_pid]
        assert {each.user for each in found} == {conn.info.user}
        assert [each.pid for each in sessions.find(conn, conn.info.dbname, application="second")] == [
            second.info.backend_pid
        ]
        assert sessions.find(conn, conn.info.dbname, user="somebody") == []
        assert sessions.find(conn, "another_database") == []


def test_sessions_are_selected_by_how_long_they_are_idle(url: str, conn: psycopg.Connection) -> None:
    with psycopg.connect(url) as idle:
        idle.execute("SELECT 1")
        assert sessions.find(conn, conn.info.dbname, idle_s=3600) == []
        waiting.until(lambda: sessions.find(conn, conn.info.dbname, idle_s=0.2))
        (found,) = sessions.find(conn, conn.info.dbname, idle_s=0.2)
        assert (found.pid, found.state) == (idle.info.backend_pid, "idle in transaction")
        assert found.query_age_s is not None
        assert found.query_age_s >= 0.2


def test_a_session_whose_lock_blocks_writes_is_a_blocker(url: str, conn: psycopg.Connection) -> None:
    conn.execute("CREATE TABLE things (n int)")
    with psycopg.connect(url) as reader, psycopg.connect(url) as holder:
        reader.execute("SELECT * FROM things")  # its lock lets other sessions write
        assert sessions.blockers(conn) == []
        holder.execute("LOCK TABLE things IN SHARE MODE")
        (found,) = sessions.blockers(conn)
        assert (found.pid, found.mode, found.relation) == (holder.info.backend_pid, "ShareLock", "things")


def test_ending_terminates_cancels_or_reports_a_session_as_gone(url: str, conn: psycopg.Connection) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        (found,) = sessions.find(conn, conn.info.dbname)
        assert [each.result for each in sessions.end(conn, [found], cancel=True)] == ["cancelled"]
        assert other.execute("SELECT 1").fetchone() == (1,)
        assert [each.result for each in sessions.end(conn, [found])] == ["terminated"]
        with pytest.raises(psycopg.OperationalError):
            other.execute("SELECT 1")
    waiting.until(lambda: not sessions.find(conn, conn.info.dbname))
    assert sessions.end(conn, [found]) == [sessions.Ended(found.pid, found.user, "gone")]


def test_a_pid_is_signalled_only_in_the_database_of_its_session(url: str, conn: psycopg.Connection) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        (found,) = sessions.find(conn, conn.info.dbname)
        elsewhere = sessions.Session(**{**vars(found), "database": "another_database"})
        assert [each.result for each in sessions.end(conn, [elsewhere])] == ["gone"]
        assert other.execute("SELECT 1").fetchone() == (1,)


def test_a_session_that_may_not_be_ended_does_not_keep_the_others(url: str, conn: psycopg.Connection) -> None:
    role = f"weak_{conn.info.backend_pid}"
    conn.execute(f'CREATE ROLE "{role}"')
    try:
        with psycopg.connect(url) as strong, psycopg.connect(url, autocommit=True) as weak:
            (found,) = (each for each in sessions.find(conn, conn.info.dbname) if each.pid == strong.info.backend_pid)
            weak.execute(f'SET ROLE "{role}"')
            missing = sessions.Session(**{**vars(found), "pid": 2**30})
            results = [each.result for each in sessions.end(weak, [found, missing])]
            assert results == ["refused", "gone"]
            assert strong.execute("SELECT 1").fetchone() == (1,)
    finally:
        conn.execute(f'DROP ROLE "{role}"')
