"""The files of a new Cruddur, and files that a user names."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from cruddur_cli.commands.shared import seed_files
from cruddur_cli.errors import BadInput


def test_every_file_of_the_checkout_can_be_read() -> None:
    folder = Path(__file__).parents[3] / "seeds"
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    assert {"schema.sql", "users.sql", "conversation.txt"} <= set(names)
    assert all(seed_files.read(name) for name in names)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"seeds/none\.sql"):
        seed_files.read("none.sql")


def test_a_file_that_a_person_names_comes_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xffx")
    assert seed_files.given(str(tmp_path / "a")) == (b"\xffx", str(tmp_path / "a"))
    with pytest.raises(BadInput, match="No such file"):
        seed_files.given(str(tmp_path / "b"))


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Person 1: hi")))
    assert seed_files.given("-") == (b"Person 1: hi", "standard input")
    monkeypatch.setattr(sys, "stdin", None)
    assert seed_files.given("-") == (b"", "standard input")
