"""An anonymized copy names no person, and its texts are as long as before."""

from __future__ import annotations

from collections import Counter

from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.transfer import anonymized_copy, attribute_values, made_up
from cruddur_cli.dynamodb.transfer.anonymized_copy import CopiedRow, LeftOut, Overwritten, People, Spool
from cruddur_cli.dynamodb.transfer.input_files import Place
from tests.dynamodb.rows import GROUP, ME, OTHER, THIRD, Item, group_row, message_row, write

KEYS: Item = {"pk": {"S": "MSG#1"}, "sk": {"S": "2026-11-20T10:00:00.000000+00:00"}}


def test_an_anonymized_row_names_no_person() -> None:
    message = {
        **message_row("2026", "my secret is 42", sender=OTHER), "message_uuid": {"S": GROUP},
        "email": {"S": "bayko@example.com"},
    }  # fmt: skip
    changed, left_out = anonymized_copy.anonymized(message)
    assert changed is not None
    assert left_out == ["email"]
    assert anonymized_copy.anonymized(message) == (changed, left_out)
    kept = {"pk", "sk", "message_uuid", "user_uuid"}
    assert {name for name in changed if changed[name] == message[name]} == kept
    assert {"user_handle", "user_display_name", "message"} == set(changed) - kept
    names = tuple(changed[name]["S"] for name in ("user_handle", "user_display_name"))
    assert names == made_up.person(OTHER.uuid)
    assert anonymized_copy.anonymized({**KEYS, "pk": {"S": "OTHER#1"}}) == (None, [])
    for telling in ({"pk": {"S": "MSG#bayko"}}, {"sk": {"S": "2026 by bayko"}}, {"user_uuid": {"S": f"{GROUP}-bayko"}}):
        assert anonymized_copy.anonymized({**message, **telling}) == (None, [])
    row, _ = anonymized_copy.anonymized(group_row(ME, OTHER, "2026", "my secret is 42", group=GROUP))
    assert row is not None
    # The last message in a group row reads as the message does, and the person has one name everywhere.
    assert [row[name] for name in ("message", "user_handle")] == [changed[name] for name in ("message", "user_handle")]


def test_a_row_and_its_message_have_the_text_of_their_conversation_and_time() -> None:
    row, _ = anonymized_copy.anonymized({**message_row("2026", "hello"), "message_uuid": {"S": GROUP}})
    assert row is not None
    assert row["message"]["S"] == made_up.text(f"{GROUP} 2026", len("hello"))


def test_a_missing_value_or_one_of_another_type_is_not_invented() -> None:
    message = {**message_row("2026", "hello"), "message_uuid": {"S": GROUP}}
    row, left_out = anonymized_copy.anonymized({**message, "user_handle": {"S": ""}, "user_display_name": {"S": ""}})
    assert row is not None
    assert (row["user_handle"], row["user_display_name"], left_out) == ({"S": ""}, {"S": ""}, [])
    row, left_out = anonymized_copy.anonymized({**message, "message": {"N": "1"}})
    assert row is not None
    assert ("message" in row, left_out) == (False, ["message"])


def test_a_person_without_a_uuid_is_identified_by_the_handle() -> None:
    message = {**message_row("2026", "hello"), "message_uuid": {"S": GROUP}}
    del message["user_uuid"]
    row, _ = anonymized_copy.anonymized(message)
    assert row is not None
    assert row["user_handle"]["S"] == made_up.person("andrewbrown")[0]


def test_skipped_rows_and_attributes_are_counted_by_reason() -> None:
    message = {**message_row("2026", "hello"), "message_uuid": {"S": GROUP}}
    told = {**message, "email": {"S": "bayko@example.com"}}
    telling = {**message, "sk": {"S": "by bayko"}}
    unknown = {**message, "pk": {"S": "LOG#1"}}
    left_out = LeftOut()
    rows = [told, telling, telling, unknown, unknown, unknown, told]
    assert len(list(anonymized_copy.copied(rows, left_out))) == 2
    assert (left_out.unusual, left_out.unknown, left_out.attributes) == (2, 3, Counter(email=2))
    assert [row.item for row in anonymized_copy.copied(rows, left_out, verbatim=True)] == rows


def test_rows_that_were_read_are_kept_until_they_are_written() -> None:
    rows = [CopiedRow(message_row(f"{n}", "hello"), b"digest") for n in range(3)]
    spool, counted = Spool(), list[int]()
    spool.fill(rows, advance=counted.append)
    for _ in range(2):
        assert list(spool.rows()) == rows
    spool.close()
    assert counted == [1, 1, 1]


def test_overwritten_rows_are_of_a_copy_the_same_or_foreign() -> None:
    original = {**message_row("2026", "hello"), "message_uuid": {"S": GROUP}}
    (made,) = anonymized_copy.copied([original], LeftOut())
    overwritten = Overwritten()
    list(overwritten.expect([made]))
    nameless = {name: value for name, value in original.items() if not name.startswith("user")}
    for old, counts in (
        ({**made.item, "message": {"S": "another"}}, (1, 0, 0)),
        (original, (1, 1, 0)),
        ({**original, "message": {"S": "mine"}}, (1, 1, 1)),
        (nameless, (1, 1, 2)),
    ):
        overwritten.see(old, made.item)
        assert (overwritten.earlier, overwritten.same, overwritten.foreign) == counts


def test_the_people_of_a_copy_have_the_names_in_its_rows() -> None:
    people = People()
    items = [
        group_row(ME, OTHER, "2026", "hello"),
        {**message_row("2026", "hello", sender=THIRD), "user_display_name": {"S": ""}},
        {"pk": {"S": "GRP#"}, "sk": {"S": "1"}},
        {"pk": {"S": "LOG#someone"}, "sk": {"S": "1"}},
        {**message_row("2027", "hello"), "user_uuid": {"S": "no-handle"}, "user_handle": {"S": ""}},
    ]
    assert list(people.noted(items)) == items
    assert people.profiles() == [
        (ME.uuid, *made_up.person(ME.uuid)),
        (OTHER.uuid, OTHER.handle, OTHER.display_name),
        (THIRD.uuid, THIRD.handle, THIRD.handle),
        ("no-handle", *made_up.person("no-handle")),
    ]


def test_rows_have_their_number_as_line_and_about_the_size_of_their_texts() -> None:
    rows = [{"pk": {"S": "ab"}, "sk": {"S": "c"}}, {"pk": {"S": "ab"}, "sk": {"S": "c"}, "n": {"N": "1"}}]
    assert list(anonymized_copy.placed(rows)) == [(Place(0, 1), rows[0], 3), (Place(0, 2), rows[1], 103)]


def test_a_persons_conversations_are_read_with_the_rows_of_the_others(dynamodb: DynamoDB) -> None:
    theirs = [
        *(group_row(one, other, "2026", "hello", group="g1") for one, other in ((ME, OTHER), (OTHER, ME))),
        *(message_row(f"{n}", "hello", group="g1") for n in range(3)),
        group_row(ME, THIRD, "2027", "hello", group="g2"),
        message_row("1", "hello", group="g2"),
        {"pk": {"S": f"GRP#{ME.uuid}"}, "sk": {"S": "1"}},
    ]
    write(dynamodb, [*theirs, message_row("1", "private", group="g3"), message_row("1", "nowhere", group="")])
    found = list(anonymized_copy.conversations(dynamodb, ME.uuid))
    assert [row for row in found if found.count(row) > 1] == []
    assert sorted(found, key=attribute_values.key) == sorted(theirs, key=attribute_values.key)
