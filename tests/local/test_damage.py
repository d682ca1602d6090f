"""Data survives full disks, deleted files and hanging commands, and each is reported."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from cruddur_cli.errors import CannotConnect, Incomplete, NotConfigured
from cruddur_cli.local import aws, stack
from cruddur_cli.local import home as homes
from tests.local.engines import engine, kill, pid

from .engines import client, keys, make_table, put


def log_file(home: Path) -> Path:
    return home / "aws" / "generation-1" / "log"


def test_a_write_is_in_the_log_when_it_is_acknowledged(home: Path) -> None:
    stack.up(postgres=False)
    make_table(client("dynamodb"), "a")
    assert b'"a"' in log_file(home).read_bytes()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux takes another process the right to write")
def test_a_full_disk_refuses_writes_until_it_has_space(home: Path) -> None:
    stack.up(postgres=False)
    make_table(client("dynamodb"), "a")
    _, unlimited = resource.prlimit(pid("aws"), resource.RLIMIT_FSIZE)
    # Its log cannot be written to either.
    resource.prlimit(pid("aws"), resource.RLIMIT_FSIZE, (0, unlimited))
    for key in ("b", "c"):
        with pytest.raises(ClientError, match="not saved: File too large"):
            put(client("dynamodb"), key)
    with pytest.raises(ClientError, match="not saved"):
        client("ec2").create_security_group(GroupName="d", Description="d")
    assert "writes are refused: File too large" in str(engine("aws").note)
    for _ in range(2):
        with pytest.raises(Incomplete, match="left running, because its data cannot be saved"):
            stack.down()
    resource.prlimit(pid("aws"), resource.RLIMIT_FSIZE, (unlimited, unlimited))
    put(client("dynamodb"), "e")
    assert engine("aws").note is None
    # The first was refused once it was there, the second before.
    assert keys(client("dynamodb")) == ["a", "b", "e"]
    kill("aws")
    stack.up(postgres=False)
    assert keys(client("dynamodb")) == ["a", "b", "e"]


def test_files_that_cannot_be_created_are_an_error(home: Path) -> None:
    homes.prepare()
    (home / "aws" / "generation-1").touch()
    with pytest.raises(CannotConnect, match="does not start") as caught:
        stack.up(postgres=False)
    assert caught.value.details == f"cruddur: {home / 'aws'} cannot be used: [Errno 17] File exists: " + repr(
        str(home / "aws" / "generation-1")
    )


def test_writes_are_refused_once_the_files_were_deleted(home: Path) -> None:
    stack.up(postgres=False)
    make_table(client("dynamodb"), "a")
    shutil.rmtree(home / "aws" / "generation-1")
    with pytest.raises(ClientError, match="its files were deleted"):
        put(client("dynamodb"), "b")


def test_a_save_without_an_answer_is_an_error(home: Path) -> None:
    stack.up(postgres=False)
    make_table(client("dynamodb"), "a")
    os.kill(pid("aws"), signal.SIGSTOP)
    with pytest.raises(Incomplete, match="left running"):
        aws.save(home, wait_s=0.2)
    stack.down()
    stack.up(postgres=False)
    assert keys(client("dynamodb")) == ["a"], "down wakes what is paused, and saves"


def test_a_hanging_command_is_waited_for_and_named(home: Path, sentences: list[str]) -> None:
    with homes.locked(homes.prepare()), pytest.raises(CannotConnect, match="Another command"):
        stack.up(postgres=False, wait_s=4, say=sentences.append)
    assert len(sentences) == 1 and "another command" in sentences[0]


def test_a_missing_password_is_an_error(home: Path) -> None:
    stack.up(aws=False)
    stack.down()
    (home / "postgres" / "password").unlink()
    with pytest.raises(NotConfigured, match="password"):
        stack.up(aws=False)
