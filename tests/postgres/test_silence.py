"""A server that stops answering is given up; one that runs a long statement is not."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cruddur_cli.errors import CannotConnect, Exit, Refused
from cruddur_cli.local import cluster, stack
from cruddur_cli.postgres import connection, silence
from cruddur_cli.postgres.connection import Server
from cruddur_cli.postgres.sql_files import runner

from ..conftest import Engines
from . import servers
from .relay import Relay, relayed

PRODUCT = (silence.SILENCE_S, silence.ASK_S, silence._RECHECK_S)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the time-outs to a few seconds."""
    monkeypatch.setattr(silence, "SILENCE_S", 0.4)
    monkeypatch.setattr(silence, "ASK_S", 2.0)
    monkeypatch.setattr(silence, "_RECHECK_S", 0.2)


@pytest.fixture
def line(url: str) -> Iterator[Relay]:
    with relayed(url) as found:
        yield found


def later(action: Callable[[], object]) -> None:
    threading.Timer(0.3, action).start()


def test_a_silent_server_is_given_up_within_thirty_seconds() -> None:
    silence_s, ask_s, doubt_s = PRODUCT
    assert silence_s + 4 * ask_s <= 28, "two logins and two answers that do not come"
    assert silence_s + doubt_s + 4 * ask_s <= 28, "the same after a doubt"


def test_psycopg_reports_while_it_waits_that_no_byte_has_come(at: Server) -> None:
    heard: list[int] = []

    def passed_on(gen: Any) -> Generator[Any, Any, Any]:
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                heard.append(int(ready))
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value

    class Listening(psycopg.Connection[Any]):
        def wait(self, gen: Any, *arguments: Any, **more: Any) -> Any:
            return super().wait(passed_on(gen), *arguments, **more)

    with Listening.connect(**at.parameters) as conn:
        conn.execute("SELECT pg_sleep(0.5)")
    assert heard.count(0) >= 2


def test_a_long_statement_continues_while_the_server_says_that_it_runs(at: Server) -> None:
    with connection.opened(at) as conn:
        assert conn.execute("SELECT 7 FROM pg_sleep(3)").fetchone() == (7,)


def test_a_connection_cut_during_a_statement_is_given_up(line: Relay) -> None:
    with pytest.raises(CannotConnect, match="stopped answering") as caught, connection.opened(server(line)) as conn:
        later(line.cut)
        conn.execute("SELECT pg_sleep(60)")
    assert caught.value.exit_code == Exit.UNREACHABLE


def test_a_connection_cut_after_the_login_is_given_up(line: Relay) -> None:
    with pytest.raises(CannotConnect, match="second connection"), connection.opened(server(line)) as conn:
        line.cut()
        conn.execute("SELECT 1")


def test_a_lost_answer_is_given_up(line: Relay) -> None:
    """The server has finished the statement and accepts another connection, but its answer is lost."""
    with pytest.raises(CannotConnect, match="no longer"), connection.opened(server(line)) as conn:
        line.cut(new=False)
        conn.execute("SELECT 1")


def test_a_server_that_stops_reading_rows_is_given_up(line: Relay) -> None:
    rows = "1\n" * 3_000_000
    text = f"CREATE TABLE t (i int);\nCOPY t FROM stdin;\n{rows}\\.\n"
    at = server(line)
    with pytest.raises(CannotConnect), connection.opened(at) as conn:
        later(line.cut)
        runner.run(conn, text, source="rows.sql", server=at)
        conn.execute("SELECT pg_sleep(60)")


def test_a_commit_without_an_answer_is_given_up(line: Relay) -> None:
    with pytest.raises(CannotConnect, match="stopped answering"), connection.opened(server(line)):
        line.cut()


def test_a_statement_time_out_is_kept_by_the_server(at: Server, url: str) -> None:
    bounded = server_of(url, statement_timeout_s=0.3)
    with pytest.raises(Refused) as caught, connection.opened(bounded) as conn:
        runner.run(conn, "SELECT 1;\nSELECT pg_sleep(60);", source="slow.sql", server=bounded)
    assert (caught.value.code, caught.value.fields["line"]) == ("timed_out", 2)
    assert "--statement-timeout" in str(caught.value.hint)


def server(line: Relay) -> Server:
    return servers.server(line.url)


def server_of(url: str, *, statement_timeout_s: float) -> Server:
    return replace(servers.server(url), statement_timeout_s=statement_timeout_s)


@pytest.fixture
def private(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """The server has finished the statement and accepts a new connection, but its answer is lost."""
    home = Path(engines.home).parent / f"private-{uuid.uuid4().hex[:8]}"  # where PostgreSQL's own account comes in
    monkeypatch.setenv("CRUDDUR_HOME", str(home))
    url = stack.up(aws=False).postgres_url
    assert url is not None
    base = url.rpartition("/")[0] + "/postgres"
    data = cluster.data_directory(home)
    pid = int((data / "postmaster.pid").read_text().splitlines()[0])
    try:
        yield base, pid
    finally:
        for each in (pid, *children(pid)):
            with suppress(ProcessLookupError):  # a session that was given up ends in its own time
                os.kill(each, signal.SIGCONT)
        stack.reset()


def children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_server_stopped_during_a_statement_is_given_up(private: tuple[str, int]) -> None:
    url, pid = private
    at = servers.server(url)

    def freeze() -> None:
        for each in (pid, *children(pid)):
            os.kill(each, signal.SIGSTOP)

    with pytest.raises(CannotConnect, match="second connection got no answer"), connection.opened(at) as conn:
        later(freeze)
        conn.execute("SELECT count(*) FROM generate_series(1, 1000000000)")


def test_a_session_stopped_between_statements_is_given_up(private: tuple[str, int]) -> None:
    at = servers.server(private[0])
    with pytest.raises(CannotConnect, match="no longer works for this connection"), connection.opened(at) as conn:
        os.kill(conn.info.backend_pid, signal.SIGSTOP)
        conn.execute("SELECT 1")


def test_a_session_stopped_during_a_statement_is_given_up_after_its_time_out(
    private: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "_GRACE_S", 0.5)
    at = server_of(private[0], statement_timeout_s=2)
    with pytest.raises(CannotConnect, match="ignored a statement time-out"), connection.opened(at) as conn:
        conn.execute("COPY (SELECT 1) TO PROGRAM 'kill -STOP $PPID'")
