"""Message ids are valid UUIDs of version 7, sort by time, and contain the time to the microsecond."""

from __future__ import annotations

import random
import uuid
from datetime import timedelta

import pytest

from cruddur_cli.dynamodb.conversations import message_ids
from tests.dynamodb.rows import utc

NOW = utc(2026, 11, 20, 10)
STEP = timedelta(microseconds=1)


def test_an_id_contains_the_microsecond_of_its_time() -> None:
    chance = random.Random(1)
    for microseconds in [*range(1000), *(chance.randrange(10**15) for _ in range(2000))]:
        moment = utc(2026, 11, 20) + timedelta(microseconds=microseconds)
        made = uuid.UUID(message_ids.generate(moment))
        assert (made.version, made.variant) == (7, uuid.RFC_4122)
        assert made.int >> 80 == int(moment.timestamp() * 1000 + 1e-6)
        assert message_ids.written_at(str(made)) == moment


def test_ids_sort_by_time_and_differ_at_one_time() -> None:
    ids = [message_ids.generate(NOW + n * STEP) for n in range(2000)]
    assert ids == sorted(ids)
    assert len({message_ids.generate(NOW) for _ in range(2000)}) == 2000


# Fixed ids: names of tests that differ between two processes keep the tests from being spread over them.
RANDOM, OF_A_TIME_AND_A_MACHINE = "1b4db7eb-4057-4ddf-91e0-36dec72071f5", "92a5b1d2-6c56-11f1-9c4e-0242ac120002"


@pytest.mark.parametrize("other", ["", "x", RANDOM, OF_A_TIME_AND_A_MACHINE, str(uuid.UUID(int=0)), "7" * 40])
def test_ids_of_other_kinds_contain_no_time(other: str) -> None:
    assert message_ids.written_at(other) is None


def test_ids_of_other_programs_are_read() -> None:
    # The example of RFC 9562, A.6: its 12 bits are random.
    assert message_ids.written_at("017F22E2-79B0-7CC3-98C4-DC0C0C07398F") == utc(2022, 2, 22, 19, 22, 22, 798)
    assert message_ids.written_at(str(uuid.UUID(int=(2**48 - 1) << 80 | 7 << 76 | 2 << 62))) is None
    most = str(uuid.UUID(int=7 << 76 | 0xFFF << 64 | 2 << 62))
    assert message_ids.written_at(most) == utc(1970, 1, 1, 0, 0, 0, 999)
