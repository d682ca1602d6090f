"""Findings of ``audit`` and of ``doctor``, drawn for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rich.console import Console
from rich.text import Text

from .streams import NARROW
from .text import one_line, wrapped

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
        about = f" (until {one.accepted_until}: {one_line(one.accepted_reason or '')})" * (one.result == "accepted")
        _line(out, Text(one.result, style=_STYLES[one.result]), one.check, one_line(one.evidence) + about, width)
        if one.result == "fail":
            told = f"{one.title}. {one.severity.capitalize()}; {', '.join(one.controls)}"
            _below(out, told, width, style="dim")
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
        _line(out, Text(one.severity, style=_SEVERITIES[one.severity]), one.check, said, width)
        _command(out, remedy, width)


def _line(out: Console, head: Text, check: str, said: str, width: int) -> None:
    """What a finding is, and beside it, or below it where that is too narrow, what there is to say."""
    name = Text(check, style="bold")
    beside = Text.assemble(head, " " * (width + 1 - len(head)))
    if not out.is_terminal:
        out.print(Text.assemble(beside, name, "  ", said), soft_wrap=True)
    elif out.width < NARROW:
        out.print(Text.assemble(head, "  ", name))
        _below(out, said, width)
    else:
        text = _indented(out, f"{check}  {said}", width).lstrip()
        out.print(Text.assemble(beside, name, text.removeprefix(check)), soft_wrap=True)


def _below(out: Console, text: str, width: int, *, style: str = "") -> None:
    out.print(Text(_indented(out, text, width), style), soft_wrap=True)


def _indented(out: Console, text: str, width: int) -> str:
    """``text`` behind the margin; on a terminal broken between words, and long ones, such as an ARN, at their signs."""
    margin = " " * _margin(out, width)
    if not out.is_terminal:
        return margin + text
    return "\n".join(margin + line for line in wrapped(text, out.width - len(margin), cut=True).split("\n"))


def _command(out: Console, command: str, width: int) -> None:
    """A command in one piece: one that is broken into lines cannot be pasted."""
    out.print(Text(f"{'':{_margin(out, width)}}{command}"), soft_wrap=True)


def _margin(out: Console, width: int) -> int:
    return _INDENT if out.is_terminal and out.width < NARROW else width + 1
