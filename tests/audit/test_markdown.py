"""The audit as Markdown has failures first, and escapes the account's texts."""

from __future__ import annotations

from dataclasses import replace

from cruddur_cli.audit import markdown
from tests.audit.findings import finding

FINDINGS = [finding("b", "pass"), finding("u", "cannot see"), finding("a", "fail", "high")]


def test_failures_come_first_with_their_command() -> None:
    page = markdown.text(FINDINGS, what="production")
    assert page.startswith("## Audit of production\n")
    heads = [line for line in page.splitlines() if line.startswith("### ")]
    assert heads == ["### Failed", "### Cannot see", "### Passed"]
    assert "- **a** (high; Security Hub X.1): Title of a.\n  Found: wrong.\n\n  ```sh\n  aws mend it\n  ```" in page


def test_signs_of_markdown_in_the_evidence_are_escaped() -> None:
    one = replace(FINDINGS[0], evidence="a|b `c` <d>\n*e*")
    assert "a\\|b \\`c\\` \\<d\\> \\*e\\*" in markdown.text([one], what="x")
