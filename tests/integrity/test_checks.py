"""The checks as pure functions: what no engine of the tests can be broken into, and what each declares."""

from __future__ import annotations

from pathlib import Path

from cruddur_cli.integrity.checks import CHECKS


def test_each_check_has_a_name_of_its_own_and_a_title() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all(check.title for check in CHECKS)


def test_each_check_is_named_by_a_test() -> None:
    folder = Path(__file__).parents[1]
    files = [file for name in ("commands", "integrity") for file in (folder / name).rglob("test_*.py")]
    tests = "".join(file.read_text(encoding="utf-8") for file in files)
    assert [check.name for check in CHECKS if f'"{check.name}"' not in tests] == []
