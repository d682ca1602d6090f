"""Engines that hang, that keep running, or whose record is damaged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from cruddur_cli.errors import CannotConnect, Incomplete
from cruddur_cli.local import cluster, stack
from cruddur_cli.local.engine import StartDeadline, first_answer
from tests.local.engines import client, engine, keys, kill, make_table, pid


def test_an_engine_that_does_not_answer_is_not_ended(home: Path) -> None:
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
def test_a_running_engine_with_a_damaged_record_is_found(home: Path, file: str, damage: str) -> None:
    before = stack.up()
    make_table(client("dynamodb"), "a")
    for name in ("postgres", "aws"):
        (home / name / file).write_text(damage)
    (cluster.data_directory(home) / "postmaster.pid").write_text(damage)
    assert stack.up() == before
    assert keys(client("dynamodb")) == ["a"]
    assert {engine.state for engine in stack.down()} == {"stopped"}
    sentences: list[str] = []
    assert stack.up(postgres=False, say=sentences.append).aws_endpoint == before.aws_endpoint
    assert len(sentences) == 1, "nothing to say about a clean stop"
    assert keys(client("dynamodb")) == ["a"]


def test_a_killed_engine_with_a_damaged_record_recovers(home: Path, sentences: list[str]) -> None:
    stack.up(postgres=False)
    (home / "aws" / "running.json").write_text("{")
    kill("aws")
    stack.up(postgres=False, say=sentences.append)
    assert "not stopped cleanly" in sentences[0] and "it was killed" in sentences[0]


def test_a_reset_works_with_a_damaged_record(home: Path) -> None:
    stack.up()
    for name in ("postgres", "aws"):
        (home / name / "running.json").write_text("{")
    stack.reset()
    assert {engine.state for engine in stack.status()} == {"stopped"}


@pytest.mark.parametrize("name", ["postgres", "aws"])
def test_a_hanging_engine_is_waited_for_and_reported(home: Path, sentences: list[str], name: str) -> None:
    up = partial(stack.up, postgres=name == "postgres", aws=name == "aws")
    before = up()
    os.kill(pid(name), signal.SIGSTOP)
    with pytest.raises(CannotConnect, match="does not answer"):
        up(wait_s=4, say=sentences.append)
    assert len(sentences) == 1 and "does not answer; waiting up to" in sentences[0]
    os.kill(engine(name).pid or 0, signal.SIGCONT)
    assert up() == before


def test_an_engine_that_answers_late_is_waited_for(home: Path) -> None:
    before = stack.up(postgres=False)
    process = pid("aws")
    os.kill(process, signal.SIGSTOP)
    # The first sentence is the sign to let it go on.
    assert stack.up(postgres=False, say=lambda sentence: os.kill(process, signal.SIGCONT)) == before


def test_an_engine_that_was_started_answers_ends_or_is_given_up(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("still reading\n")
    time_limits: list[float] = []

    def ask(left_s: float) -> int | None:
        time_limits.append(left_s)
        return 5432 if len(time_limits) > 2 else None

    def wait(process: subprocess.Popen[bytes], ask: Callable[[float], int | None], wait_s: float) -> int | None:
        deadline = StartDeadline(wait_s, lambda _: None)
        return first_answer(process, "PostgreSQL", ask, deadline, log=log)

    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as process:
        assert wait(process, ask, 60) == 5432
        with pytest.raises(CannotConnect, match="embedded PostgreSQL does not answer yet") as caught:
            wait(process, lambda _: None, 0.1)
        assert caught.value.details == "still reading"
    assert wait(process, lambda _: None, 60) is None
