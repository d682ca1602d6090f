"""Missing and duplicate group rows are repaired, or named if their person is unknown."""

from __future__ import annotations

from typing import Any

import pytest

from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.conversations import participants
from cruddur_cli.dynamodb.conversations.group_rows import Moved, advance
from cruddur_cli.dynamodb.conversations.model import Person
from cruddur_cli.times import instant
from tests import faults
from tests.dynamodb.conversations.test_group_rows import OLD, SK, expected_rows, message, pair, rows
from tests.dynamodb.rows import GROUP, ME, OTHER, THIRD, everything, group_row, message_row, write


@pytest.mark.parametrize("sender", [ME, OTHER])
@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("known", [None, (ME, OTHER)])
def test_a_missing_row_is_created_again(dynamodb: DynamoDB, sender: Person, lost: int, known: Any) -> None:
    write(dynamodb, [pair()[1 - lost]])
    write(
        dynamodb, [message_row("2026-11-19T10:00:00", "one"), message_row("2026-11-19T10:00:01", "two", sender=OTHER)]
    )
    assert advance(dynamodb, GROUP, message(sender=sender), people=known) == Moved(1, 0, 1)
    assert rows(dynamodb) == expected_rows(SK, "hello")
    assert len(everything(dynamodb)) == 4


@pytest.mark.parametrize("sender", [ME, OTHER])
def test_a_missing_row_gets_the_message_of_the_other_row_if_that_is_newer(dynamodb: DynamoDB, sender: Person) -> None:
    newer = "2026-11-20T12:30:00+02:00"
    write(dynamodb, [group_row(OTHER, ME, newer, "newer"), message_row(OLD, "earlier", sender=OTHER)])
    assert advance(dynamodb, GROUP, message(sender=sender)) == Moved(0, 1, 1)
    assert {row[0]: instant(str(row[1])) for row in rows(dynamodb)} == dict.fromkeys(
        (ME.uuid, OTHER.uuid), instant(newer)
    )
    assert {row[2] for row in rows(dynamodb)} == {"newer"}


def test_two_missing_rows_are_created_from_the_senders_of_messages(dynamodb: DynamoDB) -> None:
    write(dynamodb, [message_row(OLD, "earlier", sender=OTHER)])
    assert advance(dynamodb, GROUP, message()) == Moved(0, 0, 2)
    assert rows(dynamodb) == expected_rows(SK, "hello")


def test_a_row_whose_person_is_unknown_is_named(dynamodb: DynamoDB) -> None:
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


def test_a_sender_outside_the_conversation_moves_the_rows_and_gets_none(dynamodb: DynamoDB) -> None:
    write(dynamodb, pair())
    moved = advance(dynamodb, GROUP, message(sender=THIRD))
    assert (moved.moved, moved.repaired) == (2, 0)
    assert moved.missing
    assert "altbrown" in moved.missing
    assert rows(dynamodb) == expected_rows(SK, "hello")


@pytest.mark.parametrize("people", [None, (ME, OTHER)])
@pytest.mark.parametrize("newest", ["2026-11-20T09:30:00+00:00", "2026-11-20T11:00:00+00:00"])
def test_duplicate_rows_become_one_row(dynamodb: DynamoDB, newest: str, people: Any) -> None:
    doubled = [group_row(ME, OTHER, f"2026-11-{day:02}T08:00:00", "stray") for day in range(1, 16)]
    write(dynamodb, [*pair(newest), *doubled, group_row(ME, THIRD, OLD, "elsewhere", group="g2")])
    is_newer = newest > SK
    assert advance(dynamodb, GROUP, message(), people=people) == (Moved(0, 1, 1) if is_newer else Moved(1, 0, 1))
    assert rows(dynamodb) == (expected_rows(newest, "before") if is_newer else expected_rows(SK, "hello"))
    assert len(rows(dynamodb, "g2")) == 1


def test_more_duplicate_rows_than_a_transaction_takes_are_deleted(dynamodb: DynamoDB) -> None:
    each = ((ME, OTHER), (OTHER, ME))
    write(dynamodb, [group_row(*side, f"2026-10-01T08:{n:02}:00", "stray") for n in range(15) for side in each])
    assert advance(dynamodb, GROUP, message(), write_message=True) == Moved(0, 0, 2)
    assert rows(dynamodb) == expected_rows(SK, "hello")
    assert len(everything(dynamodb)) == 3


def find_people(dynamodb: DynamoDB, sender: Person) -> tuple[list[tuple[str, str | None]], bool, bool]:
    """The people that are found, each with the other person, whether a row is missing, and whether the sender is a
    stranger."""
    people = participants.find(dynamodb, GROUP, sender)
    sides = [(each.owner, each.other.uuid if each.other else None) for each in people.people]
    return sides, people.missing is not None, people.stranger


BOTH = [(ME.uuid, OTHER.uuid), (OTHER.uuid, ME.uuid)]


def test_people_are_found_from_the_rows(dynamodb: DynamoDB) -> None:
    write(dynamodb, pair())
    assert find_people(dynamodb, ME) == (BOTH, False, False)
    assert find_people(dynamodb, OTHER) == (BOTH[::-1], False, False)
    assert find_people(dynamodb, THIRD) == (sorted(BOTH), True, True)


def test_people_are_found_from_the_messages_if_both_rows_are_missing(dynamodb: DynamoDB) -> None:
    asked = faults.asked(dynamodb.client, "Query")
    assert find_people(dynamodb, ME) == ([], True, True)
    assert max(each.get("Limit", 0) for each in asked) == 200
    write(dynamodb, [message_row(OLD, "to myself")])
    assert find_people(dynamodb, ME) == ([], True, False)
    assert find_people(dynamodb, OTHER) == ([(OTHER.uuid, ME.uuid), (ME.uuid, OTHER.uuid)], False, True)
    write(dynamodb, [message_row(SK, "to you", sender=OTHER)])
    assert find_people(dynamodb, ME) == (BOTH, False, False)
    assert find_people(dynamodb, THIRD) == ([], True, True)


def test_a_conversation_with_oneself_has_one_row(dynamodb: DynamoDB) -> None:
    write(dynamodb, [group_row(ME, ME, OLD, "before")])
    assert find_people(dynamodb, ME) == ([(ME.uuid, ME.uuid)], False, False)
    assert advance(dynamodb, GROUP, message()) == Moved(1, 0, 0)
    assert [row[:3] for row in rows(dynamodb)] == [(ME.uuid, SK, "hello")]


def nameless(row: Any) -> Any:
    return {name: value for name, value in row.items() if not name.startswith("user_")}


def test_the_only_other_row_belongs_to_the_partner_even_without_a_name(dynamodb: DynamoDB) -> None:
    mine, theirs = pair()
    write(dynamodb, [nameless(theirs)])
    assert find_people(dynamodb, ME) == (BOTH, False, False)
    assert find_people(dynamodb, THIRD) == ([(THIRD.uuid, OTHER.uuid), (OTHER.uuid, THIRD.uuid)], False, False)
    write(dynamodb, [nameless(mine)])
    assert find_people(dynamodb, THIRD) == ([(ME.uuid, None), (OTHER.uuid, None)], True, True)


def test_a_row_without_a_name_moves_with_the_rows_of_others(dynamodb: DynamoDB) -> None:
    write(dynamodb, [nameless(pair()[0]), group_row(OTHER, THIRD, OLD, "x"), group_row(THIRD, OTHER, OLD, "x")])
    found, is_row_missing, is_stranger = find_people(dynamodb, ME)
    assert sorted(found, key=str) == [(ME.uuid, None), (OTHER.uuid, THIRD.uuid), (THIRD.uuid, OTHER.uuid)]
    assert (is_row_missing, is_stranger) == (False, False)


def test_a_row_without_a_conversation_is_not_one_between_two_people(dynamodb: DynamoDB) -> None:
    def between(prefer: str | None = None) -> str | None:
        known = participants.between(dynamodb, ME, OTHER, prefer=prefer)
        return known[0] if known else None

    write(dynamodb, [{name: value for name, value in pair(SK)[0].items() if name != "message_group_uuid"}])
    assert between() is None
    write(dynamodb, [group_row(ME, THIRD, OLD, "x", group="g3"), group_row(ME, OTHER, OLD[:-7], "x", group="g1")])
    assert between() == "g1"
    write(dynamodb, [group_row(OTHER, ME, SK, "x", group="g2")])
    assert [between("g1"), between("g3"), between()] == ["g1", "g2", "g2"]


def test_the_members_of_a_conversation_are_the_people_in_its_rows(dynamodb: DynamoDB) -> None:
    assert participants.members(dynamodb, GROUP) == set()
    write(dynamodb, [message_row(OLD, "hello", sender=THIRD), nameless(message_row(SK, "by nobody"))])
    assert participants.members(dynamodb, GROUP) == {THIRD.uuid}
    write(dynamodb, [pair()[0]])
    assert participants.members(dynamodb, GROUP) == {ME.uuid, OTHER.uuid}
    write(dynamodb, [nameless(pair()[0])])
    assert participants.members(dynamodb, GROUP) == {ME.uuid}


def test_the_handles_of_a_conversation_are_those_in_its_rows(dynamodb: DynamoDB) -> None:
    write(dynamodb, [*pair(), nameless(group_row(THIRD, ME, OLD, "x")), group_row(ME, THIRD, SK, "x", group="g2")])
    assert participants.handles(dynamodb, GROUP) == {"andrewbrown", "bayko"}
