"""The stream is read completely and in order, with many pages, parent shards, expired iterators and expired records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB, opened
from cruddur_cli.dynamodb.streams import checkpoints as stream_checkpoints
from cruddur_cli.dynamodb.streams import processor, records
from cruddur_cli.dynamodb.streams import reader as stream_reader
from cruddur_cli.dynamodb.streams.checkpoints import Position
from cruddur_cli.errors import BadInput, CannotConnect, NotFound, Refused
from cruddur_cli.local import stack
from tests import faults
from tests.dynamodb.rows import everything, message_row, write
from tests.dynamodb.shards import (
    Shards,
    both_rows,
    group_texts,
    minute,
    read_all,
    record,
    shard_id,
    streaming,
    strikes,
    write_in_turn,
)

NUMBER = "0" * 29 + "1"


@pytest.fixture
def source(dynamodb: DynamoDB) -> Iterator[stream_reader.Stream]:
    with streaming(dynamodb) as found:
        yield found


def shown(found: list[object]) -> list[str]:
    return [records.describe(each).item["message"] for each in found]


def names(count: int, begin: int = 0) -> list[str]:
    return [f"message {n}" for n in range(begin, begin + count)]


def write_messages(dynamodb: DynamoDB, count: int, begin: int = 0) -> None:
    for n in range(begin, begin + count):
        item = message_row(minute(n), f"message {n}")
        dynamodb.call("put_item", TableName=dynamodb.table, Item=item)


def test_a_table_without_a_stream_says_how_to_get_one(dynamodb: DynamoDB) -> None:
    with pytest.raises(NotFound, match="has no stream") as raised, stream_reader.opened(dynamodb):
        pass
    assert raised.value.hint == "cruddur ddb schema-load --stream"


@pytest.mark.parametrize("missing", ["StreamSpecification", "LatestStreamArn"])
def test_a_stream_that_is_off_or_does_not_exist_yet_is_not_found(
    dynamodb: DynamoDB, source: stream_reader.Stream, missing: str
) -> None:
    assert source.arn
    faults.table_looks(dynamodb.client, lambda table: table.pop(missing))
    with pytest.raises(NotFound, match="has no stream"), stream_reader.opened(dynamodb):
        pass


def test_a_stream_is_turned_on_once_on_an_existing_table(dynamodb: DynamoDB) -> None:
    assert tables.enable_stream(dynamodb, say=lambda _: None, dry_run=True)
    assert tables.describe(dynamodb).stream is None
    assert tables.enable_stream(dynamodb, say=lambda _: None)
    assert not tables.enable_stream(dynamodb, say=lambda _: None)
    assert tables.describe(dynamodb).stream == "NEW_IMAGE"


def test_a_table_is_created_with_a_stream(dynamodb: DynamoDB) -> None:
    tables.drop(dynamodb, say=lambda _: None)
    tables.create(dynamodb, stream=True, say=lambda _: None)
    assert tables.describe(dynamodb).stream == "NEW_IMAGE"


def test_a_stream_with_only_keys_is_refused(dynamodb: DynamoDB) -> None:
    view = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    dynamodb.call("update_table", TableName=dynamodb.table, StreamSpecification=view)
    tables.wait_ready(dynamodb, say=lambda _: None)
    with pytest.raises(Refused, match="KEYS_ONLY"), stream_reader.opened(dynamodb):
        pass
    with pytest.raises(Refused, match="KEYS_ONLY"):
        tables.enable_stream(dynamodb, say=lambda _: None)


def test_every_record_comes_once_in_order_over_many_pages(dynamodb: DynamoDB, source: stream_reader.Stream) -> None:
    write_in_turn(dynamodb, (message_row(minute(n), f"message {n}", group=str(n // 50)) for n in range(120)))
    found = read_all(source, page=10)
    assert sorted(shown(found)) == sorted(names(120))
    numbers = [records.sequence_number(each) for each in found]
    assert numbers == sorted(set(numbers))


def test_reading_continues_at_a_position(dynamodb: DynamoDB, source: stream_reader.Stream) -> None:
    kept: dict[str, Position] = {}
    write_messages(dynamodb, 3)
    assert shown(read_all(source, kept)) == names(3)
    assert read_all(source, kept) == []
    write_messages(dynamodb, 2, 3)
    text = stream_checkpoints.encode(kept, stream=source.arn, table=source.table)
    again = stream_checkpoints.decode(text.encode(), stream=source.arn, source="f")
    assert again == kept
    assert shown(read_all(source, again)) == names(2, 3)


def test_latest_reads_only_records_that_come_later(dynamodb: DynamoDB, source: stream_reader.Stream) -> None:
    write_messages(dynamodb, 3)
    reader = stream_reader.Reader(source, {}, latest=True)
    assert [each for batch in reader.batches() for each in batch.records] == []
    write_messages(dynamodb, 2, 3)
    (batch,) = reader.batches()
    assert shown(batch.records) == names(2, 3)
    reader.commit(batch)
    write_messages(dynamodb, 1, 5)
    for _ in range(2):
        assert len(list(reader.batches())) == 1
    assert reader.positions == {batch.shard_id: batch.position}, "later looks begin where the first one ended"
    assert shown(read_all(source, dict(reader.positions))) == names(1, 5)


@pytest.mark.parametrize(("page", "pages"), [(2, [2, 1]), (10, [3])])
def test_a_batch_has_as_many_records_as_it_may(
    dynamodb: DynamoDB, source: stream_reader.Stream, page: int, pages: list[int]
) -> None:
    write_messages(dynamodb, 5)
    asked: list[int] = []
    source.client.meta.events.register(
        "provide-client-params.dynamodbstreams.GetRecords", lambda params, **_: asked.append(params["Limit"])
    )
    reader = stream_reader.Reader(source, {}, page=page)
    (batch,) = reader.batches(limit=3)
    assert (shown(batch.records), batch.caught_up, asked) == (names(3), False, pages)
    reader.commit(batch)
    (batch,) = reader.batches(limit=3)
    assert (shown(batch.records), batch.caught_up) == (names(2, 3), True)


def test_records_that_are_not_committed_are_read_again(dynamodb: DynamoDB, source: stream_reader.Stream) -> None:
    write_messages(dynamodb, 5)
    reader = stream_reader.Reader(source, {})
    with pytest.raises(ZeroDivisionError):
        for _ in reader.batches():
            raise ZeroDivisionError
    # The consumer's own exception does not reach the generator, so the next look asks for the same place.
    again = stream_reader.Reader(source, reader.positions)
    assert shown([each for batch in again.batches() for each in batch.records]) == names(5)


def test_an_expired_iterator_is_replaced_after_the_last_record(
    dynamodb: DynamoDB, source: stream_reader.Stream
) -> None:
    reader = stream_reader.Reader(source, {})
    write_messages(dynamodb, 3)
    found = [each for batch in reader.batches() for each in batch.records]
    struck = strikes(source.client, "GetRecords", "ExpiredIteratorException", times=1)
    write_messages(dynamodb, 2, 3)
    found += [each for batch in reader.batches() for each in batch.records]
    assert struck.count == 1
    assert shown(found) == names(5)
    assert reader.lost == []


def test_an_iterator_that_expires_between_pages_loses_nothing(dynamodb: DynamoDB, source: stream_reader.Stream) -> None:
    write_in_turn(dynamodb, (message_row(minute(n), f"message {n}", group=str(n // 50)) for n in range(60)))
    struck = strikes(source.client, "GetRecords", "ExpiredIteratorException", times=1, after=1)
    assert sorted(shown(read_all(source, page=20))) == sorted(names(60))
    assert struck.count == 1


def test_the_reader_gives_up_if_every_iterator_expires(dynamodb: DynamoDB, source: stream_reader.Stream) -> None:
    write_messages(dynamodb, 1)
    struck = strikes(source.client, "GetRecords", "ExpiredIteratorException", times=100)
    with pytest.raises(CannotConnect, match="returned only expired iterators"):
        list(stream_reader.Reader(source, {}).batches())
    assert struck.count == 5


def test_a_shard_that_expires_while_it_is_read_is_reported(dynamodb: DynamoDB, source: stream_reader.Stream) -> None:
    write_messages(dynamodb, 3)
    ((shard_id, _),) = [(each.shard_id, each.first) for each in stream_reader.shards(source)]
    first = records.sequence_number(read_all(source)[0])
    strikes(source.client, "GetRecords", "ResourceNotFoundException", times=1)
    reader = stream_reader.Reader(source, {shard_id: Position(first)})
    (batch,) = reader.batches()
    assert (batch.records, batch.caught_up, batch.closed) == ([], True, True)
    assert [(lost.shard_id, lost.after) for lost in reader.lost] == [(shard_id, first)]


@pytest.mark.parametrize(
    ("operation", "is_known", "is_lost"),
    [("GetShardIterator", True, True), ("GetShardIterator", False, False), ("GetRecords", True, False)],
)
def test_only_an_invalid_sequence_number_means_an_expired_record(
    dynamodb: DynamoDB, source: stream_reader.Stream, operation: str, is_known: bool, is_lost: bool
) -> None:
    write_messages(dynamodb, 3)
    ((shard_id, _),) = [(each.shard_id, each.first) for each in stream_reader.shards(source)]
    first = records.sequence_number(read_all(source)[0])
    struck = strikes(source.client, operation, "ValidationException", times=1)
    reader = stream_reader.Reader(source, {shard_id: Position(first)} if is_known else {})
    if is_lost:
        assert shown([each for batch in reader.batches() for each in batch.records]) == names(3)
        assert [lost.after for lost in reader.lost] == [first]
    else:
        with pytest.raises(Refused):
            list(reader.batches())
        assert reader.lost == []
    assert struck.count == 1


def test_other_errors_of_a_stream_are_raised(dynamodb: DynamoDB, source: stream_reader.Stream) -> None:
    write_messages(dynamodb, 1)
    strikes(source.client, "GetShardIterator", "AccessDeniedException", times=1)
    reader = stream_reader.Reader(source, {shard.shard_id: Position(NUMBER) for shard in stream_reader.shards(source)})
    with pytest.raises(Refused):
        list(reader.batches())
    assert reader.lost == []


@pytest.mark.parametrize("operation", ["GetShardIterator", "GetRecords"])
def test_expired_records_are_reported_and_the_rest_is_read(
    dynamodb: DynamoDB, source: stream_reader.Stream, operation: str
) -> None:
    write_messages(dynamodb, 4)
    ((shard_id, _),) = [(each.shard_id, each.first) for each in stream_reader.shards(source)]
    first = records.sequence_number(read_all(source)[0])
    struck = strikes(source.client, operation, "TrimmedDataAccessException", times=1)
    reader = stream_reader.Reader(source, {shard_id: Position(first)})
    found = [each for batch in reader.batches() for each in batch.records]
    assert struck.count == 1
    assert shown(found) == names(4), "from the oldest record there is: twice does no harm, left out would"
    (lost,) = reader.lost
    assert (lost.shard_id, lost.after) == (shard_id, first)
    assert f"after {first}" in str(lost)


def test_a_checkpoint_whose_records_expired_continues_with_the_oldest(
    dynamodb: DynamoDB, source: stream_reader.Stream
) -> None:
    write_messages(dynamodb, 2)
    (shard,) = stream_reader.shards(source)
    reader = stream_reader.Reader(source, {shard.shard_id: Position(NUMBER)})
    assert shown([each for batch in reader.batches() for each in batch.records]) == names(2)
    assert [lost.after for lost in reader.lost] == [NUMBER]


def test_too_many_readers_are_waited_for(dynamodb: DynamoDB, source: stream_reader.Stream) -> None:
    write_messages(dynamodb, 1)
    struck = strikes(source.client, "GetRecords", "LimitExceededException", times=2)
    assert shown(read_all(source)) == names(1)
    assert struck.count == 2


def test_a_stream_that_was_dropped_ends(dynamodb: DynamoDB, source: stream_reader.Stream) -> None:
    write_messages(dynamodb, 2)
    reader = stream_reader.Reader(source, {})
    for batch in reader.batches():
        reader.commit(batch)
    tables.drop(dynamodb, say=lambda _: None)
    try:
        for _ in range(20):
            for batch in reader.batches():
                reader.commit(batch)
        assert reader.finished()
    except NotFound as error:
        assert "no longer exists" in error.message
    tables.create(dynamodb, say=lambda _: None)


# What no local engine has: several shards. They are answered in place of the engine, by the shapes of its answers.


def page(*numbers: int) -> list[object]:
    return [record(n, message_row(minute(n), f"message {n}")) for n in numbers]


def test_parents_come_before_their_children_over_pages_of_shards(source: stream_reader.Stream) -> None:
    made = Shards(
        source.client,
        {
            "grandchild": ("child-1", [page(6), []]),
            "child-1": ("parent", [page(4), page(5)]),
            "child-2": ("parent", [page(40)]),
            "parent": (None, [page(1), [], page(2, 3)]),
            "orphan": ("long gone", [page(50)]),
        },
        open_shards={"grandchild"},
    )
    found = shown(read_all(source))
    assert sorted(found) == sorted([*names(6, 1), "message 40", "message 50"])
    assert found.index("message 3") < min(found.index("message 4"), found.index("message 40"))
    assert found.index("message 5") < found.index("message 6")
    assert made.listings >= 3, "two shards a page"


def test_an_empty_page_is_not_the_end_of_a_closed_shard(source: stream_reader.Stream) -> None:
    Shards(source.client, {"one": (None, [[], [], page(1), [], page(2)])}, open_shards=set())
    assert shown(read_all(source)) == names(2, 1)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the pauses of a reader instead of making them."""
    found: list[float] = []
    monkeypatch.setattr(stream_reader, "time", SimpleNamespace(sleep=found.append))
    return found


EMPTY: list[object] = []


def on_aws(source: stream_reader.Stream) -> stream_reader.Stream:
    """The stream as on AWS, where records can follow an empty page."""
    return replace(source, at=replace(source.at, url=None))


def test_an_open_shard_on_aws_is_at_its_end_after_five_empty_pages(
    source: stream_reader.Stream, pauses: list[float]
) -> None:
    made = Shards(source.client, {"one": (None, [*[EMPTY] * 4, page(1), *[EMPTY] * 9])}, open_shards={"one"})
    (batch,) = stream_reader.Reader(on_aws(source), {}).batches(thorough=True)
    assert (shown(batch.records), batch.caught_up, batch.closed) == (names(1, 1), True, False)
    assert (len(made.read), pauses) == (4 + 1 + 5, [0.25] * 8)


def test_reading_an_open_shard_ends_with_an_empty_page(source: stream_reader.Stream, pauses: list[float]) -> None:
    made = Shards(source.client, {"one": (None, [page(1), EMPTY, page(2), EMPTY])}, open_shards={"one"})
    reader = stream_reader.Reader(on_aws(source), {})
    for number in (1, 2):
        (batch,) = reader.batches()
        assert (shown(batch.records), batch.caught_up, batch.closed) == (names(1, number), True, False)
        assert len(made.read) == 2 * number
        reader.commit(batch)
    assert (pauses, made.iterators) == ([], 1)


def test_one_empty_page_of_a_local_engine_is_the_end(source: stream_reader.Stream, pauses: list[float]) -> None:
    made = Shards(source.client, {"one": (None, [page(1), EMPTY, page(2)])}, open_shards={"one"})
    (batch,) = stream_reader.Reader(source, {}).batches(thorough=True)
    assert (shown(batch.records), batch.caught_up) == (names(1, 1), True)
    assert (len(made.read), pauses) == (2, [])


@pytest.mark.parametrize(("length", "found"), [(1, 16), (1000, 10_000)])
def test_a_batch_ends_after_sixteen_pages_or_ten_thousand_records(
    source: stream_reader.Stream, length: int, found: int
) -> None:
    pages = [page(number) * length for number in range(20)]
    made = Shards(source.client, {"one": (None, pages)}, open_shards={"one"})
    (batch,) = stream_reader.Reader(source, {}).batches()
    assert (len(batch.records), batch.caught_up) == (found, False)
    assert set(made.limits) == {1000}


def test_a_closed_shard_is_at_its_end_with_its_last_page(source: stream_reader.Stream, pauses: list[float]) -> None:
    made = Shards(source.client, {"one": (None, [EMPTY, page(1)])}, open_shards=set())
    (batch,) = stream_reader.Reader(source, {}).batches()
    assert (shown(batch.records), batch.caught_up, batch.closed) == (names(1, 1), True, True)
    assert (len(made.read), pauses) == (2, [])


def test_an_iterator_is_used_until_its_shard_begins_elsewhere(source: stream_reader.Stream) -> None:
    made = Shards(source.client, {"one": (None, [page(0), EMPTY, EMPTY, EMPTY, EMPTY])}, open_shards={"one"})
    reader = stream_reader.Reader(source, {})
    for first, iterators in ((None, 1), ("0" * 21, 1), ("0" * 21, 1), ("0" * 20 + "9", 2), ("0" * 20 + "9", 2)):
        made.first = first
        for batch in reader.batches():
            if first is not None:
                reader.commit(batch)
        assert made.iterators == iterators
        reader.positions[shard_id("one")] = replace(reader.positions[shard_id("one")], after=None)


def test_a_shard_that_was_emptied_gets_another_iterator(source: stream_reader.Stream) -> None:
    made = Shards(source.client, {"one": (None, [page(5), EMPTY, EMPTY, EMPTY])}, open_shards={"one"})
    reader = stream_reader.Reader(source, {})
    for first, iterators in (("0" * 20 + "5", 1), ("0" * 20 + "5", 1), (None, 2)):
        made.first = first
        for batch in reader.batches():
            reader.commit(batch)
        assert (made.iterators, reader.positions[shard_id("one")].after) == (iterators, f"{5:030d}")


def test_a_part_of_a_batch_is_committed_and_its_shard_is_read_no_more(source: stream_reader.Stream) -> None:
    made = Shards(source.client, {"one": (None, [page(1, 2), EMPTY])}, open_shards={"one"})
    reader = stream_reader.Reader(source, {})
    (batch,) = reader.batches()
    for position in (Position(f"{1:030d}"), None):
        reader.commit_part(batch, position)
        assert reader.positions == {shard_id("one"): Position(f"{1:030d}")}
        read = len(made.read)
        assert list(reader.batches()) == []
        assert len(made.read) == read


def test_a_child_waits_for_a_parent_that_is_stuck(source: stream_reader.Stream) -> None:
    made = Shards(
        source.client,
        {"parent": (None, [page(1), page(2)]), "child": ("parent", [page(3)]), "other": (None, [page(9)])},
        open_shards={"child"},
        page=100,
    )
    reader = stream_reader.Reader(source, {})
    for batch in reader.batches():
        if batch.shard_id == shard_id("parent"):
            reader.commit_part(batch, None)
        else:
            reader.commit(batch)
    list(reader.batches())
    assert shard_id("child") not in made.read
    assert shard_id("other") in made.read
    again = stream_reader.Reader(source, {})
    assert shown(
        [each for batch in again.batches() if batch.shard_id == shard_id("parent") for each in batch.records]
    ) == [
        "message 1",
        "message 2",
    ]


def test_a_stream_is_finished_only_when_every_shard_is_done(source: stream_reader.Stream) -> None:
    done, reading = Position(NUMBER, done=True), Position(NUMBER)
    for positions, finished in (
        ({}, False),
        ({"one": reading}, False),
        ({"one": done, "two": reading}, False),
        ({"one": reading, "two": done}, False),
        ({"one": done, "two": done}, True),
    ):
        assert stream_reader.Reader(source, positions).finished() is finished


def test_a_shard_that_disappears_before_it_is_read_is_reported(source: stream_reader.Stream) -> None:
    Shards(source.client, {"new": ("old", [page(5)])}, open_shards={"new"})
    kept = {shard_id("old"): Position(NUMBER), shard_id("older"): Position("9" * 30, done=True)}
    reader = stream_reader.Reader(source, kept)
    found = [each for batch in reader.batches() for each in batch.records]
    assert shown(found) == ["message 5"]
    assert [(lost.shard_id, lost.after) for lost in reader.lost] == [(shard_id("old"), NUMBER)]
    assert set(reader.positions) == {shard_id("new")}


def test_a_closed_shard_is_done_once_and_for_all(source: stream_reader.Stream) -> None:
    made = Shards(source.client, {"one": (None, [page(1)])}, open_shards=set())
    kept: dict[str, Position] = {}
    read_all(source, kept)
    assert kept[shard_id("one")].done
    before = len(made.read)
    assert read_all(source, kept) == []
    assert len(made.read) == before


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"version": 2}', b'{"version":1,"stream":"a","shards":{"s":{"after":"1"}}}', b"\xff", b"{}"],
)
def test_a_file_that_is_not_a_checkpoint_is_refused(content: bytes) -> None:
    with pytest.raises(BadInput, match="cannot be used to resume"):
        stream_checkpoints.decode(content, stream="a", source="f")


def test_the_checkpoint_of_another_stream_is_none() -> None:
    assert (
        stream_checkpoints.decode(stream_checkpoints.encode({}, stream="a", table="t").encode(), stream="b", source="f")
        is None
    )


# An engine that goes away and comes back: the embedded one keeps the table and its stream.


@pytest.fixture
def own_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The endpoint of an embedded engine for one test only."""
    monkeypatch.setenv("CRUDDUR_HOME", str(tmp_path / "own"))
    endpoint = stack.up(postgres=False).aws_endpoint
    assert endpoint is not None
    yield endpoint
    stack.reset()


def test_a_restarted_engine_keeps_its_stream_and_no_record_is_skipped(own_engine: str) -> None:
    at = aws_client.Endpoint("dynamodb", own_engine, aws_client.LOCAL_REGION, "the engine")
    with opened(at, "restarted") as dynamodb:
        tables.create(dynamodb, stream=True, say=lambda _: None)
        write(dynamodb, both_rows())
        with stream_reader.opened(dynamodb) as source:
            reader = stream_reader.Reader(source, {})
            write_messages(dynamodb, 3, 1)
            for batch in reader.batches():
                processor.apply(dynamodb, batch.records)
                reader.commit(batch)
            write_messages(dynamodb, 2, 4)
            stack.down()
            with pytest.raises(CannotConnect):
                list(reader.batches())
            assert stack.up(postgres=False).aws_endpoint == own_engine
            write_messages(dynamodb, 4, 6)
            found = []
            for batch in reader.batches():
                found += batch.records
                processor.apply(dynamodb, batch.records)
                reader.commit(batch)
    # Group rows that the processor moved are in it too.
    said = [change.item["message"] for change in map(records.describe, found) if change.entity == "message"]
    assert (said, reader.lost) == (names(6, 4), [])
    with opened(at, "restarted") as dynamodb:
        assert group_texts(everything(dynamodb)) == [(minute(9), "message 9")] * 2


def test_deleted_items_and_malformed_records_are_described() -> None:
    assert records.describe(record(1, message_row(minute(1), "hello"))).entity == "message"
    gone = records.describe(record(2, message_row(minute(1), "hello"), event="REMOVE", NewImage=None))
    assert (gone.event, gone.entity, gone.item) == (
        "REMOVE",
        "message",
        {"pk": message_row("", "")["pk"]["S"], "sk": minute(1)},
    )
    for broken in (None, {}, {"dynamodb": 3}, {"dynamodb": {"NewImage": {"pk": {"X": 1, "Y": 2}}}}):
        assert json.dumps(records.describe(broken).item)
