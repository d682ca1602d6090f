"""Streams for tests: records in the form of the table's stream, and faults of the Streams service."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.streams import reader as stream_reader
from cruddur_cli.dynamodb.streams.checkpoints import Position
from tests.dynamodb.rows import ME, OTHER, Item, group_row, message_row, write
from tests.faults import Struck


@contextmanager
def streaming(dynamodb: DynamoDB) -> Iterator[stream_reader.Stream]:
    """Turn on the table's stream."""
    tables.enable_stream(dynamodb, say=lambda _: None)
    with stream_reader.opened(dynamodb) as source:
        yield source


def write_in_turn(dynamodb: DynamoDB, items: Iterable[Item]) -> None:
    """Put items one batch at a time. DynamoDB Local writes few items at once into a table with a stream, and blocks
    other requests for longer than a client waits."""
    ahead = iter(items)
    while batch := list(islice(ahead, 25)):
        write(dynamodb, batch)


def read_all(
    source: stream_reader.Stream, positions: dict[str, Position] | None = None, *, page: int = stream_reader.PAGE
) -> list[Any]:
    """Every record after the positions; it moves the positions after them."""
    reader = stream_reader.Reader(source, {} if positions is None else positions, page=page)
    found: list[Any] = []
    more = True
    while more:
        more = False
        for batch in reader.batches(thorough=True):
            found += batch.records
            reader.commit(batch)
            more = more or not batch.caught_up or batch.closed
    return found


def record(number: int, item: Item, *, event: str = "INSERT", **changed: Any) -> dict[str, Any]:
    """A record of a Lambda event for one item; ``changed`` replaces parts of the record."""
    about: dict[str, Any] = {
        "ApproximateCreationDateTime": 1_795_176_000 + number,
        "Keys": {name: item[name] for name in ("pk", "sk")},
        "NewImage": item,
        "SequenceNumber": f"{number:030d}",
        "SizeBytes": 1,
        "StreamViewType": "NEW_IMAGE",
    }
    about |= changed
    return {
        "eventID": str(number),
        "eventName": event,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {name: value for name, value in about.items() if value is not None},
        "eventSourceARN": "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-11-20T10:00:00.000",
    }


def minute(number: int) -> str:
    """The sort key of a minute, counted by its number."""
    return f"2026-11-20T{10 + number // 60:02}:{number % 60:02}:00.000000+00:00"


def hundred(poisoned: int | None = None) -> list[dict[str, Any]]:
    """A batch of a hundred messages of one conversation, of which one may be malformed (counted from 1)."""
    records = [record(n, message_row(minute(n), f"message {n}", sender=(ME, OTHER)[n % 2])) for n in range(1, 101)]
    if poisoned is not None:
        records[poisoned - 1]["dynamodb"]["NewImage"] = {"pk": {"S": "MSG#"}, "sk": {"N": "1"}}
    return records


def both_rows(text: str = "old", sk: str = minute(0)) -> list[Item]:
    """The two group rows of the conversation."""
    return [group_row(ME, OTHER, sk, text), group_row(OTHER, ME, sk, text)]


def group_texts(items: list[Item]) -> list[tuple[str, str]]:
    """Time and text of each group row among items."""
    return [(item["sk"]["S"], item["message"]["S"]) for item in items if item["pk"]["S"].startswith("GRP#")]


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._content


def strikes(client: Any, operation: str, code: str, *, times: int, after: int = 0) -> Struck:
    """Answer ``times`` requests of an operation, after the first ``after`` ones, with an error of Streams."""
    struck, left = Struck(), iter(range(after))
    body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "injected"}).encode()

    def strike(request: Any, **_: Any) -> AWSResponse | None:
        if next(left, None) is not None or not struck.hit(times):
            return None
        return AWSResponse(request.url, 400, HTTPHeaders(), _Body(body))

    client.meta.events.register(f"before-send.dynamodbstreams.{operation}", strike)
    return struck


def shard_id(name: str) -> str:
    """A shard id with the required length."""
    return f"shardId-{name:->24}"


class Shards:
    """A simulated stream with shards that have parents, and pages of shards, which no local engine has.

    ``plan`` is each shard's parent and pages of records; a shard that is not named in ``open_shards`` is closed.
    """

    def __init__(
        self, client: Any, plan: dict[str, tuple[str | None, list[list[Any]]]], *, open_shards: set[str], page: int = 2
    ) -> None:
        self.plan = {
            shard_id(name): (shard_id(parent) if parent else None, pages) for name, (parent, pages) in plan.items()
        }
        self.open_shards, self.page = set(map(shard_id, open_shards)), page
        self.read: list[str] = []
        self.limits: list[int] = []
        self.iterators = 0
        self.first: str | None = "0" * 21
        self.listings = 0
        for operation in ("DescribeStream", "GetShardIterator", "GetRecords"):
            client.meta.events.register(f"before-call.dynamodbstreams.{operation}", getattr(self, operation))

    def DescribeStream(self, params: dict[str, Any], **_: Any) -> Any:
        names = list(self.plan)
        asked = json.loads(params["body"])
        first = names.index(asked["ExclusiveStartShardId"]) + 1 if "ExclusiveStartShardId" in asked else 0
        shown = names[first : first + self.page]
        self.listings += 1
        found: dict[str, Any] = {"StreamStatus": "ENABLED", "Shards": [self._shard(name) for name in shown]}
        if shown and shown[-1] != names[-1]:
            found["LastEvaluatedShardId"] = shown[-1]
        return _answer({"StreamDescription": found})

    def _shard(self, name: str) -> dict[str, Any]:
        numbers = {"StartingSequenceNumber": self.first} if self.first else {}
        if name not in self.open_shards:
            numbers["EndingSequenceNumber"] = "9" * 21
        parent = self.plan[name][0]
        return {"ShardId": name, "SequenceNumberRange": numbers} | ({"ParentShardId": parent} if parent else {})

    def GetShardIterator(self, params: dict[str, Any], **_: Any) -> Any:
        asked = json.loads(params["body"])
        self.iterators += 1
        pages, begin = self.plan[asked["ShardId"]][1], 0
        if asked["ShardIteratorType"] == "LATEST":
            begin = len(pages)
        for number, page in enumerate(pages):
            if page and page[-1]["dynamodb"]["SequenceNumber"] == asked.get("SequenceNumber"):
                begin = number + 1
        return _answer({"ShardIterator": f"{asked['ShardId']}:{begin}"})

    def GetRecords(self, params: dict[str, Any], **_: Any) -> Any:
        asked = json.loads(params["body"])
        name, _, number = asked["ShardIterator"].rpartition(":")
        pages = self.plan[name][1]
        page = pages[int(number)] if int(number) < len(pages) else []
        self.read.append(name)
        self.limits.append(asked["Limit"])
        following = min(int(number) + 1, len(pages))
        ended = following >= len(pages) and name not in self.open_shards
        return _answer({"Records": page} | ({} if ended else {"NextShardIterator": f"{name}:{following}"}))


def _answer(parsed: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    http = AWSResponse("", 200, HTTPHeaders(), _Body(b""))
    return http, {**parsed, "ResponseMetadata": {"HTTPHeaders": {}, "HTTPStatusCode": 200}}
