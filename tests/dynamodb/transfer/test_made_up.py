"""Invented people and texts are always the same, and are recognized in a row."""

from __future__ import annotations

import pytest

from cruddur_cli.dynamodb.schema import Person
from cruddur_cli.dynamodb.transfer import made_up

UUID = "8f0e2b1a-0000-4000-8000-000000000001"


@pytest.mark.parametrize("length", [0, 1, 2, 3, 7, 8, 100, 1023, 1024, 50_000, 262_143, 262_144, 409_000])
def test_an_invented_text_is_about_as_long_as_the_original(length: int) -> None:
    made = made_up.text("seed", length)
    assert len(made).bit_length() == length.bit_length()
    assert len(made) <= max(length * 2, 1)
    assert len(made) <= 300_000
    assert made == made_up.text("seed", length)


def test_an_invented_text_is_the_same_in_every_copy() -> None:
    told = "One from other talk yes ask keep today any again garden place such try this after want cloud name in."
    assert made_up.text("seed", 100) == told
    short = [made_up.text(seed, length) for seed, length in (("seed", 1), ("seed", 3), ("0", 2), ("3", 2))]
    assert short == ["S", "Th.", "Ea.", "N."]


def test_a_person_has_the_same_invented_names_in_every_copy() -> None:
    """So a copy by a later version overwrites the rows of the first copy."""
    assert made_up.person(UUID) == ("greennewt714283", "Green Newt")


@pytest.mark.parametrize(
    ("handle", "display_name", "is_made_up"),
    [
        ("greennewt714283", "Green Newt", True),
        ("greennewt714283", None, True),
        ("", "Green Newt", True),
        (None, "Green Newt", True),
        ("greennewt714284", "Green Newt", False),
        ("bayko", "Green Newt", False),
        (None, None, False),
        ("", "", False),
    ],
)
def test_an_invented_person_is_recognized_by_the_handle_or_the_name(
    handle: str | None, display_name: str | None, is_made_up: bool
) -> None:
    assert made_up.is_person(Person(UUID, handle, display_name)) is is_made_up


def test_a_row_without_a_uuid_has_no_invented_person() -> None:
    assert not made_up.is_person(Person("", *made_up.person("")))
