"""What survives kill -9, stale files and damaged state, and what the person is told."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cruddur_cli.errors import CannotConnect, Incomplete, NotConfigured
from cruddur_cli.local import aws, cluster, stack
from cruddur_cli.local import home as homes

from .engines import client, keys, make_table, put


def engine(name: str) -> stack.Engine:
    return next(engine for engine in stack.status() if engine.name == name)


def pid(name: str) -> int:
    found = engine(name).pid
    assert found
    return found


def kill(name: str) -> None:
    os.kill(pid(name), signal.SIGKILL)
    until(lambda: engine(name).state == "failed")


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
    os.kill(pid("aws"), signal.SIGTERM)
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
    pid_file = cluster.data_directory(home) / "postmaster.pid"
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
    assert "cannot be saved" in str(engine("aws").note)
    assert keys(client("dynamodb")) == ["a", "b"]
    state.unlink()
    moved.rename(state)
    stack.down()
    stack.up(postgres=False)
    assert keys(client("dynamodb")) == ["a", "b"]


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux takes another process the right to write")
def test_a_disk_that_is_full_for_a_while(home: Path) -> None:
    stack.up(postgres=False)
    make_table(client("dynamodb"), "a")
    aws.save(home)
    _, unlimited = resource.prlimit(pid("aws"), resource.RLIMIT_FSIZE)
    # Its log cannot be written to either.
    resource.prlimit(pid("aws"), resource.RLIMIT_FSIZE, (0, unlimited))
    put(client("dynamodb"), "b")
    until(lambda: "cannot be saved" in str(engine("aws").note))
    for _ in range(2):
        with pytest.raises(Incomplete, match="left running, because its data cannot be saved"):
            stack.down()
    assert keys(client("dynamodb")) == ["a", "b"]
    assert [path.name for path in (home / "aws" / "previous").glob(".*")] == []
    resource.prlimit(pid("aws"), resource.RLIMIT_FSIZE, (unlimited, unlimited))
    put(client("dynamodb"), "c")
    until(lambda: '"c"' in state_file(home).read_text())
    until(lambda: engine("aws").note is None)
    stack.down()
    stack.up(postgres=False)
    assert keys(client("dynamodb")) == ["a", "b", "c"]


def test_no_answer_is_not_saved(home: Path) -> None:
    stack.up(postgres=False)
    make_table(client("dynamodb"), "a")
    os.kill(pid("aws"), signal.SIGSTOP)
    with pytest.raises(Incomplete, match="left running"):
        aws.save(home, wait_s=0.2)
    stack.down()
    stack.up(postgres=False)
    assert keys(client("dynamodb")) == ["a"], "down wakes what is paused, and saves"


def test_what_does_not_answer_is_not_told_to_end(home: Path) -> None:
    stack.up(postgres=False)
    make_table(client("dynamodb"), "a")
    endpoint = stack.aws_endpoint()
    alive = (home / "aws" / "alive").read_bytes()
    (home / "aws" / "alive").write_text(json.dumps(json.loads(alive) | {"port": 1}))
    with pytest.raises(Incomplete, match="left running") as caught:
        stack.down(wait_s=0.2)
    assert caught.value.hint and f"`kill -9 {pid('aws')}`" in caught.value.hint
    (home / "aws" / "alive").write_bytes(alive)
    assert stack.aws_endpoint() == endpoint
    assert keys(client("dynamodb")) == ["a"]


@pytest.mark.parametrize("file", ["running.json", "alive"])
@pytest.mark.parametrize("damage", ["{", ""])
def test_a_damaged_record_of_an_engine_that_lives(home: Path, file: str, damage: str) -> None:
    before = stack.up()
    make_table(client("dynamodb"), "a")
    for name in ("postgres", "aws"):
        (home / name / file).write_text(damage)
    (cluster.data_directory(home) / "postmaster.pid").write_text(damage)
    assert stack.up() == before
    assert keys(client("dynamodb")) == ["a"]
    assert {engine.state for engine in stack.down()} == {"stopped"}
    said: list[str] = []
    assert stack.up(postgres=False, say=said.append).aws_endpoint == before.aws_endpoint
    assert len(said) == 1, "nothing to say about a clean stop"
    assert keys(client("dynamodb")) == ["a"]


def test_a_damaged_record_of_an_engine_that_was_killed(home: Path, said: list[str]) -> None:
    stack.up(postgres=False)
    (home / "aws" / "running.json").write_text("{")
    kill("aws")
    stack.up(postgres=False, say=said.append)
    assert "not stopped cleanly" in said[0] and "it was killed" in said[0]


def test_a_damaged_record_does_not_keep_from_a_reset(home: Path) -> None:
    stack.up()
    for name in ("postgres", "aws"):
        (home / name / "running.json").write_text("{")
    stack.reset()
    assert {engine.state for engine in stack.status()} == {"stopped"}


@pytest.mark.parametrize("name", ["postgres", "aws"])
def test_an_engine_that_hangs(home: Path, said: list[str], name: str) -> None:
    up = partial(stack.up, postgres=name == "postgres", aws=name == "aws")
    before = up()
    os.kill(pid(name), signal.SIGSTOP)
    with pytest.raises(CannotConnect, match="does not answer"):
        up(wait_s=4, say=said.append)
    assert len(said) == 1 and "does not answer; waiting up to" in said[0]
    os.kill(engine(name).pid or 0, signal.SIGCONT)
    assert up() == before


def test_an_engine_that_comes_round_while_it_is_waited_for(home: Path) -> None:
    before = stack.up(postgres=False)
    process = pid("aws")
    os.kill(process, signal.SIGSTOP)
    # The first sentence is the sign to let it go on.
    assert stack.up(postgres=False, say=lambda sentence: os.kill(process, signal.SIGCONT)) == before


def test_another_command_that_hangs(home: Path, said: list[str]) -> None:
    with homes.locked(homes.prepare()), pytest.raises(CannotConnect, match="Another command"):
        stack.up(postgres=False, wait_s=4, say=said.append)
    assert len(said) == 1 and "another command" in said[0]


def test_the_password_is_gone(home: Path) -> None:
    stack.up(aws=False)
    stack.down()
    (home / "postgres" / "password").unlink()
    with pytest.raises(NotConfigured, match="password"):
        stack.up(aws=False)
