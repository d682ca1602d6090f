"""Waiting for a job reports each state once, with the elapsed time, and has a limit."""

from __future__ import annotations

import pytest

from cruddur_cli.aws_client import waiting
from cruddur_cli.errors import CannotConnect


def test_each_new_state_is_reported_once_until_the_job_is_done() -> None:
    states = iter(["starting", "starting", "running", "done"])
    said: list[str] = []
    found = waiting.until(
        lambda: next(states), done=lambda state: state == "done", state=str, say=said.append, wait_s=60, hint="x"
    )
    assert (found, said) == ("done", ["starting", "running"])


def test_a_job_that_is_done_at_once_reports_nothing() -> None:
    said: list[str] = []
    assert waiting.until(lambda: 1, done=bool, state=str, say=said.append, wait_s=0, hint="x") == 1
    assert said == []


def test_the_error_after_the_wait_says_how_to_wait_again() -> None:
    with pytest.raises(CannotConnect, match="AWS continues by itself") as caught:
        waiting.until(lambda: 0, done=bool, state=lambda _: "export: in progress", say=print, wait_s=0, hint="again")
    assert (caught.value.hint, caught.value.code) == ("again", "still_running")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (3599, "59 min"), (7500, "2 h 5 min")]
)
def test_durations_have_a_fitting_unit(seconds: float, text: str) -> None:
    assert waiting.duration(seconds) == text
