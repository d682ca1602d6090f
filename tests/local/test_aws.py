"""The embedded AWS recovers after it was killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from cruddur_cli.local import home as homes
from cruddur_cli.local import stack
from tests.local.engines import client, engine, keys, kill, make_table, pid
from tests.waiting import until


def test_a_killed_emulator_recovers_without_a_loss(home: Path, sentences: list[str]) -> None:
    stack.up(postgres=False)
    make_table(client("dynamodb"), "a")
    kill("aws")
    assert stack.aws_endpoint() is None
    assert "`cruddur local up` recovers it" in str(engine("aws").note)
    stack.up(postgres=False, say=sentences.append)
    assert (
        "not stopped cleanly (it was killed)" in sentences[0] and "nothing that it acknowledged is lost" in sentences[0]
    )
    assert keys(client("dynamodb")) == ["a"]
    stack.down()
    sentences.clear()
    stack.up(postgres=False, say=sentences.append)
    assert len(sentences) == 1, "it is said once"


def test_a_stop_by_sigterm_is_a_clean_stop(home: Path, sentences: list[str]) -> None:
    stack.up(postgres=False)
    make_table(client("dynamodb"), "a")
    os.kill(pid("aws"), signal.SIGTERM)
    until(lambda: not homes.is_held(home / "aws" / "alive"))
    stack.up(postgres=False, say=sentences.append)
    assert len(sentences) == 1
    assert keys(client("dynamodb")) == ["a"]


def test_a_stale_record_of_the_emulator_is_ignored(home: Path) -> None:
    stack.up(postgres=False)
    record = homes.read(home / "aws" / "running.json")
    stack.down()
    homes.write(home / "aws" / "running.json", record | {"pid": os.getpid()})
    assert stack.aws_endpoint() is None
    stack.down()
    assert stack.up(postgres=False).aws_endpoint
