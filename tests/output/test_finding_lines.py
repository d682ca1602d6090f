"""Findings in any width: readable on a terminal, one line in a pipe, with a command that can be pasted."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pytest
from rich.console import Console

from cruddur_cli.output import finding_lines
from cruddur_cli.output.text import width_of

COMMAND = "cruddur db update-cognito-user-ids --prod"
EVIDENCE = "the Cognito ids of 12 people are still MOCK: andrewbrown, bayko, londo and 9 more"


@dataclass(frozen=True)
class Found:
    check: str = "cognito-id-mock"
    title: str = "People have a Cognito id"
    result: str = "fail"
    severity: str = "high"
    controls: tuple[str, ...] = ("Security Hub DynamoDB.2",)
    evidence: str = EVIDENCE
    cost: str = "2 RCU"
    remedy: str = COMMAND
    accepted_reason: str | None = None
    accepted_until: object = None


def drawn(width: int, *, terminal: bool, audit: bool) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, color_system=None, highlight=False, markup=False)
    (finding_lines.draw if audit else finding_lines.draw_diagnosis)(console, [Found()])
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("audit", [True, False])
@pytest.mark.parametrize("width", [40, 59, 60, 80, 120])
def test_a_finding_fits_a_terminal_and_its_command_is_whole(width: int, audit: bool) -> None:
    *lines, command = drawn(width, terminal=True, audit=audit)
    assert command.strip() == COMMAND
    assert not [line for line in lines if width_of(line) > width]
    text = " ".join(" ".join(lines).split())
    assert EVIDENCE in text
    # Nothing is squeezed into a column of a few characters.
    assert len(lines) <= 1 + len(text) // (width // 2)


def test_a_finding_of_doctor_is_one_line_in_a_pipe() -> None:
    assert drawn(40, terminal=False, audit=False) == [f"high    cognito-id-mock: {EVIDENCE} (2 RCU). {COMMAND}"]


@pytest.mark.parametrize("width", [60, 80])
def test_a_word_longer_than_a_line_breaks_after_a_sign(width: int) -> None:
    arn = "arn:aws:kms:eu-central-1:123456789012:key/46947bde-a118-4325-b6f0-71105bfac2af"
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None, highlight=False, markup=False)
    finding_lines.draw(console, [Found(result="pass", evidence=f"{arn} is enabled")])
    first, *more = (line.strip() for line in out.getvalue().splitlines())
    assert "".join([first, *more]).split("  ")[-1] == f"{arn} is enabled".replace(" is", " is")
    assert first.endswith(("/", ":", "-"))
