"""Findings of ``audit`` and of ``doctor``, drawn for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .streams import NARROW
from .text import one_line

_STYLES = {"fail": "bold red", "cannot see": "yellow", "accepted": "bold", "pass": "green"}
_SEVERITIES = {"high": "bold red", "medium": "yellow", "low": ""}
_INDENT = 2  # columns, where a terminal is narrow


class Finding(Protocol):
    """What one check of an audit found."""

    @property
    def check(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def result(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def controls(self) -> Sequence[str]: ...
    @property
    def evidence(self) -> str: ...
    @property
    def remedy(self) -> str | None: ...
    @property
    def accepted_reason(self) -> str | None: ...
    @property
    def accepted_until(self) -> object: ...


class Diagnosis(Protocol):
    """What one check of ``doctor`` found."""

    @property
    def check(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def evidence(self) -> str: ...
    @property
    def cost(self) -> str: ...
    @property
    def remedy(self) -> str: ...


def draw(out: Console, items: Sequence[Finding]) -> None:
    """A line for each finding; below a failure its title, controls, and the command that fixes it, in one piece."""
    width = max(map(len, _STYLES))
    for one in items:
        said = Text(one_line(one.evidence))
        if one.result == "accepted":
            said.append(f" (until {one.accepted_until}: {one_line(one.accepted_reason or '')})", style="dim")
        _line(out, Text(one.result, style=_STYLES[one.result]), one.check, said, width)
        if one.result == "fail":
            told = f"{one.title}. {one.severity.capitalize()}; {', '.join(one.controls)}"
            _below(out, Text(told, style="dim"), width)
            _command(out, one.remedy or "", width)


def draw_diagnosis(out: Console, items: Sequence[Diagnosis]) -> None:
    """A line for each finding, and below it the command that fixes it; in a pipe both are one line."""
    width = max(map(len, _SEVERITIES)) + 1
    for one in items:
        cost = "" if one.cost == "no capacity" else f" ({one.cost})"
        said, remedy = one_line(f"{one.evidence}{cost}"), one_line(one.remedy)
        if not out.is_terminal:
            out.print(f"{one.severity:<{width}} {one.check}: {said}. {remedy}", soft_wrap=True)
            continue
        _line(out, Text(one.severity, style=_SEVERITIES[one.severity]), one.check, Text(said), width)
        _command(out, remedy, width)


def _line(out: Console, head: Text, check: str, said: Text, width: int) -> None:
    """What a finding is, and beside it, or below it where that is too narrow, what there is to say."""
    name = Text(check, style="bold")
    if not out.is_terminal:
        out.print(Text.assemble(head, " " * (width + 1 - len(head)), name, "  ", said), soft_wrap=True)
    elif out.width < NARROW:
        out.print(Text.assemble(head, "  ", name))
        _below(out, said, width)
    else:
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=width, no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(head, Text.assemble(name, "  ", said))
        out.print(grid)


def _below(out: Console, text: Text, width: int) -> None:
    if out.is_terminal:
        out.print(Padding(text, (0, 0, 0, _margin(out, width))))
    else:
        out.print(Text.assemble(" " * (width + 1), text), soft_wrap=True)


def _command(out: Console, command: str, width: int) -> None:
    """A command in one piece: one that is broken into lines cannot be pasted."""
    out.print(Text(f"{'':{_margin(out, width)}}{command}"), soft_wrap=True)


def _margin(out: Console, width: int) -> int:
    return _INDENT if out.is_terminal and out.width < NARROW else width + 1
