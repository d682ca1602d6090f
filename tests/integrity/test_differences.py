"""Two descriptions are compared, and their differences are found."""

from __future__ import annotations

import pytest

from cruddur_cli.integrity.differences import Difference, compare, owner_of, tables_as_wholes, without_parts

SCHEMA = {
    "column public.users.bio": "text",
    "column public.users.uuid": "uuid not null",
    "constraint public.users.users_pkey": "PRIMARY KEY (uuid)",
    "index public.by_bio": "CREATE INDEX by_bio ON public.users USING btree (bio)",
    "table public.users": "",
    "table public.activities": "",
}


def test_equal_descriptions_have_no_difference() -> None:
    assert compare(SCHEMA, dict(reversed(SCHEMA.items()))) == []


def test_each_side_may_lack_an_object_or_have_another_one() -> None:
    actual = {**SCHEMA, "column public.users.bio": "text not null", "table public.more": ""}
    del actual["table public.activities"]
    assert compare(actual, SCHEMA) == [
        Difference("table public.activities", "missing", "", None),
        Difference("table public.more", "extra", None, ""),
        Difference("column public.users.bio", "different", "text", "text not null"),
    ]


def test_a_table_stands_before_its_columns_and_those_before_its_constraints() -> None:
    assert [each.object for each in compare({}, SCHEMA)] == [
        "table public.activities",
        "table public.users",
        "column public.users.bio",
        "column public.users.uuid",
        "constraint public.users.users_pkey",
        "index public.by_bio",
    ]


def test_the_parts_of_a_missing_table_are_not_named_again() -> None:
    assert without_parts(compare({"table public.activities": ""}, SCHEMA), ["table public.users"]) == []
    (remaining,) = without_parts(compare({}, SCHEMA), ["table public.users"])
    assert remaining.object == "table public.activities"
    others = {name: text for name, text in SCHEMA.items() if "bio" not in name}
    (remaining,) = without_parts(compare(others, SCHEMA), ["column public.users.bio"])
    assert remaining.object == "index public.by_bio"


def test_a_missing_table_is_one_difference() -> None:
    found = compare({"table public.activities": "", "table public.more": "", "column public.more.a": "text"}, SCHEMA)
    assert [each.object for each in tables_as_wholes(found)] == [
        "table public.more",
        "column public.more.a",
        "table public.users",
    ]
    some = compare({name: text for name, text in SCHEMA.items() if "bio" not in name}, SCHEMA)
    assert tables_as_wholes(some) == some


def test_a_name_in_quotes_may_have_dots() -> None:
    assert owner_of('public."a.b"."c.d"') == 'public."a.b"'
    assert owner_of('public."a.b".c') == 'public."a.b"'


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Difference("column a.b.c", "different", "text", ""), "column a.b.c is plain, expected text"),
        (Difference("table a.b", "missing", "", None), "table a.b is missing"),
        (Difference("table a.b", "extra", None, ""), "table a.b is not expected"),
    ],
)
def test_a_difference_is_a_sentence(change: Difference, words: str) -> None:
    assert str(change) == words
