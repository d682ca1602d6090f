"""The frames of a log: what is whole is read, what is not is noticed."""

from __future__ import annotations

import random
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


def test_a_log_cut_below_what_was_acknowledged_is_said(folder: Path) -> None:
    ends = append(folder, 1, [write(number) for number in range(WRITES)])
    path = generation_folder(folder, 1) / "log"
    whole = path.read_bytes()
    for size in range(ends[-3], ends[-1]):
        path.write_bytes(whole[:size])
        frames.Mark(folder / generations.MARK).write(1, ends[-1])
        loaded = load(folder)
        kept = max(end for end in ends if end <= size)
        assert count(loaded.contents) == ends.index(kept)
        assert f"its last {ends[-1] - kept} bytes are missing" in loaded.notes[0]
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
