"""The steps of a set-up, and the text for each result."""

from __future__ import annotations

import pytest

from cruddur_cli.commands.shared import setup_steps
from cruddur_cli.dynamodb.conversations import seed


@pytest.mark.parametrize(
    ("messages", "groups", "message"),
    [
        ((122, 0, 0), (2, 0, 0), "122 messages written"),
        ((122, 0, 122), (2, 0, 2), "122 messages written, 122 with another time deleted"),  # another year
        ((1, 121, 0), (2, 0, 2), "1 message written"),
        ((0, 20, 102), (2, 0, 2), "102 messages deleted"),
        ((0, 122, 0), (1, 1, 0), "1 group row written"),
        ((0, 122, 0), (0, 2, 1), "1 group row deleted"),
        ((0, 122, 0), (0, 2, 0), ""),
    ],
)
def test_the_result_of_seeding_is_counted_in_messages(
    messages: tuple[int, int, int], groups: tuple[int, int, int], message: str
) -> None:
    rows = [seed.Seeded("messages", *messages), seed.Seeded("message groups", *groups)]
    assert setup_steps.seed_result(rows, "") == message
