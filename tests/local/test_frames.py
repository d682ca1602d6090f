"""Whole frames of a log are read, and broken ones are noticed."""

from __future__ import annotations

import os
import random
import struct
import zlib
from pathlib import Path

import pytest

from cruddur_cli.local import frames, generations
from cruddur_cli.local.generations import Damaged, generation_folder, load
from tests.local.logged import WRITES, append, count, write


def test_a_log_cut_at_any_byte_gives_the_whole_writes_before_it(folder: Path) -> None:
    ends = append(folder, 1, [write(number) for number in range(WRITES)], acknowledged=False)
    path = generation_folder(folder, 1) / "log"
    whole = path.read_bytes()
    for size in range(ends[2], ends[-1] + 1):
        path.write_bytes(whole[:size])
        loaded = load(folder)
        assert count(loaded.contents) == sum(end <= size for end in ends[1:])
        assert loaded.notes == [], "what was never acknowledged is cut without a word"
        assert loaded.size == path.stat().st_size == max(end for end in ends if end <= size)


def test_garbage_after_a_power_cut_is_cut_off(folder: Path) -> None:
    append(folder, 1, [write(0)])
    path = generation_folder(folder, 1) / "log"
    whole = path.read_bytes()
    for garbage in (b"\0" * 4096, random.Random(5).randbytes(300), b"\1\0\0\0"):
        path.write_bytes(whole + garbage)
        loaded = load(folder)
        assert (count(loaded.contents), loaded.notes, path.read_bytes()) == (1, [], whole)


def test_a_log_that_lacks_acknowledged_writes_is_reported(folder: Path) -> None:
    ends = append(folder, 1, [write(number) for number in range(WRITES)])
    path = generation_folder(folder, 1) / "log"
    whole = path.read_bytes()
    for size in range(ends[-3], ends[-1]):
        path.write_bytes(whole[:size])
        frames.Mark(folder / generations.MARK).write(1, ends[-1])
        loaded = load(folder)
        whole_end = max(end for end in ends if end <= size)
        assert count(loaded.contents) == ends.index(whole_end)
        assert f"its last {ends[-1] - whole_end} bytes are missing" in loaded.notes[0]
        assert "`cruddur setup`" in loaded.notes[0]


@pytest.mark.parametrize("name", ["log", "snapshot"])
def test_no_flipped_bit_goes_unnoticed(folder: Path, name: str) -> None:
    append(folder, 1, [write(number) for number in range(WRITES)])
    path = generation_folder(folder, 1) / name
    whole = path.read_bytes()
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        with pytest.raises(Damaged, match=str(path)):
            load(folder)
        assert path.read_bytes() == flipped, "what is damaged is not touched"
    path.write_bytes(whole)
    assert count(load(folder).contents) == WRITES


def test_a_frame_is_a_length_a_checksum_of_both_and_the_payload() -> None:
    """Files of earlier versions are read by it."""
    assert frames.frame(b"x") == struct.pack("<II", 1, zlib.crc32(b"\x01\0\0\0x")) + b"x"


def test_a_broken_frame_is_told_by_where_it_ends() -> None:
    one, two = frames.frame(b"one"), frames.frame(b"two")
    broken = one[:-1] + b"!"
    assert not frames.overruns(one, 0)
    assert not frames.overruns(frames.HEAD.pack(0, 0), 0)
    assert frames.overruns(one[:-1], 0)
    assert frames.overruns(one[:7], 0)
    assert frames.overruns(one, len(one))
    assert frames.continues(broken + two, 0)
    assert frames.continues(two + broken + two, len(two))
    for content in (broken, one[:-1], one[:7], b"", broken + b"garbage after it", broken + two[:-1]):
        assert not frames.continues(content, 0)


def test_frames_before_a_broken_one_are_read() -> None:
    one, two = frames.frame(b"one"), frames.frame(b"two")
    for after in (b"", b"1234567", b"12345678", frames.HEAD.pack(0, 0), two[:-1]):
        assert frames.frames(one + after) == ([b"one"], len(one))
    assert frames.frames(one + two) == ([b"one", b"two"], len(one + two))
    assert frames.frames(frames.frame(b"")) == ([], 0)


def test_a_log_and_its_mark_are_the_owner_s_alone_and_the_mark_has_one_length(tmp_path: Path) -> None:
    log, marked = tmp_path / "log", tmp_path / "mark"
    assert frames.create(log, b"x") == log.stat().st_size
    mark = frames.Mark(marked)
    for number in (1, 10**12):
        mark.write(number, number)
        assert mark.read() == (number, number)
        content = marked.read_bytes()
        assert (len(content), content[-1:]) == (64, b"\n")
    mark.close()
    assert [path.stat().st_mode & 0o777 for path in (log, marked)] == [0o600, 0o600]


def test_a_write_that_the_system_splits_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, content, offset: real(descriptor, content[:3], offset))
    with (tmp_path / "file").open("wb") as file:
        frames.write_all(file.fileno(), b"0123456789", 2)
    assert (tmp_path / "file").read_bytes() == b"\0\0" + b"0123456789"
