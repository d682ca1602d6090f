"""Draws the findings of ``audit`` and of ``doctor`` for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rich.console import Console
from rich.text import Text

from .streams import NARROW
from .text import one_line, wrapped

_STYLES = {"fail": "bold red", "cannot see": "yellow", "accepted": "bold", "pass": "green"}
_SEVERITIES = {"high": "bold red", "medium": "yellow", "low": ""}
_INDENT = 2  # columns, on a narrow terminal


class Finding(Protocol):
    """The finding of one check of ``audit``."""

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
    """One finding of ``doctor``."""

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
    """Draw a line for each finding; below a failure, its title, its controls, and the command that fixes it."""
    width = max(map(len, _STYLES))
    for finding in items:
        acceptance = f" (until {finding.accepted_until}: {one_line(finding.accepted_reason or '')})" * (
            finding.result == "accepted"
        )
        _line(
            out,
            Text(finding.result, style=_STYLES[finding.result]),
            finding.check,
            one_line(finding.evidence) + acceptance,
            width,
        )
        if finding.result == "fail":
            summary = f"{finding.title}. {finding.severity.capitalize()}; {', '.join(finding.controls)}"
            _below(out, summary, width, style="dim")
            _command(out, finding.remedy or "", width)


def draw_diagnosis(out: Console, items: Sequence[Diagnosis]) -> None:
    """Draw a line for each finding, and below it the command that fixes it. Into a pipe, both are on one line."""
    width = max(map(len, _SEVERITIES)) + 1
    for finding in items:
        cost = "" if finding.cost == "no capacity" else f" ({finding.cost})"
        text, remedy = one_line(f"{finding.evidence}{cost}"), one_line(finding.remedy)
        if not out.is_terminal:
            out.print(f"{finding.severity:<{width}} {finding.check}: {text}. {remedy}", soft_wrap=True)
            continue
        _line(out, Text(finding.severity, style=_SEVERITIES[finding.severity]), finding.check, text, width)
        _command(out, remedy, width)


def _line(out: Console, head: Text, check: str, text: str, width: int) -> None:
    """Draw a finding's result and check, and beside them the text; on a narrow terminal the text is below."""
    name = Text(check, style="bold")
    result_text = Text.assemble(head, " " * (width + 1 - len(head)))
    if not out.is_terminal:
        out.print(Text.assemble(result_text, name, "  ", text), soft_wrap=True)
    elif out.width < NARROW:
        out.print(Text.assemble(head, "  ", name))
        _below(out, text, width)
    else:
        wrapped_text = _indented(out, f"{check}  {text}", width).lstrip()
        out.print(Text.assemble(result_text, name, wrapped_text.removeprefix(check)), soft_wrap=True)


def _below(out: Console, text: str, width: int, *, style: str = "") -> None:
    out.print(Text(_indented(out, text, width), style), soft_wrap=True)


def _indented(out: Console, text: str, width: int) -> str:
    """The text after the margin.

    On a terminal it is wrapped between words; long words, such as ARNs, are split at signs.
    """
    margin = " " * _margin(out, width)
    if not out.is_terminal:
        return margin + text
    return "\n".join(margin + line for line in wrapped(text, out.width - len(margin), cut=True).split("\n"))


def _command(out: Console, command: str, width: int) -> None:
    """Draw a command without line breaks, so that it can be pasted."""
    out.print(Text(f"{'':{_margin(out, width)}}{command}"), soft_wrap=True)


def _margin(out: Console, width: int) -> int:
    return _INDENT if out.is_terminal and out.width < NARROW else width + 1
