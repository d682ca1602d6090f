"""Formats findings as Markdown, for a pull request or a job's summary."""

from __future__ import annotations

from collections.abc import Sequence

from .model import ACCEPTED, FAIL, PASS, UNSEEN, Finding
from .report import counts

_HEADS = {FAIL: "Failed", UNSEEN: "Cannot see", ACCEPTED: "Accepted", PASS: "Passed"}


def text(findings: Sequence[Finding], *, what: str) -> str:
    """The findings in a section for each result, failures first with the commands that fix them.

    ``what`` is what was audited, for the heading.
    """
    number = counts(findings)
    lines = [
        f"## Audit of {what}",
        "",
        f"{number['failed']} failed, {number['unseen']} cannot be seen, {number['accepted']} accepted, "
        f"{number['passed']} passed.",
    ]
    for result, head in _HEADS.items():
        chosen = [one for one in findings if one.result == result]
        if not chosen:
            continue
        lines += ["", f"### {head}", ""]
        if result == FAIL:
            for one in chosen:
                lines += [f"- **{one.check}** ({one.severity}; {', '.join(one.controls)}): {_plain(one.title)}."]
                lines += [f"  Found: {_plain(one.evidence)}.", "", "  ```sh", f"  {one.remedy}", "  ```"]
            continue
        lines += ["| check | severity | evidence |", "|---|---|---|"]
        lines += [f"| {one.check} | {one.severity} | {_cell(one)} |" for one in chosen]
    return "\n".join(lines) + "\n"


def _cell(one: Finding) -> str:
    why = f"; accepted until {one.accepted_until}: {one.accepted_reason}" if one.result == ACCEPTED else ""
    return _plain(one.evidence + why)


def _plain(words: str) -> str:
    """The words in one line, with the signs of Markdown escaped."""
    for sign in "\\`*_[]<>|":
        words = words.replace(sign, f"\\{sign}")
    return " ".join(words.split())
