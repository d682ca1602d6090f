"""Findings of an audit, drawn for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .text import one_line

_STYLES = {"fail": "bold red", "cannot see": "yellow", "accepted": "cyan", "pass": "green"}
_WIDTH = max(map(len, _STYLES))


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


def draw(out: Console, items: Sequence[Finding]) -> None:
    """A line for each finding; below a failure its title, controls, and the command that fixes it, in one piece."""
    for one in items:
        body = Text.assemble((one.check, "bold"), "  ", one_line(one.evidence))
        if one.result == "accepted":
            body.append(f" (until {one.accepted_until}: {one_line(one.accepted_reason or '')})", style="dim")
        _line(out, Text(one.result, style=_STYLES[one.result]), body)
        if one.result == "fail":
            told = f"{one.title}. {one.severity.capitalize()}; {', '.join(one.controls)}"
            _line(out, Text(), Text(told, style="dim"))
            # A command that is broken into lines cannot be pasted.
            out.print(Text(f"{'':{_WIDTH + 1}}{one.remedy}"), soft_wrap=True)


def _line(out: Console, head: Text, body: Text) -> None:
    """What a finding is, and beside it what there is to say; into a pipe a line stays one."""
    if not out.is_terminal:
        out.print(Text.assemble(head, " " * (_WIDTH + 1 - len(head)), body), soft_wrap=True)
        return
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=_WIDTH, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(head, body)
    out.print(grid)
