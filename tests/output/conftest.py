"""A terminal of a given width."""

from __future__ import annotations

import pytest


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    """The width of the terminal, as the test asks for it."""
    monkeypatch.setenv("COLUMNS", str(request.param))
    return int(request.param)
