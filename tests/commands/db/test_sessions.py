"""``db connect``, ``sessions`` and ``kill-all``: notes, questions and sessions that end."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from cruddur_cli.errors import CannotConnect
from cruddur_cli.postgres import sessions
from tests.commands.conftest import Here
from tests.conftest import Run


def test_without_a_matching_session_a_note_says_so(here: Here) -> None:
    for command in (["sessions"], ["kill-all", "--yes"], ["kill-all", "-n"]):
        assert "No session of database" in here("db", *command, "--user", "somebody").err
        assert "No session is connected" in here("db", *command).err


def test_kill_all_asks_and_drop_counts_the_sessions(here: Here, database: str) -> None:
    with psycopg.connect(database):
        ended = here("db", "kill-all")
        assert ended.code == 6
        assert "1 session of database" in ended.err
        cancelled = here("db", "kill-all", "--cancel")
        assert cancelled.code == 6
        assert "will be cancelled" in cancelled.err
        assert "destroyed" not in cancelled.err
        assert "1 session ends" in here("db", "drop", "-n").err


def test_connect_connects_before_it_starts_psql(cruddur: Run, environment: dict[str, str], tmp_path: Path) -> None:
    parts = urlsplit(environment["CONNECTION_URL"])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        urls = {
            4: f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/cruddur",
            3: parts._replace(netloc=f"nobody:wrong-Pass1@127.0.0.1:{parts.port}").geturl(),
            5: parts._replace(path="/not_there").geturl(),
        }
        for code, url in urls.items():
            began = time.monotonic()
            ran = cruddur("db", "connect", "--", "-c", "SELECT 1", env={"CONNECTION_URL": url})
            assert (ran.code, ran.out) == (code, ""), ran.err
            assert "psql" not in ran.err
            assert time.monotonic() - began < 10  # promised are 5, without the process
    ran = cruddur("db", "connect", "--", "-XAtc", "SELECT 41 + 1")
    assert (ran.code, ran.out.strip()) == (0, "42"), ran.err


@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP"])
def test_a_signal_within_a_savepoint_is_one_line(environment: dict[str, str], database: str, number: str) -> None:

    from tests import waiting

    with psycopg.connect(database, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(hashtext('cruddur schema'))")
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "cruddur_cli", "db", "setup", "--quiet"]
        process = subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, cwd=os.environ["HOME"])
        blocked = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        waiting.until(lambda: holder.execute(blocked).fetchall())
        process.send_signal(getattr(signal, number))
        err = process.communicate(timeout=60)[1].decode()
    assert "ignored" not in err
    assert len(err.splitlines()) == 1, err


# In a process of its own: what has no end.


def watching(environment: dict[str, str], *options: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """``sessions --watch`` five times a second; it is ended after a minute."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cruddur_cli", "db", "sessions", "--watch", "--interval", "0.2", *options],
        env={"TERM": "xterm-256color", **environment},
        stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    guard = threading.Timer(60, process.kill)
    guard.daemon = True
    guard.start()
    return process


def interrupted(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.strip()) == (130, "interrupted")


def test_watch_prints_one_table_after_another_through_a_pipe(environment: dict[str, str], database: str) -> None:
    process = watching(environment)
    assert process.stdout is not None
    assert "  0 sessions of database " in process.stdout.readline()
    with psycopg.connect(database, application_name="the one that comes"):
        seen = ""
        while "the one that comes" not in seen:
            line = process.stdout.readline()
            assert line, "it ended"
            seen += line
        assert "  1 session of database " in seen
        assert "\x1b" not in seen
    interrupted(process)


def test_watch_prints_one_json_object_for_each_list(environment: dict[str, str], database: str) -> None:
    process = watching(environment, "-o", "json")
    assert process.stdout is not None
    bodies = [json.loads(process.stdout.readline()) for _ in range(2)]
    assert [(body["items"], body["count"]) for body in bodies] == [([], 0)] * 2
    assert bodies[0]["at"] < bodies[1]["at"]
    interrupted(process)


def test_watch_overwrites_its_own_lines_on_a_terminal(environment: dict[str, str], database: str) -> None:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 4, 100, 0, 0))
    with psycopg.connect(database), psycopg.connect(database), psycopg.connect(database):
        process = watching(environment, stdout=follower)
        os.close(follower)
        shown = ""
        while shown.count("3 sessions of") < 3:
            shown += os.read(leader, 65536).decode()
        interrupted(process)
    os.close(leader)
    first, *others = shown.split("\x1b[J")[1:]
    assert first.count("\n") == 3  # no more than fit, or moving up would not reach the first line
    assert others
    assert all("\x1b[3A\r" in text for text in shown.split("\x1b[J")[1:3])
    assert "\x1b[?" not in shown  # the cursor is not hidden, nor the screen changed


def test_watch_waits_for_a_server_that_does_not_answer(
    here: Here, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = sessions.find
    looks = 0

    def find(*arguments: Any, **options: Any) -> list[sessions.Session]:
        nonlocal looks
        looks += 1
        if looks in {2, 3}:
            raise CannotConnect("The server went away.")
        if looks == 5:
            raise KeyboardInterrupt
        return found(*arguments, **options)

    monkeypatch.setattr(sessions, "find", find)
    ran = here("db", "sessions", "--watch", "--interval", "0.1")
    assert (ran.code, ran.out.count("0 sessions of")) == (130, 2)
    assert ran.err.splitlines() == [
        "The server went away. Waiting for it; press Ctrl-C to stop.",
        "PostgreSQL answers again.",
        "interrupted",
    ]
    looks = 1
    assert here("db", "sessions", "--watch").code == 4


@pytest.mark.parametrize("options", ["--interval 1", "--watch --svg x.svg", "--watch --interval 0"])
def test_watch_with_contradictory_options_is_refused(here: Here, options: str) -> None:
    assert here("db", "sessions", *options.split()).code == 2
