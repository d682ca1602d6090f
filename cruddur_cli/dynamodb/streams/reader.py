"""Reads the table's stream: its shards in their lineage, page by page, from positions that can be kept."""

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

# "GetRecords": at most 1,000 records or 1 MB a page. A batch is what is applied before the position is kept.
PAGE = 1000
BATCH = 10_000
_BATCH_PAGES = 16
# A page may be empty although its shard holds more further on; so many in a row are taken as its end for now.
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
        """The answer to one request, as ``sdk.call``; more readers than a shard takes are waited for."""
        backoff = aws_client.Backoff(unreachable_s=self.at.unreachable_s)
        while True:
            try:
                return aws_client.call(self.client, operation, params, at=self.at, backoff=backoff)
            except Refused as error:
                if _code(error) != "LimitExceededException" or not backoff.wait():
                    raise


@dataclass(frozen=True)
class Shard:
    """One part of a stream; ``first`` is its first sequence number, where it has one."""

    shard_id: str
    parent: str | None
    first: str | None
    closed: bool


@dataclass(frozen=True)
class Batch:
    """Records of one shard in their order, and where it stands behind them.

    ``caught_up`` says that the shard had nothing more when the batch was read, ``closed`` that it never will.
    """

    shard_id: str
    records: list[Any]
    position: Position
    caught_up: bool
    closed: bool


@contextmanager
def opened(dynamodb: DynamoDB, *, trace: Callable[[str], None] | None = None) -> Iterator[Stream]:
    """The stream of the table; closed at the end. Raises NotFound where there is none, Refused for one of keys alone.

    Streams are a service of their own ("DynamoDB Streams endpoints"): the client gets the table's endpoint, because
    the variables that name it for botocore do not count for Streams.
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
    """Every shard there is, all pages, parents before their children. Raises NotFound when the stream is gone."""
    found: dict[str, Shard] = {}
    params: dict[str, Any] = {"StreamArn": stream.arn}
    while True:
        try:
            answer = stream.call("describe_stream", **params)["StreamDescription"]
        except NotFound as error:
            raise _gone(stream) from error
        for raw in answer.get("Shards", []):
            numbers = raw.get("SequenceNumberRange", {})
            found[raw["ShardId"]] = Shard(
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
    for shard in found.values():
        line = [shard]
        while line[-1].parent in found and line[-1].parent not in ordered and len(line) <= len(found):
            line.append(found[line[-1].parent])
        ordered |= {each.shard_id: each for each in reversed(line)}
    return list(ordered.values())


@dataclass(frozen=True)
class _Held:
    """An iterator, and the first sequence number that its shard had when it was got."""

    iterator: str
    first: str | None


class Reader:
    """Walks a stream. ``positions`` is how far each shard was dealt with, ``lost`` what it could not be given.

    A batch counts once ``commit`` is called; until then the same records are read again after any failure.
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
        self._held: dict[str, _Held] = {}
        self._ahead: dict[str, Position] = {}
        # Only a local engine answers at once with all that there is.
        self._empty_pages = 1 if stream.at.url else _EMPTY_PAGES

    def batches(self, *, thorough: bool = False, limit: int = BATCH) -> Iterator[Batch]:
        """One look at every shard that can be read now, a batch each, none where nothing is new.

        A child waits until its parent is closed and dealt with ("Reading and processing a stream"). ``thorough``
        believes that a shard has nothing more only after several empty pages. Raises NotFound when the stream is gone.
        """
        listed = shards(self.stream)
        self._notice(listed)
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
        """Whether every shard that is known was closed and dealt with."""
        return bool(self.positions) and all(position.done for position in self.positions.values())

    def commit(self, batch: Batch) -> None:
        """Everything in the batch was dealt with."""
        self.positions[batch.shard_id] = batch.position

    def commit_part(self, batch: Batch, position: Position | None) -> None:
        """The batch was dealt with up to ``position`` (None: not at all); its shard is not read from now on."""
        self.stuck.add(batch.shard_id)
        if position is not None:
            self.positions[batch.shard_id] = position
        self._forget(batch.shard_id)

    def _position(self, shard_id: str | None) -> Position:
        return self.positions.get(shard_id or "", Position())

    def _forget(self, shard_id: str) -> None:
        self._held.pop(shard_id, None)
        self._ahead.pop(shard_id, None)

    def _notice(self, listed: list[Shard]) -> None:
        """Take note of shards that came, went, or hold other records than those that their iterator was made for."""
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
            held = self._held.get(shard.shard_id)
            if held is None:
                continue
            # The embedded engine's iterators count records, and after a restart it counts again: one that was got
            # before would pass over what came first. It keeps no stream, so the shard then begins elsewhere.
            after = self._position(shard.shard_id).after
            emptied = after is not None and (shard.first is None or int(shard.first) > int(after))
            if emptied or (held.first is not None and held.first != shard.first):
                self._forget(shard.shard_id)
                if after is None:
                    self.positions[shard.shard_id] = Position()
            elif held.first is None:
                self._held[shard.shard_id] = replace(held, first=shard.first)

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
                about = page[-1]["dynamodb"]
                position = Position(about["SequenceNumber"], about.get("ApproximateCreationDateTime"))
            following = answer.get("NextShardIterator")
            closed = following is None
            self._ahead[shard.shard_id] = position = replace(position, done=closed)
            if closed:
                self._held.pop(shard.shard_id)
            else:
                self._held[shard.shard_id] = _Held(following, self._held[shard.shard_id].first)
            empty = 0 if page else empty + 1
            # A closed shard says where it ends; of an open one only empty pages tell.
            caught_up = closed or (empty >= empty_pages and not shard.closed)
            if caught_up or len(records) >= limit or pages >= _BATCH_PAGES:
                return Batch(shard.shard_id, records, position, caught_up, closed)
            if not page and not shard.closed:
                time.sleep(_EMPTY_PAUSE_S)

    def _page(self, shard: Shard, limit: int) -> Any:
        """One answer of GetRecords; iterators that ran out and records that are gone are got over, and remembered."""
        for _ in range(5):
            position = self._ahead.setdefault(shard.shard_id, self._position(shard.shard_id))
            held = self._held.get(shard.shard_id)
            try:
                if held is None:
                    held = self._held[shard.shard_id] = _Held(self._iterator(shard, position), shard.first)
                return self.stream.call("get_records", ShardIterator=held.iterator, Limit=min(self._page_size, limit))
            except NotFound:
                # The stream was there a moment ago, so it is this shard whose last record is a day old by now.
                self._lose(shard, position)
                self._held[shard.shard_id] = _Held("", None)
                return {"Records": []}
            except Refused as error:
                self._held.pop(shard.shard_id, None)
                if _code(error) == "ExpiredIteratorException":
                    continue
                # DynamoDB Local calls a sequence number that it no longer has invalid.
                unknown = _code(error) == "ValidationException" and held is None and position.after is not None
                if _code(error) != "TrimmedDataAccessException" and not unknown:
                    raise
                self._lose(shard, position)
        raise CannotConnect(
            f"{self.stream.at.label} returned only expired iterators.", hint="run the same command again"
        )

    def _lose(self, shard: Shard, position: Position) -> None:
        self.lost.append(Lost(shard.shard_id, position.after, position.at))
        self._ahead[shard.shard_id] = Position()

    def _iterator(self, shard: Shard, position: Position) -> str:
        how: dict[str, str] = {"ShardIteratorType": "TRIM_HORIZON"}
        if position.after is not None:
            how = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": position.after}
        elif position.newest:
            how = {"ShardIteratorType": "LATEST"}
            # Got again, LATEST would pass over what came between; reading something twice does no harm.
            self.positions[shard.shard_id] = self._ahead[shard.shard_id] = Position()
        answer = self.stream.call("get_shard_iterator", StreamArn=self.stream.arn, ShardId=shard.shard_id, **how)
        return str(answer["ShardIterator"])


def _gone(stream: Stream) -> NotFound:
    return NotFound(
        f"{stream.at.label} no longer exists: the table was dropped, or its stream was turned off.",
        hint="cruddur ddb describe-table",
        code="stream_gone",
    )


def _code(error: Refused) -> object:
    return error.fields.get("aws_code")
