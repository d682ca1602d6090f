"""Concurrent writers of the log share a sync, and a failed sync is an error for all of them."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli.local import frames
from cruddur_cli.local.frames import Mark
from cruddur_cli.local.journal import Log

pytestmark = pytest.mark.usefixtures("soon")
FIRST = b"first"


def run(test: Callable[[Path, Mark], Coroutine[Any, Any, None]], folder: Path) -> None:
    frames.create(folder / "log", FIRST)
    asyncio.run(test(folder / "log", Mark(folder / "mark")))


def read(path: Path) -> list[bytes]:
    payloads, end = frames.frames(path.read_bytes())
    assert end == path.stat().st_size
    return payloads


def test_concurrent_writers_share_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []
    monkeypatch.setattr(frames, "sync", syncs.append)

    async def test(path: Path, mark: Mark) -> None:
        log = Log(path, 1, path.stat().st_size, mark)
        await asyncio.gather(*(log.durable(log.append(b"%d" % number)) for number in range(50)))
        assert read(path) == [FIRST, *(b"%d" % number for number in range(50))]
        assert 1 <= len(syncs) <= 2
        assert mark.read() == (1, path.stat().st_size)

    run(test, tmp_path)


def test_a_failed_sync_is_an_error_for_all_waiting_writers_and_is_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(errno.EIO, "the disk is broken")

    async def test(path: Path, mark: Mark) -> None:
        log = Log(path, 1, path.stat().st_size, mark)
        await log.durable(log.append(b"a"))
        mark_before = mark.read()
        with monkeypatch.context() as patch:
            patch.setattr(frames, "sync", fails)
            waits = [log.durable(log.append(payload)) for payload in (b"b", b"c")]
            assert all(isinstance(result, OSError) for result in await asyncio.gather(*waits, return_exceptions=True))
            assert log.error and mark.read() == mark_before
        # The disk's cache may have dropped what it could not write.
        path.write_bytes(path.read_bytes()[: mark_before[1]] if mark_before else b"")
        await log.durable(log.append(b"d"))
        assert log.error is None
        assert read(path) == [FIRST, b"a", b"b", b"c", b"d"]

    run(test, tmp_path)


def test_what_is_appended_is_written_before_it_is_synced(tmp_path: Path) -> None:
    """So that it outlives the process."""

    async def test(path: Path, mark: Mark) -> None:
        log = Log(path, 1, path.stat().st_size, mark)
        for number in range(3):
            log.append(b"%d" % number)
        assert read(path) == [FIRST, b"0", b"1", b"2"]
        assert mark.read() is None

    run(test, tmp_path)


@pytest.mark.parametrize("alone", [False, True])
def test_a_log_begins_only_when_the_one_before_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    async def test(path: Path, mark: Mark) -> None:
        before = Log(path, 1, path.stat().st_size, mark)
        second = path.with_name("second")
        size = frames.create(second, FIRST)
        synced: list[int] = []
        monkeypatch.setattr(frames, "sync", lambda descriptor: synced.append(second.stat().st_size))
        before.append(b"a")
        after = Log(second, 2, size, mark, after=before)
        await after.durable(after.append(b"b"), alone=alone)
        assert synced == [size, second.stat().st_size]
        assert (read(path), read(second)) == ([FIRST, b"a"], [FIRST, b"b"])
        assert mark.read() == (2, second.stat().st_size)

    run(test, tmp_path)


def test_a_damaged_mark_is_ignored(tmp_path: Path) -> None:
    mark = Mark(tmp_path / "mark")
    assert mark.read() is None
    mark.write(12, 345678)
    assert mark.read() == (12, 345678)
    content = (tmp_path / "mark").read_bytes()
    (tmp_path / "mark").write_bytes(content.replace(b"345678", b"945678"))
    assert mark.read() is None
