"""A checkpoint is accepted only if it was not changed."""

from __future__ import annotations

import json

import pytest

from cruddur_cli.dynamodb import sealing

ABOUT, STATE = {"what": "import", "table": "t"}, {"after": {"file": 0, "line": 7}}


def test_a_sealed_checkpoint_is_read_as_it_was_written() -> None:
    assert sealing.unseal(sealing.seal(ABOUT, STATE).encode()) == (ABOUT, STATE)


def test_a_checkpoint_with_any_changed_character_is_refused() -> None:
    sealed = sealing.seal(ABOUT, STATE).encode()
    for place in range(len(sealed) - 1):
        for changed in (sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :], sealed[:place]):
            with pytest.raises(sealing.Unusable):
                sealing.unseal(changed)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a checkpoint"),
        (b'{"version": 1, "about": {}, "state": {}}', "another version"),
        (b'{"version": 2, "about": {}, "state": {}}', "checksum"),
    ],
)
def test_an_unusable_checkpoint_is_refused_with_the_reason(content: bytes, why: str) -> None:
    with pytest.raises(sealing.Unusable, match=why):
        sealing.unseal(content)


@pytest.mark.parametrize("value", [-1, True, 1.0, "1", None])
def test_only_an_integer_is_a_whole_number(value: object) -> None:
    with pytest.raises(sealing.Unusable):
        sealing.whole_number(value)


def test_parts_of_another_kind_are_refused_although_the_checksum_is_right() -> None:
    text = sealing.seal({}, {}).replace('"state": {}', '"state": []')
    found = json.loads(text)
    found.pop("checksum")
    resealed = {**found, "checksum": sealing._checksum(found)}
    with pytest.raises(sealing.Unusable, match="not a checkpoint"):
        sealing.unseal(json.dumps(resealed).encode())
