"""``ddb stream process --follow``: each record is applied once, despite outages, kills and the old Lambda."""

from __future__ import annotations

import json
import random
import signal
import threading
from pathlib import Path

from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.schema import INDEX
from tests import faults
from tests.commands.conftest import Here
from tests.commands.ddb.test_stream import Start, lines_of, rows, say, start, streamed
from tests.dynamodb.rows import GROUP, ME, OTHER, everything, group_row, message_row, write
from tests.dynamodb.shards import minute

__all__ = ["start", "streamed"]

AFTER_TRANSACTION = """
import os, signal, sys
from botocore.client import ClientCreator
left = int(sys.argv.pop())
def count(**_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
class Counting(ClientCreator):
    def create_client(self, *args, **kwargs):
        client = super().create_client(*args, **kwargs)
        client.meta.events.register("after-call.dynamodb.TransactWriteItems", count)
        return client
import botocore.client
botocore.client.ClientCreator = Counting
from cruddur_cli.cli import main as cli
cli.main()
"""


AFTER_SECONDS = """
import os, signal, sys, threading
from cruddur_cli.cli import main as cli
threading.Timer(float(sys.argv.pop()), os.kill, (os.getpid(), signal.SIGKILL)).start()
cli.main()
"""


def test_follow_applies_new_records_and_ends_with_one_line(
    streamed: Here, table: DynamoDB, start: Start, tmp_path: Path
) -> None:
    place = tmp_path / "place.json"
    process = start("ddb", "stream", "process", "--follow", "-q", "-o", "jsonl", "--checkpoint", str(place))
    lines_of(process, 1)
    for n in (1, 2):
        say(table, n)
        while lines_of(process, 1)[0]["messages"] < n:
            pass
        assert rows(table) == [(minute(n), f"message {n}")] * 2
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert len(err.splitlines()) == 1
    assert str(place) in err
    assert json.loads(place.read_text())["state"]["shards"]


class OldLambda(threading.Thread):
    """The application's own stream function, which runs beside ``process``.

    For each message it deletes every group row of the conversation in the index. It writes the row again with the
    message's time and text, without a condition.
    """

    def __init__(self, table: DynamoDB, numbers: range) -> None:
        super().__init__()
        self.table, self.numbers, self.failed = table, numbers, list[BaseException]()

    def run(self) -> None:
        try:
            for number in self.numbers:
                self.move(minute(number), f"message {number}")
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.failed.append(error)

    def move(self, sk: str, text: str) -> None:
        found = self.table.call(
            "query", TableName=self.table.table, IndexName=INDEX, KeyConditionExpression="message_group_uuid = :g",
            ExpressionAttributeValues={":g": {"S": GROUP}},
        )["Items"]  # fmt: skip
        for row in found:
            key = {"pk": row["pk"], "sk": row["sk"]}
            self.table.call("delete_item", TableName=self.table.table, Key=key)
            item = {**row, "sk": {"S": sk}, "message": {"S": text}}
            self.table.call("put_item", TableName=self.table.table, Item=item)


def test_beside_the_old_lambda_one_last_run_from_the_oldest_leaves_the_right_rows(
    streamed: Here, table: DynamoDB, start: Start
) -> None:
    process = start("ddb", "stream", "process", "--follow", "-q", "-o", "jsonl")
    lines_of(process, 1)
    old = OldLambda(table, range(1, 20))
    old.start()
    for number in range(1, 20):
        say(table, number)
    old.join(60)
    assert old.failed == []
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    ran = streamed("ddb", "stream", "process", "--once", "--from", "oldest")
    assert ran.code == 0, ran.err
    assert rows(table) == [(minute(19), "message 19")] * 2


def test_follow_survives_an_outage_and_reports_it_once(streamed: Here, table: DynamoDB, start: Start) -> None:
    down = threading.Event()

    def before(_: str) -> None:
        if down.is_set():
            raise ConnectionAbortedError

    with faults.recorded(table.at.url or "", before=before) as proxy:
        code = (
            f"import os, sys; os.environ['AWS_ENDPOINT_URL_DYNAMODB'] = {proxy.url!r}; "
            "from cruddur_cli.cli import main as cli; cli.main()"
        )
        process = start("ddb", "stream", "process", "--follow", "-o", "jsonl", code=code)
        lines_of(process, 1)
        down.set()
        assert process.stderr is not None
        while "Waiting for it" not in (line := process.stderr.readline()):
            assert line, "it ended"
        say(table, 4)
        down.clear()
        while lines_of(process, 1)[0]["messages"] < 1:
            pass
        assert rows(table) == [(minute(4), "message 4")] * 2
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "The stream answers again." in err
    assert "Waiting" not in err


def test_killed_before_the_checkpoint_no_record_is_lost_or_applied_twice(
    streamed: Here, table: DynamoDB, start: Start, tmp_path: Path
) -> None:
    groups = [f"group {n}" for n in range(12)]
    pairs = ((ME, OTHER), (OTHER, ME))
    write(table, (group_row(a, b, minute(n), "old", group=g) for n, g in enumerate(groups, 30) for a, b in pairs))
    place = tmp_path / "place.json"
    arguments = ["ddb", "stream", "process", "-q", "--checkpoint", str(place)]
    before = None
    for n in range(10):
        write(table, (message_row(minute(60 + 20 * n + m), f"{n}.{m}", group=group) for m, group in enumerate(groups)))
        killed = start(*arguments, str(1 + n), code=AFTER_TRANSACTION)
        _, err = killed.communicate(timeout=60)
        assert killed.returncode == -signal.SIGKILL, err
        kept = place.read_bytes() if place.exists() else None
        assert kept == before, "the effect was there, and the place was not kept"
        if n % 3 == 2:
            assert streamed(*arguments).code == 0
            before = place.read_bytes()
    assert streamed(*arguments).code == 0
    found = [item for item in everything(table) if item["pk"]["S"].startswith("GRP#")]
    assert len(found) == 2 * 13, "each person has one row of each conversation, the seeded one too"
    texts = sorted(item["message"]["S"] for item in found if item["message_group_uuid"]["S"] in groups)
    assert texts == sorted(f"9.{m}" for m in range(12) for _ in pairs)


def test_killed_at_random_points_the_next_run_leaves_the_right_rows(
    streamed: Here, table: DynamoDB, start: Start, tmp_path: Path
) -> None:
    arguments = ["ddb", "stream", "process", "-q", "--checkpoint", str(tmp_path / "place.json")]
    chance = random.Random(7)
    for n in range(10):
        say(table, *range(1 + 10 * n, 11 + 10 * n))
        process = start(*arguments, "--follow", str(chance.uniform(0.1, 0.6)), code=AFTER_SECONDS)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
    assert streamed(*arguments).code == 0
    assert rows(table) == [(minute(100), "message 100")] * 2
