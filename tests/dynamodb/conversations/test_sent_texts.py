"""Texts are stored exactly as they were written, or refused before any request."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.dynamodb.capacity.rules import ITEM_LIMIT, item_size
from cruddur_cli.dynamodb.client import DynamoDB, opened
from cruddur_cli.dynamodb.conversations import queries
from cruddur_cli.dynamodb.conversations import send as sending
from cruddur_cli.dynamodb.conversations.model import Person
from cruddur_cli.dynamodb.conversations.send import send, start
from cruddur_cli.errors import BadInput
from cruddur_cli.times import sort_key
from tests import faults
from tests.dynamodb.rows import ME, OTHER, everything, message_row, texts, utc

NOW = utc(2026, 11, 20, 10)
MEET = sending.group_of(ME, OTHER)


def clock() -> Any:
    return lambda: NOW


TEXTS = {
    "2,000 characters": "x" * 1999 + "é",
    "emoji": "👩🏽‍🚀 ✨ 🇨🇦",
    "lines": "one\n\ntwo\r\nthree\n",
    "right to left": "שלום \u202eעולם\u202c",
    "NUL": "a\0b",
    "escapes": "\x1b[31mred\x1b[0m\x07\x9b",
    "spaces around": "  x \t",
    "quotes": 'it\'s "$HOME" \\ `id`',
    "not normalised": "e\u0301 \ufeff\uffff",
    "10,000 lines": "line\n" * 10_000,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_texts_are_stored_exactly(dynamodb: DynamoDB, text: str) -> None:
    start(dynamodb, ME, OTHER, text, clock=clock())
    assert texts(queries.latest(dynamodb, MEET)) == [text]
    (stored,) = queries.latest(dynamodb, MEET)
    assert not start(dynamodb, ME, OTHER, text, message_uuid=stored.message_uuid).written
    assert {item["message"]["S"] for item in everything(dynamodb)} == {text}
    assert len(everything(dynamodb)) == 3


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"text": ""}, "empty_message"),
        ({"text": " \n\t\u3000"}, "empty_message"),
        ({"text": "lone \ud83d surrogate"}, "not_text"),
        ({"text": "x" * (1 << 20)}, "item_too_large"),
        ({"text": "é" * 205_000}, "item_too_large"),
        ({"text": "to myself", "receiver": ME}, "same_person"),
        ({"group": ""}, "usage"),
        ({"group": "g" * 2043}, "usage"),
        ({"group": "\udcff"}, "not_text"),
        ({"message_uuid": ""}, "not_a_message_uuid"),
        ({"message_uuid": "a\nb"}, "not_a_message_uuid"),
        ({}, "usage"),
    ],
)
def test_a_message_that_cannot_be_sent_is_refused_before_any_request(sent: dict[str, Any], code: str) -> None:
    at = aws_client.Endpoint("dynamodb", faults.refused_url(), aws_client.LOCAL_REGION, "nowhere", unreachable_s=0)
    with opened(at, "messages") as nowhere, pytest.raises(BadInput) as failed:
        text = sent.pop("text", "hello")
        if "receiver" in sent:
            start(nowhere, ME, sent["receiver"], text)
        send(nowhere, ME, text, **{"group": None, **sent})
    assert failed.value.code == code


def test_the_longest_message_is_stored_and_one_byte_more_is_refused(dynamodb: DynamoDB) -> None:
    bare = {key: value for key, value in message_row(sort_key(NOW), "", group=MEET).items() if key != "message"}
    bare["message_uuid"] = {"S": str(uuid.UUID(int=0))}
    longest = ITEM_LIMIT - item_size(bare) - len("message")
    other = Person(OTHER.uuid, "b", "B")  # the other rows are shorter
    for count in (longest + 1, longest):  # the receiver's row holds as much, and its conversation's id besides
        with pytest.raises(BadInput):
            start(dynamodb, ME, other, "x" * count, clock=clock())
        assert everything(dynamodb) == []
    fits = "x" * (longest - 200)
    start(dynamodb, ME, other, fits, clock=clock())
    assert texts(queries.latest(dynamodb, MEET)) == [fits]
