"""After kill -9 during writes, every acknowledged write exists with its ids."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from cruddur_cli.errors import Incomplete
from cruddur_cli.local import aws, stack
from cruddur_cli.local import home as homes
from tests.waiting import until

from .engines import TABLE, client

WRITERS = 4
KILLS = 5


class Run:
    """Threads that write items and users and read the stream, until the emulator has ended."""

    def __init__(self) -> None:
        self.items: dict[str, str] = {}
        self.users: dict[str, str] = {}
        self.records: list[tuple[str, str, str]] = []
        client("dynamodb").create_table(
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )
        self.pool = client("cognito-idp").create_user_pool(PoolName="cruddur")["UserPool"]["Id"]
        self.stream = client("dynamodbstreams").list_streams()["Streams"][0]["StreamArn"]
        self.iterator = self.oldest()

    def oldest(self) -> str:
        streams = client("dynamodbstreams")
        shard = streams.describe_stream(StreamArn=self.stream)["StreamDescription"]["Shards"][0]["ShardId"]
        iterator: str = streams.get_shard_iterator(
            StreamArn=self.stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        return iterator

    def put(self, dynamodb: Any, key: str) -> None:
        item = {"pk": {"S": key}, "value": {"S": key[::-1]}}
        dynamodb.put_item(TableName=TABLE, Item=item)
        self.items[key] = key[::-1]

    def transact(self, dynamodb: Any, key: str) -> None:
        item = {"pk": {"S": key}, "value": {"S": "first"}}
        put = {"TableName": TABLE, "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}
        dynamodb.transact_write_items(TransactItems=[{"Put": put}])
        self.items[key] = "first"
        update = {"UpdateExpression": "SET #v = :v", "ExpressionAttributeNames": {"#v": "value"}}
        dynamodb.update_item(
            TableName=TABLE, Key={"pk": {"S": key}}, **update, ExpressionAttributeValues={":v": {"S": "second"}}
        )
        self.items[key] = "second"

    def create_user(self, cognito: Any, name: str) -> None:
        user = cognito.admin_create_user(UserPoolId=self.pool, Username=name, MessageAction="SUPPRESS")["User"]
        self.users[name] = user["Attributes"][0]["Value"]

    def read(self, streams: Any, _: str) -> None:
        page = streams.get_records(ShardIterator=self.iterator)
        self.records += [key(record) for record in page["Records"]]
        self.iterator = page["NextShardIterator"]

    def until_killed(self, number: int, after_s: float) -> None:
        clients: list[tuple[Any, Callable[[Any, str], None]]] = [
            (client("dynamodb"), self.transact if writer % 2 else self.put) for writer in range(WRITERS)
        ]
        clients += [(client("cognito-idp"), self.create_user), (client("dynamodbstreams"), self.read)]
        threads = [
            threading.Thread(target=repeat, args=(verb, store, f"{number}-{index}"))
            for index, (store, verb) in enumerate(clients)
        ]
        for thread in threads:
            thread.start()
        time.sleep(after_s)
        kill()
        for thread in threads:
            thread.join(timeout=60)
            assert not thread.is_alive()

    def check(self) -> None:
        pages = client("dynamodb").get_paginator("scan").paginate(TableName=TABLE)
        stored = {item["pk"]["S"]: item["value"]["S"] for page in pages for item in page["Items"]}
        for name, value in self.items.items():
            # The update that nobody saw acknowledged may have been made as well.
            assert stored.get(name) == value or (value, stored.get(name)) == ("first", "second")
        pages = client("cognito-idp").get_paginator("list_users").paginate(UserPoolId=self.pool)
        subs = {user["Username"]: user["Attributes"][0]["Value"] for page in pages for user in page["Users"]}
        assert subs.items() >= self.users.items()
        found, iterator = [], self.oldest()
        while page := (answer := client("dynamodbstreams").get_records(ShardIterator=iterator))["Records"]:
            found += [key(record) for record in page]
            iterator = answer["NextShardIterator"]
        assert self.records == found[: len(self.records)], "what a reader has seen is there, in its place"
        assert [record[1] for record in found] == sorted({record[1] for record in found})
        assert {record[2] for record in found} == stored.keys()


def key(record: Any) -> tuple[str, str, str]:
    change = record["dynamodb"]
    return record["eventID"], change["SequenceNumber"], change["Keys"]["pk"]["S"]


def repeat(verb: Callable[[Any, str], None], store: Any, name: str) -> None:
    number = 0
    while True:
        try:
            verb(store, f"{name}-{number}")
        except (BotoCoreError, ClientError):
            return
        number += 1


def kill() -> None:
    alive = homes.locate() / "aws" / "alive"
    os.kill(int(str(homes.read(alive)["pid"])), signal.SIGKILL)
    until(lambda: not homes.is_held(alive))


def test_no_acknowledged_write_is_lost_by_kills_at_random_moments(home: Path) -> None:
    moments = random.Random(20261126)
    stack.up(postgres=False)
    run = Run()
    for number in range(KILLS):
        run.until_killed(number, moments.uniform(0.05, 1.0))
        stack.up(postgres=False)
        run.check()
    assert len(run.items) > KILLS and len(run.users) > KILLS and run.records


def test_no_acknowledged_write_is_lost_by_a_kill_while_a_generation_begins(home: Path) -> None:
    stack.up(postgres=False)
    run = Run()
    aws.snapshot(home)
    # Twice in another thread, so that the kill meets a second one at some step.
    again = threading.Thread(target=lambda: [aws._ask(home / "aws", "POST /_cruddur/snapshot", 60) for _ in range(9)])
    again.start()
    run.until_killed(0, 0.7)
    again.join(timeout=60)
    stack.up(postgres=False)
    run.check()
    aws.snapshot(home)
    kill()
    stack.up(postgres=False)
    run.check()
    assert len(list((home / "aws").glob("generation-*"))) == 1


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux names the children of a process")
def test_the_engine_answers_while_a_snapshot_is_written(home: Path) -> None:
    stack.up(postgres=False)
    run, dynamodb, cognito = Run(), client("dynamodb"), client("cognito-idp")
    emulator = int(str(homes.read(home / "aws" / "alive")["pid"]))
    children = Path(f"/proc/{emulator}/task/{emulator}/children")
    writing = threading.Thread(target=aws.snapshot, args=(home,))
    writing.start()
    own = Path(f"/proc/{emulator}/cmdline").read_bytes()
    # Before its program is loaded, the emulator itself waits for it.
    while not (child := children.read_text().split()) or Path(f"/proc/{child[0]}/cmdline").read_bytes() == own:
        assert writing.is_alive()
    os.kill(int(child[0]), signal.SIGSTOP)
    try:
        run.put(dynamodb, "meanwhile")
        run.create_user(cognito, "meanwhile")
        assert not (home / "aws" / "generation-2" / "snapshot").exists()
    finally:
        os.kill(int(child[0]), signal.SIGCONT)
    writing.join(timeout=60)
    assert (home / "aws" / "generation-2" / "snapshot").exists() and not (home / "aws" / "generation-1").exists()
    kill()
    stack.up(postgres=False)
    run.check()


def test_a_failed_snapshot_is_reported_and_loses_nothing(home: Path) -> None:
    stack.up(postgres=False)
    run = Run()
    run.put(client("dynamodb"), "before")
    # In the way of the file that is written first.
    (home / "aws" / "generation-2" / "snapshot.new").mkdir(parents=True)
    with pytest.raises(Incomplete, match="cannot write a snapshot"):
        aws.snapshot(home)
    note = next(engine.note for engine in stack.status() if engine.name == "aws")
    assert note and "no new snapshot, so the next start takes longer" in note
    run.put(client("dynamodb"), "after")
    kill()
    stack.up(postgres=False)
    run.check()
    aws.snapshot(home)
    run.check()
    assert [path.name for path in (home / "aws").glob("generation-*")] == ["generation-3"]
