"""The checkpoint of a stream keeps every position, and a damaged one is refused with the reason."""

from __future__ import annotations

import json
from datetime import timedelta, timezone
from typing import Any

import pytest

from cruddur_cli.dynamodb import sealing
from cruddur_cli.dynamodb.streams import checkpoints
from cruddur_cli.dynamodb.streams.checkpoints import Lost, Position
from cruddur_cli.errors import BadInput, Exit
from tests.dynamodb.rows import utc

NUMBER = "1" * 21
MOMENT = utc(2026, 11, 20, 10)
GOOD: dict[str, Any] = {"after": NUMBER, "at": "2026-11-20T10:00:00.000000+00:00", "done": False, "newest": False}


def decoded(content: str) -> Any:
    return checkpoints.decode(content.encode(), stream="a", source="f")


def sealed(shards: Any, **about: str) -> str:
    return sealing.seal({"what": "stream", "table": "t", "stream": "a", **about}, {"shards": shards})


def test_every_position_is_read_as_it_was_saved() -> None:
    positions = {
        "nothing": Position(),
        "newest": Position(newest=True),
        "done": Position(NUMBER, MOMENT, done=True),
        "read": Position("9" * 40, MOMENT.astimezone(timezone(timedelta(hours=5)))),
    }
    assert decoded(checkpoints.encode(positions, stream="a", table="t")) == positions
    assert decoded(sealed({"one": GOOD})) == {"one": Position(NUMBER, MOMENT)}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"done": 1}, "neither true nor false"),
        ({"newest": 0}, "neither true nor false"),
        ({"done": None}, "neither true nor false"),
        ({"newest": "true"}, "neither true nor false"),
        ({"after": "1" * 20}, "is not a sequence number"),
        ({"after": "1" * 41}, "is not a sequence number"),
        ({"after": int(NUMBER)}, "is not a sequence number"),
        ({"after": ""}, "is not a sequence number"),
    ],
)
def test_nonsense_about_a_shard_is_refused_with_its_reason(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(BadInput, match=why) as caught:
        decoded(sealed({"one": GOOD, "two": {**GOOD, **changed}}))
    assert (caught.value.exit_code, caught.value.code) == (Exit.USAGE, "checkpoint")
    assert caught.value.hint == "--from oldest starts at the oldest record and loses nothing"


@pytest.mark.parametrize("missing", GOOD)
def test_a_shard_that_lacks_a_field_is_refused(missing: str) -> None:
    kept = {name: value for name, value in GOOD.items() if name != missing}
    with pytest.raises(BadInput, match="cannot be used to resume"):
        decoded(sealed({"one": kept}))


def test_the_checkpoint_of_another_command_is_refused() -> None:
    with pytest.raises(BadInput, match="it belongs to an import"):
        decoded(sealed({}, what="import"))


def test_the_form_of_version_0_1_0_is_still_read() -> None:
    first = {"version": 1, "table": "t", "stream": "a", "shards": {"one": GOOD}}
    assert decoded(json.dumps(first)) == {"one": Position(NUMBER, MOMENT)}
    assert decoded(json.dumps({**first, "stream": "b"})) is None
    for changed in ({**first, "version": 2}, {**first, "more": 1}):
        with pytest.raises(BadInput, match="cannot be used to resume"):
            decoded(json.dumps(changed))


def test_lost_records_are_named_with_their_place_and_time() -> None:
    assert str(Lost("s", NUMBER, MOMENT)).startswith(
        f"shard s: records after {NUMBER} (about 2026-11-20T10:00:00.000000+00:00) expired and were not read"
    )
    assert str(Lost("s", None, None)).startswith("shard s: records from its beginning expired and were not read")
