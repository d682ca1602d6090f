"""Both kinds of row are declared once, and everything else uses this declaration."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from cruddur_cli.dynamodb import schema
from cruddur_cli.dynamodb.client import DynamoDB
from tests.dynamodb.rows import GROUP, ME, OTHER, utc
from tests.dynamodb.walk import walk


def test_every_attribute_goes_through_send_move_stream_export_import_copy(dynamodb: DynamoDB, tmp_path: Path) -> None:
    walk(dynamodb, tmp_path)


def test_a_new_attribute_needs_its_declaration_and_nothing_else(endpoint: str) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.dynamodb.walk", endpoint]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_declared_source_is_a_field_of_its_record() -> None:
    records = {schema.Of.MESSAGE: schema.Message, schema.Of.OTHER: schema.Person}
    for row in (schema.MESSAGE_ROW, schema.GROUP_ROW):
        for source in row.values():
            if source.of in records:
                assert source.field in {field.name for field in fields(records[source.of])}


def test_a_group_row_and_a_message_have_the_same_fields_of_a_person() -> None:
    message = schema.written_by(ME, "text", message_uuid="1", at=utc(2026, 11, 20))
    assert schema.sender(message) == ME
    others = {name for name, source in schema.GROUP_ROW.items() if source.of is schema.Of.OTHER}
    assert others < schema.MESSAGE_ROW.keys()


def test_a_field_that_is_none_gives_no_attribute() -> None:
    nameless = schema.Person(OTHER.uuid, None, None)
    message = schema.written_by(nameless, "text", message_uuid="1", at=utc(2026, 11, 20))
    item = schema.message_item(GROUP, message)
    missing = schema.MESSAGE_ROW.keys() - item.keys()
    assert missing >= {"user_handle", "user_display_name"}
    assert {getattr(message, schema.MESSAGE_ROW[name].field) for name in missing} == {None}
    assert all(getattr(message, schema.MESSAGE_ROW[name].field, "") is not None for name in item)
    assert schema.read_message(item) == message


def test_the_table_is_created_with_the_declared_keys_and_types() -> None:
    assert [
        {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "message_group_uuid")
    ] == schema.KEY_TYPES
    assert [each.name for each in schema.ATTRIBUTES if each.indexed] == list(schema.GROUP_ROW)
