"""Group rows that are lost or doubled are put right, or named where nobody can know whose they are."""

from __future__ import annotations

from typing import Any

import pytest

from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.conversations.group_rows import Moved, advance
from cruddur_cli.dynamodb.conversations.model import Person
from cruddur_cli.times import instant
from tests.dynamodb.conversations.test_group_rows import OLD, SK, both, message, pair, rows
from tests.dynamodb.rows import GROUP, ME, OTHER, THIRD, everything, group_row, message_row, write


@pytest.mark.parametrize("sender", [ME, OTHER])
@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("known", [None, (ME, OTHER)])
def test_a_lost_row_is_written_again(dynamodb: DynamoDB, sender: Person, lost: int, known: Any) -> None:
    write(dynamodb, [pair()[1 - lost]])
    write(
        dynamodb, [message_row("2026-11-19T10:00:00", "one"), message_row("2026-11-19T10:00:01", "two", sender=OTHER)]
    )
    assert advance(dynamodb, GROUP, message(sender=sender), people=known) == Moved(1, 0, 1)
    assert rows(dynamodb) == both(SK, "hello")
    assert len(everything(dynamodb)) == 4


@pytest.mark.parametrize("sender", [ME, OTHER])
def test_a_lost_row_says_what_the_other_side_says_when_that_is_newer(dynamodb: DynamoDB, sender: Person) -> None:
    newer = "2026-11-20T12:30:00+02:00"
    write(dynamodb, [group_row(OTHER, ME, newer, "newer"), message_row(OLD, "earlier", sender=OTHER)])
    assert advance(dynamodb, GROUP, message(sender=sender)) == Moved(0, 1, 1)
    assert {row[0]: instant(str(row[1])) for row in rows(dynamodb)} == dict.fromkeys(
        (ME.uuid, OTHER.uuid), instant(newer)
    )
    assert {row[2] for row in rows(dynamodb)} == {"newer"}


def test_both_rows_lost_are_known_from_who_wrote(dynamodb: DynamoDB) -> None:
    write(dynamodb, [message_row(OLD, "earlier", sender=OTHER)])
    assert advance(dynamodb, GROUP, message()) == Moved(0, 0, 2)
    assert rows(dynamodb) == both(SK, "hello")


def test_what_cannot_be_known_is_named(dynamodb: DynamoDB) -> None:
    moved = advance(dynamodb, GROUP, message())
    assert (moved.moved, moved.unchanged, moved.repaired) == (0, 0, 0)
    assert moved.missing
    assert "andrewbrown" in moved.missing
    assert GROUP in moved.missing
    assert everything(dynamodb) == []
    mine = group_row(ME, OTHER, OLD, "before")
    del mine["user_uuid"]
    write(dynamodb, [mine])
    moved = advance(dynamodb, GROUP, message())
    assert moved.moved == 1
    assert moved.missing
    assert [row[:3] for row in rows(dynamodb)] == [(ME.uuid, SK, "hello")]
    assert "user_uuid" not in everything(dynamodb)[0]
    assert advance(dynamodb, GROUP, message(at=None)).missing


def test_a_stranger_moves_the_rows_and_gets_none(dynamodb: DynamoDB) -> None:
    write(dynamodb, pair())
    moved = advance(dynamodb, GROUP, message(sender=THIRD))
    assert (moved.moved, moved.repaired) == (2, 0)
    assert moved.missing
    assert "altbrown" in moved.missing
    assert rows(dynamodb) == both(SK, "hello")


@pytest.mark.parametrize("people", [None, (ME, OTHER)])
@pytest.mark.parametrize("newest", ["2026-11-20T09:30:00+00:00", "2026-11-20T11:00:00+00:00"])
def test_doubled_rows_become_one(dynamodb: DynamoDB, newest: str, people: Any) -> None:
    doubled = [group_row(ME, OTHER, f"2026-11-{day:02}T08:00:00", "stray") for day in range(1, 16)]
    write(dynamodb, [*pair(newest), *doubled, group_row(ME, THIRD, OLD, "elsewhere", group="g2")])
    is_newer = newest > SK
    assert advance(dynamodb, GROUP, message(), people=people) == (Moved(0, 1, 1) if is_newer else Moved(1, 0, 1))
    assert rows(dynamodb) == (both(newest, "before") if is_newer else both(SK, "hello"))
    assert len(rows(dynamodb, "g2")) == 1


def test_more_doubled_rows_than_a_transaction_takes(dynamodb: DynamoDB) -> None:
    each = ((ME, OTHER), (OTHER, ME))
    write(dynamodb, [group_row(*side, f"2026-10-01T08:{n:02}:00", "stray") for n in range(15) for side in each])
    assert advance(dynamodb, GROUP, message(), write_message=True) == Moved(0, 0, 2)
    assert rows(dynamodb) == both(SK, "hello")
    assert len(everything(dynamodb)) == 3
