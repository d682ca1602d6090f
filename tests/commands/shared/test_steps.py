"""The steps of a set-up: stored in order, counted, and printed except with --quiet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cruddur_cli.commands.shared import steps
from cruddur_cli.settings import load


def test_each_step_is_stored_counted_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    s = load(environ={}, folder=Path("/"))
    kept: list[steps.Step] = []
    steps.done(s, kept, "tables", "created", changed=True)
    steps.done(replace(s, quiet=True), kept, "users", "exist", changed=False)
    assert [step.step for step in kept] == ["tables", "users"]
    assert steps.changes(kept) == {"changed": 1, "unchanged": 1}
    err = capsys.readouterr().err
    assert "tables: created" in err
    assert "users" not in err
