"""An anonymized copy names no person, and its texts are as long as before."""

from __future__ import annotations

from cruddur_cli.dynamodb.transfer import anonymized_copy
from tests.dynamodb.rows import GROUP, ME, OTHER, Item, group_row, message_row

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
    assert anonymized_copy.anonymized({**KEYS, "pk": {"S": "OTHER#1"}}) == (None, [])
    for telling in ({"pk": {"S": "MSG#bayko"}}, {"sk": {"S": "2026 by bayko"}}, {"user_uuid": {"S": f"{GROUP}-bayko"}}):
        assert anonymized_copy.anonymized({**message, **telling}) == (None, [])
    row, _ = anonymized_copy.anonymized(group_row(ME, OTHER, "2026", "my secret is 42", group=GROUP))
    assert row is not None
    # The last message in a group row reads as the message does, and the person has one name everywhere.
    assert [row[name] for name in ("message", "user_handle")] == [changed[name] for name in ("message", "user_handle")]
