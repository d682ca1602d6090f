"""The last lines of an engine's log, including those of its previous run."""

from __future__ import annotations

from pathlib import Path

import pytest

from cruddur_cli.errors import NotConfigured
from cruddur_cli.local import logs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CRUDDUR_HOME", str(tmp_path / "stack"))
    made = tmp_path / "stack" / "aws"
    made.mkdir(parents=True)
    return made


def test_the_last_lines_come_from_both_runs_in_order(folder: Path) -> None:
    (folder / "log.previous").write_text("one\ntwo\n")
    (folder / "log").write_bytes(b"three\nfo\xffur\n")
    assert [each.line for each in logs.last("aws", 3)] == ["two", "three", "fo�ur"]
    assert {each.engine for each in logs.last("aws", 3)} == {"aws"}


def test_an_engine_that_never_ran_has_no_lines(folder: Path) -> None:
    assert list(logs.last("aws", 3)) == []


def test_only_whole_lines_at_the_end_of_a_long_log_are_read(folder: Path) -> None:
    (folder / "log").write_text("".join(f"{number:09d}\n" for number in range(200_000)))
    lines = [each.line for each in logs.last("aws", 1_000_000)]
    assert len(lines) < 200_000
    assert lines[-1] == "000199999"
    assert {len(line) for line in lines} == {9}


def test_a_log_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "log").mkdir()
    with pytest.raises(NotConfigured):
        list(logs.last("aws", 3))
