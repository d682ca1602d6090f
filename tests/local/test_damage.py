"""What survives kill -9, stale files and damaged state, and what the person is told."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cruddur_cli.errors import CannotConnect, Incomplete, NotConfigured
from cruddur_cli.local import aws, postgres, stack
from cruddur_cli.local import home as homes

from .engines import client, keys, make_table, put


def kill(name: str) -> None:
    engine = next(engine for engine in stack.status() if engine.name == name)
    assert engine.pid
    os.kill(engine.pid, signal.SIGKILL)
    until(lambda: next(e.state for e in stack.status() if e.name == name) == "failed")


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def state_file(home: Path) -> Path:
    return home / "aws" / "state" / "dynamodb.json"


def test_a_write_is_on_the_disk_soon_without_a_stop(home: Path) -> None:
    stack.up(postgres=False)
    make_table(client("dynamodb"), "a")
    until(lambda: state_file(home).exists() and '"a"' in state_file(home).read_text())


def test_the_emulator_killed(home: Path, said: list[str]) -> None:
    stack.up(postgres=False)
    make_table(client("dynamodb"), "saved")
    aws.save(home)
    put(client("dynamodb"), "lost")
    kill("aws")
    assert stack.aws_endpoint() is None
    stack.up(postgres=False, say=said.append)
    assert "not stopped cleanly" in said[0] and "it was killed" in said[0] and "`cruddur setup`" in said[0]
    assert keys(client("dynamodb")) == ["saved"]
    stack.down()
    said.clear()
    stack.up(postgres=False, say=said.append)
    assert len(said) == 1, "it is said once"


def test_the_emulator_stopped_by_the_machine(home: Path, said: list[str]) -> None:
    stack.up(postgres=False)
    make_table(client("dynamodb"), "a")
    pid = next(engine.pid for engine in stack.status() if engine.name == "aws")
    assert pid
    os.kill(pid, signal.SIGTERM)
    until(lambda: not homes.is_held(home / "aws" / "alive"))
    stack.up(postgres=False, say=said.append)
    assert len(said) == 1
    assert keys(client("dynamodb")) == ["a"]


def test_postgresql_killed(home: Path, said: list[str]) -> None:
    url = stack.up(aws=False).postgres_url
    assert url
    with psycopg.connect(url, dbname="postgres") as conn:
        conn.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    kill("postgres")
    assert stack.postgres_url() is None
    assert stack.up(aws=False, say=said.append).postgres_url == url
    assert "not stopped cleanly" in said[0]
    with psycopg.connect(url, dbname="postgres") as conn:
        assert conn.execute("SELECT answer FROM kept").fetchone() == (42,)


@pytest.mark.parametrize("content", ["", "4711", "{pid}\n/nowhere\n1\n1\n\n127.0.0.1\n0 0\nready\n", "1\n"])
def test_a_stale_pid_file(home: Path, content: str) -> None:
    # Cut short, or with the number of a process that lives and is no PostgreSQL.
    url = stack.up(aws=False).postgres_url
    stack.down()
    pid_file = postgres.data_directory(home) / "postmaster.pid"
    pid_file.write_text(content.format(pid=os.getpid()))
    (home / "postgres" / "running.json").write_text(json.dumps({"pid": os.getpid(), "port": 1}))
    assert stack.postgres_url() is None
    assert stack.up(aws=False).postgres_url == url


def test_a_stale_record_of_the_emulator(home: Path) -> None:
    stack.up(postgres=False)
    record = homes.read(home / "aws" / "running.json")
    stack.down()
    homes.write(home / "aws" / "running.json", record | {"pid": os.getpid()})
    assert stack.aws_endpoint() is None
    stack.down()
    assert stack.up(postgres=False).aws_endpoint


@pytest.mark.parametrize("damage", ["cut", "empty", "missing"])
def test_a_damaged_state_file_with_an_earlier_copy(home: Path, said: list[str], damage: str) -> None:
    stack.up(postgres=False)
    make_table(client("dynamodb"), "first")
    aws.save(home)
    put(client("dynamodb"), "second")
    stack.down()
    break_file(state_file(home), damage)
    stack.up(postgres=False, say=said.append)
    assert str(state_file(home)) in said[0] and "the copy saved at" in said[0]
    assert keys(client("dynamodb")) == ["first"]
    assert len(list((home / "aws").glob("damaged/dynamodb-*.json"))) == (damage != "missing")


@pytest.mark.parametrize("damage", ["cut", "empty", "missing"])
def test_a_damaged_state_file_without_an_earlier_copy(home: Path, damage: str) -> None:
    stack.up(postgres=False)
    make_table(client("dynamodb"), "only")
    stack.down()
    whole = state_file(home).read_bytes()
    break_file(state_file(home), damage)
    for _ in range(2):
        with pytest.raises(NotConfigured) as caught:
            stack.up(postgres=False)
        assert str(state_file(home)) in caught.value.message
        assert caught.value.hint and "`cruddur local reset`, then `cruddur setup`" in caught.value.hint
    state_file(home).write_bytes(whole)
    stack.up(postgres=False)
    assert keys(client("dynamodb")) == ["only"]


def break_file(path: Path, damage: str) -> None:
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")


def test_a_save_that_fails_keeps_the_emulator_running(home: Path) -> None:
    stack.up(postgres=False)
    make_table(client("dynamodb"), "a")
    state = home / "aws" / "state"
    until(state_file(home).exists)
    put(client("dynamodb"), "b")
    moved = state.rename(home / "aws" / "elsewhere")
    state.touch()
    with pytest.raises(Incomplete, match="left running"):
        stack.down()
    note = next(engine.note for engine in stack.status() if engine.name == "aws")
    assert note and "cannot be saved" in note
    assert keys(client("dynamodb")) == ["a", "b"]
    state.unlink()
    moved.rename(state)
    stack.down()
    stack.up(postgres=False)
    assert keys(client("dynamodb")) == ["a", "b"]


@pytest.mark.parametrize("name", ["postgres", "aws"])
def test_an_engine_that_does_not_answer(home: Path, name: str) -> None:
    stack.up(postgres=name == "postgres", aws=name == "aws")
    pid = next(engine.pid for engine in stack.status() if engine.name == name)
    assert pid
    if name == "postgres":
        (postgres.data_directory(home) / "postmaster.pid").write_text("")
        (home / "postgres" / "running.json").write_text(json.dumps({"pid": pid, "port": 1}))
    else:
        homes.write(home / "aws" / "running.json", {"pid": pid, "port": 1})
    with pytest.raises(CannotConnect, match="does not answer"):
        stack.up(postgres=name == "postgres", aws=name == "aws", wait_s=0.2)


def test_the_password_is_gone(home: Path) -> None:
    stack.up(aws=False)
    stack.down()
    (home / "postgres" / "password").unlink()
    with pytest.raises(NotConfigured, match="password"):
        stack.up(aws=False)
