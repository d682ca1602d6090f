"""``--explain`` prints the requests of a command, and docs/data-model.md shows the same requests."""

from __future__ import annotations

import re

import pytest

from cruddur_cli.dynamodb.client import DynamoDB
from tests.commands.conftest import Here
from tests.docs import pages

PAGE = pages.REPOSITORY / "docs" / "data-model.md"


def requests(text: str) -> list[str]:
    """The lines for requests and actions, with placeholders for values that differ between runs."""
    named = [
        line
        for line in text.splitlines()
        if re.match(r"(Query|TransactWriteItems|  (Put|Delete|ConditionCheck)) ", line)
    ]
    return [str(pages.generate().normalized(line)) for line in named]


@pytest.mark.parametrize(
    ("pattern", "arguments"),
    [
        ("A", ("get-conversation", "--limit", "2")),
        ("B", ("list-conversations",)),
        ("C", ("start-conversation", "--from", "londo", "--to", "altbrown", "Shall we talk?")),
        ("D", ("send-message", "--from", "bayko", "--to", "andrewbrown", "hello")),
    ],
)
def test_the_page_shows_the_requests_of_each_pattern(
    here: Here, table: DynamoDB, pattern: str, arguments: tuple[str, ...]
) -> None:
    assert here("ddb", "setup", "-q").code == 0
    ran = here("ddb", *arguments, "--explain")
    assert ran.code == 0
    made = requests(ran.err)
    assert made
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {pattern}:")[1].split("\n## ")[0]
    # A terminal of 80 columns wraps them there.
    shown = " ".join(pages.generate().normalized(" ".join(section.split())).split())
    assert [line for line in made if " ".join(line.split()) not in shown] == []
