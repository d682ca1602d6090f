"""The stack starts and stops, also for two commands at once, in odd paths and with wrong settings."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cruddur_cli.errors import NotConfigured
from cruddur_cli.local import binaries, cluster, stack
from cruddur_cli.local import home as homes
from tests.local.engines import UP, pids

from .engines import REPOSITORY, client, finish, keys, make_table, start_python


def states() -> dict[str, str]:
    return {engine.name: engine.state for engine in stack.status()}


def test_up_returns_the_addresses_of_both_engines(home: Path, sentences: list[str]) -> None:
    started = stack.up(say=sentences.append)
    assert [sentence.split()[:2] for sentence in sentences] == [["started", "PostgreSQL"], ["started", "AWS"]]
    assert (started.postgres_url, started.aws_endpoint) == (stack.postgres_url(), stack.aws_endpoint())
    assert started.postgres_url and started.postgres_url.rsplit("@")[0] not in repr(started)
    assert homes.read(home / "ports.json").keys() == {"postgres", "aws"}
    # For root, PostgreSQL's account may pass through.
    closed = 0o710 if os.geteuid() == 0 else 0o700
    assert (home.stat().st_mode & 0o777, (home / "postgres" / "password").stat().st_mode & 0o777) == (closed, 0o600)


def test_a_second_up_does_not_change_running_engines(home: Path, sentences: list[str]) -> None:
    first, before = stack.up(), pids()
    assert stack.up(say=sentences.append) == first
    assert (pids(), sentences) == (before, [])


def test_two_commands_that_start_at_once_start_one_stack(home: Path) -> None:
    both = [start_python(UP), start_python(UP)]
    first, second = [finish(process) for process in both]
    assert first == second == f"{stack.postgres_url()} {stack.aws_endpoint()}\n"


def test_two_commands_for_one_engine_each_start_one_stack(home: Path) -> None:
    code = "from cruddur_cli.local import stack; stack.up({}=False)"
    for process in [start_python(code.format("aws")), start_python(code.format("postgres"))]:
        finish(process)
    assert states() == {"postgres": "running", "aws": "running"}


def test_an_engine_that_never_started_is_stopped(home: Path) -> None:
    assert states() == {"postgres": "stopped", "aws": "stopped"}
    assert (stack.postgres_url(), stack.aws_endpoint()) == (None, None)
    assert {engine.state for engine in stack.down()} == {"stopped"}
    assert not home.exists()


def test_down_and_up_keep_everything(home: Path, sentences: list[str]) -> None:
    url = stack.up().postgres_url
    assert url
    make_table(client("dynamodb"), "a", "b")
    pool = client("cognito-idp").create_user_pool(PoolName="cruddur")["UserPool"]["Id"]
    with psycopg.connect(url, dbname="postgres") as conn:
        conn.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert {engine.state for engine in stack.down()} == {"stopped"}
    assert stack.up(say=sentences.append).postgres_url == url, "the ports are kept"
    assert len(sentences) == 2, "nothing to say about a clean stop"
    assert keys(client("dynamodb")) == ["a", "b"]
    assert [p["Id"] for p in client("cognito-idp").list_user_pools(MaxResults=5)["UserPools"]] == [pool]
    with psycopg.connect(url, dbname="postgres") as conn:
        assert conn.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_reset_deletes_everything(home: Path) -> None:
    stack.up()
    data = cluster.data_directory(home)
    stack.reset()
    assert states() == {"postgres": "stopped", "aws": "stopped"}
    assert not data.exists() and not (home / "postgres").exists() and not (home / "aws").exists()


def test_a_taken_port_is_replaced(home: Path) -> None:
    before = stack.up().aws_endpoint
    stack.down()
    ports = homes.read(home / "ports.json")
    taken = [socket.create_server(("127.0.0.1", int(str(port)))) for port in ports.values()]
    try:
        after = stack.up().aws_endpoint
        assert after and after != before
        assert not set(homes.read(home / "ports.json").values()) & set(ports.values())
    finally:
        for listener in taken:
            listener.close()


def test_the_output_of_up_ends_while_the_engines_run(home: Path) -> None:
    # communicate() returns only once every process has closed the pipe.
    assert stack.aws_endpoint() is None
    assert "http://127.0.0.1" in finish(start_python(UP))
    assert states() == {"postgres": "running", "aws": "running"}


@pytest.mark.parametrize("reachable", [True, False])
def test_the_stack_runs_in_an_unusual_and_long_path(
    home: Path, monkeypatch: pytest.MonkeyPatch, sentences: list[str], reachable: bool
) -> None:
    if not reachable:
        # As in a virtual environment that PostgreSQL's account cannot enter, when root starts it.
        monkeypatch.setattr(binaries, "_runs", lambda *_: False)
    odd = home.parent / "with space ünïcödé $HOME 'x'" / ("long" * 40)
    monkeypatch.setenv("CRUDDUR_HOME", str(odd))
    try:
        stack.up(say=sentences.append)
        assert states() == {"postgres": "running", "aws": "running"}
    finally:
        stack.reset()


def test_a_hostile_environment_does_not_matter(home: Path) -> None:
    hostile = {"PGHOST": "db.invalid", "PGHOSTADDR": "192.0.2.1", "PGSERVICE": "nowhere", "PGOPTIONS": "-c nonsense=1"}
    hostile |= {"PGDATA": "/nonexistent", "PGPORT": "1", "PGSSLMODE": "verify-full", "PGCLIENTENCODING": "LATIN1"}
    hostile |= {"AWS_PROFILE": "nowhere", "AWS_ENDPOINT_URL": "http://192.0.2.1", "SERVICES": "s3", "AUTH": "true"}
    hostile |= {"GATEWAY_PORT": "1", "USE_SSL": "1", "LANG": "C", "LC_ALL": "nowhere"}
    finish(start_python(UP, env=hostile))
    make_table(client("dynamodb"), "a")
    assert keys(client("dynamodb")) == ["a"]


@pytest.mark.parametrize("inside", ["", "below"])
def test_a_home_that_is_no_directory_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CRUDDUR_HOME", str(tmp_path / "file" / inside))
    with pytest.raises(NotConfigured) as caught:
        stack.up()
    assert str(tmp_path / "file") in caught.value.message
    assert caught.value.hint and "CRUDDUR_HOME" in caught.value.hint


def test_a_home_that_cannot_be_created_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody makes directories in sysfs, not even root.
    monkeypatch.setenv("CRUDDUR_HOME", "/sys/cruddur")
    with pytest.raises(NotConfigured, match="/sys/cruddur"):
        stack.up()


def test_importing_the_stack_loads_no_slow_module() -> None:
    code = "import cruddur_cli.local.stack, sys; print(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(REPOSITORY)}
    )
    heavy = {"psycopg", "botocore", "boto3", "ministack", "hypercorn", "rich", "asyncio", "http.client", "ssl"}
    assert not heavy & set(answer.stdout.split())


def test_a_start_that_waited_for_a_reset_creates_its_folders(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = homes.locked

    @contextmanager
    def after_a_reset(folder: Path, **more: Any) -> Iterator[None]:
        with locked(folder, **more):
            for name in homes.ENGINES:
                shutil.rmtree(folder / name)
            yield

    with monkeypatch.context() as patch:
        patch.setattr(homes, "locked", after_a_reset)
        assert stack.up(aws=False).postgres_url
