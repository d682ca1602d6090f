"""Read the table's stream, shard by shard, from positions that a checkpoint can hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ...aws_client import client as aws_client
from ...errors import CannotConnect, NotFound, Refused
from .. import tables
from ..client import DynamoDB
from .checkpoints import Lost, Position

# "GetRecords": a page has at most 1,000 records or 1 MB. A batch is applied as a whole, and then its position is saved.
PAGE = 1000
BATCH = 10_000
_BATCH_PAGES = 16
# A page can be empty although the shard has more records. After this many empty pages in a row, a shard counts as read.
_EMPTY_PAGES = 5
_EMPTY_PAUSE_S = 0.25
_WITH_NEW_IMAGE = {"NEW_IMAGE", "NEW_AND_OLD_IMAGES"}


@dataclass(frozen=True)
class Stream:
    """The opened stream of one table."""

    client: Any
    at: aws_client.Endpoint
    arn: str
    table: str

    def call(self, operation: str, **params: Any) -> Any:
        """The answer to one request, as of ``aws_client.call``. It retries if the shard has too many readers."""
        backoff = aws_client.Backoff(unreachable_s=self.at.unreachable_s)
        while True:
            try:
                return aws_client.call(self.client, operation, params, at=self.at, backoff=backoff)
            except Refused as error:
                if _code(error) != "LimitExceededException" or not backoff.wait():
                    raise


@dataclass(frozen=True)
class Shard:
    """One shard of a stream; ``first`` is its first sequence number, or None."""

    shard_id: str
    parent: str | None
    first: str | None
    closed: bool


@dataclass(frozen=True)
class Batch:
    """Records of one shard in their order, and the shard's position after them.

    ``caught_up`` means that the shard had no more records when the batch was read, ``closed`` that it gets no more.
    """

    shard_id: str
    records: list[Any]
    position: Position
    caught_up: bool
    closed: bool


@contextmanager
def opened(dynamodb: DynamoDB, *, trace: Callable[[str], None] | None = None) -> Iterator[Stream]:
    """The stream of the table; closed at the end.

    Raises NotFound if the table has no stream, and Refused if the stream's records lack the new image. Streams are a
    service of their own ("DynamoDB Streams endpoints"). The client gets the endpoint of the table, because botocore's
    variables for DynamoDB's endpoint do not apply to Streams.
    """
    raw = dynamodb.call("describe_table", TableName=dynamodb.table)["Table"]
    view = (raw.get("StreamSpecification") or {}).get("StreamViewType")
    if view is None or not raw.get("LatestStreamArn"):
        raise NotFound(
            f"Table {dynamodb.table!r} on {dynamodb.at.label} has no stream.",
            hint="cruddur ddb schema-load --stream",
            code="stream_not_found",
        )
    if view not in _WITH_NEW_IMAGE:
        raise Refused(
            f"The stream of table {dynamodb.table!r} has the view type {view}, which lacks the new image.",
            hint=f"{tables.stream_off(dynamodb.table, dynamodb.at.url)} && cruddur ddb schema-load --stream",
            code="stream_view",
        )
    at = replace(dynamodb.at, service="dynamodbstreams", label=f"the stream of {dynamodb.table} on {dynamodb.at.label}")
    with aws_client.opened(at, trace=trace) as client:
        yield Stream(client, at, raw["LatestStreamArn"], dynamodb.table)


def shards(stream: Stream) -> list[Shard]:
    """Every shard of the stream, parents before their children. Raises NotFound if the stream no longer exists."""
    by_id: dict[str, Shard] = {}
    params: dict[str, Any] = {"StreamArn": stream.arn}
    while True:
        try:
            answer = stream.call("describe_stream", **params)["StreamDescription"]
        except NotFound as error:
            raise _gone(stream) from error
        for raw in answer.get("Shards", []):
            numbers = raw.get("SequenceNumberRange", {})
            by_id[raw["ShardId"]] = Shard(
                raw["ShardId"],
                raw.get("ParentShardId"),
                numbers.get("StartingSequenceNumber"),
                "EndingSequenceNumber" in numbers,
            )
        last = answer.get("LastEvaluatedShardId")
        if not last:
            break
        params["ExclusiveStartShardId"] = last
    ordered: dict[str, Shard] = {}
    for shard in by_id.values():
        lineage = [shard]
        while lineage[-1].parent in by_id and lineage[-1].parent not in ordered and len(lineage) <= len(by_id):
            lineage.append(by_id[lineage[-1].parent])
        ordered |= {each.shard_id: each for each in reversed(lineage)}
    return list(ordered.values())


@dataclass(frozen=True)
class _Iterator:
    """A shard iterator, and the first sequence number that its shard had when the iterator was created."""

    iterator: str
    first: str | None


class Reader:
    """Reads a stream batch by batch.

    ``positions`` is the committed position of each shard, ``lost`` the places where records expired before they were
    read. ``latest`` begins after the newest record. The caller calls ``commit`` for each batch; after a failure, the
    records since the last commit are read again.
    """

    def __init__(
        self, stream: Stream, positions: dict[str, Position], *, latest: bool = False, page: int = PAGE
    ) -> None:
        self.stream = stream
        self.positions = positions
        self.lost: list[Lost] = []
        self.stuck: set[str] = set()
        self._latest = latest
        self._page_size = page
        self._iterators: dict[str, _Iterator] = {}
        self._ahead: dict[str, Position] = {}
        # A local engine returns every record in the first page, so that one empty page is enough.
        self._empty_pages = 1 if stream.at.url else _EMPTY_PAGES

    def batches(self, *, thorough: bool = False, limit: int = BATCH) -> Iterator[Batch]:
        """Read every shard that can be read now, once; yield one batch for each, perhaps without records.

        A child shard is read only after its parent is closed and committed ("Reading and processing a stream"). With
        ``thorough``, a shard counts as read only after several empty pages. A batch has at most ``limit`` records.
        Raises NotFound if the stream no longer exists.
        """
        listed = shards(self.stream)
        self._compare_shards(listed)
        names = {shard.shard_id for shard in listed}
        for shard in listed:
            if self._position(shard.shard_id).done or shard.shard_id in self.stuck:
                continue
            if shard.parent in names and not self._position(shard.parent).done:
                continue
            try:
                yield self._read(shard, self._empty_pages if thorough else 1, limit)
            except BaseException:
                self._forget(shard.shard_id)
                raise

    def finished(self) -> bool:
        """Whether every known shard is closed, and was committed to its end."""
        return bool(self.positions) and all(position.done for position in self.positions.values())

    def commit(self, batch: Batch) -> None:
        """Save the position after a batch whose records were all applied."""
        self.positions[batch.shard_id] = batch.position

    def commit_part(self, batch: Batch, position: Position | None) -> None:
        """Save the ``position`` up to which a batch was applied (None: not at all), and read its shard no more."""
        self.stuck.add(batch.shard_id)
        if position is not None:
            self.positions[batch.shard_id] = position
        self._forget(batch.shard_id)

    def _position(self, shard_id: str | None) -> Position:
        return self.positions.get(shard_id or "", Position())

    def _forget(self, shard_id: str) -> None:
        self._iterators.pop(shard_id, None)
        self._ahead.pop(shard_id, None)

    def _compare_shards(self, listed: list[Shard]) -> None:
        """Update the positions for shards that are new, that no longer exist, or that were emptied.

        An iterator is dropped if the shard's records are not those for which it was created.
        """
        if self._latest:
            self._latest = False
            self.positions |= {each.shard_id: Position(newest=True, done=each.closed) for each in listed}
        names = {shard.shard_id for shard in listed}
        for shard_id in [shard_id for shard_id in self.positions if shard_id not in names]:
            position = self.positions.pop(shard_id)
            self._forget(shard_id)
            if not position.done:
                self.lost.append(Lost(shard_id, position.after, position.at))
        for shard in listed:
            self.positions.setdefault(shard.shard_id, Position())
            iterator = self._iterators.get(shard.shard_id)
            if iterator is None:
                continue
            # An iterator of the embedded engine counts records, and the engine loses its stream when it restarts. An
            # older iterator would then skip the first new records. The shard's first sequence number shows the restart.
            after = self._position(shard.shard_id).after
            emptied = after is not None and (shard.first is None or int(shard.first) > int(after))
            if emptied or (iterator.first is not None and iterator.first != shard.first):
                self._forget(shard.shard_id)
            elif iterator.first is None:
                self._iterators[shard.shard_id] = replace(iterator, first=shard.first)

    def _read(self, shard: Shard, empty_pages: int, limit: int) -> Batch:
        records: list[Any] = []
        empty = pages = 0
        while True:
            answer = self._page(shard, limit - len(records))
            page = answer["Records"]
            records += page
            pages += 1
            position = self._ahead[shard.shard_id]
            if page:
                last = page[-1]["dynamodb"]
                position = Position(last["SequenceNumber"], last.get("ApproximateCreationDateTime"))
            following = answer.get("NextShardIterator")
            closed = following is None
            self._ahead[shard.shard_id] = position = replace(position, done=closed)
            if closed:
                self._iterators.pop(shard.shard_id)
            else:
                self._iterators[shard.shard_id] = _Iterator(following, self._iterators[shard.shard_id].first)
            empty = 0 if page else empty + 1
            # A closed shard has a last page. The end of an open one can only be guessed from empty pages.
            caught_up = closed or (empty >= empty_pages and not shard.closed)
            if caught_up or len(records) >= limit or pages >= _BATCH_PAGES:
                return Batch(shard.shard_id, records, position, caught_up, closed)
            if not page and not shard.closed:
                time.sleep(_EMPTY_PAUSE_S)

    def _page(self, shard: Shard, limit: int) -> Any:
        """One answer of GetRecords. It replaces an expired iterator, and adds expired records to ``lost``."""
        for _ in range(5):
            position = self._ahead.setdefault(shard.shard_id, self._position(shard.shard_id))
            iterator = self._iterators.get(shard.shard_id)
            try:
                if iterator is None:
                    created = self._create_iterator(shard, position)
                    iterator = self._iterators[shard.shard_id] = _Iterator(created, shard.first)
                page_limit = min(self._page_size, limit)
                return self.stream.call("get_records", ShardIterator=iterator.iterator, Limit=page_limit)
            except NotFound:
                # The stream existed a moment ago, so this shard expired: its last record is a day old.
                self._lose(shard, position)
                self._iterators[shard.shard_id] = _Iterator("", None)
                return {"Records": []}
            except Refused as error:
                self._iterators.pop(shard.shard_id, None)
                if _code(error) == "ExpiredIteratorException":
                    continue
                # DynamoDB Local reports a sequence number that it no longer has as invalid.
                is_unknown = _code(error) == "ValidationException" and iterator is None and position.after is not None
                if _code(error) != "TrimmedDataAccessException" and not is_unknown:
                    raise
                self._lose(shard, position)
        raise CannotConnect(
            f"{self.stream.at.label} returned only expired iterators.", hint="run the same command again"
        )

    def _lose(self, shard: Shard, position: Position) -> None:
        self.lost.append(Lost(shard.shard_id, position.after, position.at))
        self._ahead[shard.shard_id] = Position()

    def _create_iterator(self, shard: Shard, position: Position) -> str:
        start: dict[str, str] = {"ShardIteratorType": "TRIM_HORIZON"}
        if position.after is not None:
            start = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": position.after}
        elif position.newest:
            start = {"ShardIteratorType": "LATEST"}
            # A second LATEST would skip the records in between. So the next iterator starts at the oldest record: to
            # apply a record twice changes nothing.
            self.positions[shard.shard_id] = self._ahead[shard.shard_id] = Position()
        answer = self.stream.call("get_shard_iterator", StreamArn=self.stream.arn, ShardId=shard.shard_id, **start)
        return str(answer["ShardIterator"])


def _gone(stream: Stream) -> NotFound:
    return NotFound(
        f"{stream.at.label} no longer exists: the table was dropped, or its stream was turned off.",
        hint="cruddur ddb describe-table",
        code="stream_gone",
    )


def _code(error: Refused) -> object:
    return error.fields.get("aws_code")
