"""Names in rows that differ from the database: old ones, and those that an anonymized copy made up."""

from __future__ import annotations

from collections import Counter

import pytest

from cruddur_cli.dynamodb.transfer import made_up
from cruddur_cli.integrity import names
from cruddur_cli.integrity.rows import Rows
from cruddur_cli.postgres.users import User

UUID = "8f0e2b1a-0000-4000-8000-000000000001"
MADE_UP = made_up.person(UUID)
BAYKO = User(UUID, "bayko", "Andrew Bayko", "bayko@example.com", "MOCK")


@pytest.mark.parametrize(
    ("handle", "name", "changed", "anonymized"),
    [
        ("bayko", "Andrew Bayko", 0, 0),
        ("bayko", None, 0, 0),
        ("andy", "Andrew Bayko", 1, 0),
        ("bayko", "Andy", 1, 0),
        (*MADE_UP, 0, 3),
        (None, MADE_UP[1], 0, 3),
        ("", "", 0, 0),
        (None, None, 0, 0),
    ],
)
def test_an_old_name_is_told_from_one_that_a_copy_made_up(
    handle: str | None, name: str | None, changed: int, anonymized: int
) -> None:
    rows = Rows(names=Counter({(UUID, handle, name): 3, ("somebody-else", "andy", "Andy"): 1}))
    people = {UUID: BAYKO}
    assert names.changed(rows, people) == ({(UUID, handle, name): BAYKO} if changed else {})
    assert names.anonymized(rows, people) == anonymized


def test_made_up_names_in_the_database_too_are_no_difference() -> None:
    rows = Rows(names=Counter({(UUID, *MADE_UP): 3}))
    people = {UUID: User(UUID, *MADE_UP, "bayko@example.com", "MOCK")}
    assert (names.changed(rows, people), names.anonymized(rows, people)) == ({}, 0)
