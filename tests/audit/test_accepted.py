"""The file of accepted findings is found, read, or refused with a reason."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from cruddur_cli.audit import accepted
from cruddur_cli.audit.accepted import Acceptance
from cruddur_cli.errors import NotConfigured

CHECKS = ["table-tags", "table-backup"]
GOOD = '[[accepted]]\ncheck = "table-tags"\nreason = "one table"\nuntil = 2027-03-31\n'


def test_the_nearest_file_is_found_from_a_folder_below(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert accepted.find(below) is None
    (tmp_path / accepted.FILE_NAME).write_text(GOOD)
    assert accepted.find(below) == tmp_path / accepted.FILE_NAME


def test_an_entry_has_check_reason_and_end(tmp_path: Path) -> None:
    path = tmp_path / "accepted.toml"
    path.write_text(GOOD)
    assert accepted.read(path, CHECKS) == [Acceptance("table-tags", "one table", date(2027, 3, 31))]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (GOOD.replace("table-tags", "table-tag"), "entry 1 names the check 'table-tag', which does not exist"),
        (GOOD.replace('"one table"', '" "'), r"entry 1 \(table-tags\) gives no reason"),
        (GOOD.replace("2027-03-31", '"soon"'), "needs a date in until"),
        (GOOD.replace("2027-03-31", "2027-03-31T10:00:00Z"), "needs a date in until"),
        (GOOD.replace("until = 2027-03-31\n", ""), "entry 1 needs check, reason and until"),
        (GOOD + 'who = "me"\n', "needs check, reason and until, and nothing else"),
        ("[[accept]]\n", r"has to consist of \[\[accepted\]\] tables"),
        ("accepted = 1\n", r"has to consist of \[\[accepted\]\] tables"),
        ("accepted = [1]\n", "entry 1 needs"),
        ("accepted = [", "cannot be used"),
        ("#" * 70_000, "at most 65,536 are read"),
        ("[" * 50_000, "cannot be used"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "accepted.toml"
    path.write_text(text)
    with pytest.raises(NotConfigured, match=why):
        accepted.read(path, CHECKS)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "accepted.toml").write_bytes(b"\xff")
    with pytest.raises(NotConfigured, match="cannot be used: it is not UTF-8"):
        accepted.read(tmp_path / "accepted.toml", CHECKS)


def test_a_pipe_and_a_missing_file_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotConfigured, match="not a regular file"):
        accepted.read(tmp_path / "pipe", CHECKS)
    with pytest.raises(NotConfigured, match=r"missing cannot be read: No such file or directory\."):
        accepted.read(tmp_path / "missing", CHECKS)


def test_a_file_that_every_user_can_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "accepted.toml"
    path.write_text(GOOD)
    path.chmod(0o666)
    with pytest.raises(NotConfigured) as caught:
        accepted.read(path, CHECKS)
    assert caught.value.code == "not_trusted"
