"""A process that sends messages, for ``test_transactions``: it prints ``ready``, waits for a line, and prints each
stored message.

Its one argument is JSON: ``endpoint``, ``table``, ``pairs`` of people, ``count`` of messages, ``number`` of the
process, and whether it ``loses`` every third answer to a transaction, after the commit.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from botocore.exceptions import ConnectionClosedError

from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.dynamodb.client import DynamoDB, opened
from cruddur_cli.dynamodb.conversations import send as sending
from cruddur_cli.dynamodb.conversations.model import Person


def main(task: dict[str, Any]) -> None:
    """Send ``count`` messages to one pair after the other, from each person of a pair in turn."""
    at = aws_client.Endpoint("dynamodb", task["endpoint"], aws_client.LOCAL_REGION, "DynamoDB")
    pairs = [[Person(*person) for person in pair] for pair in task["pairs"]]
    groups: dict[int, str] = {}
    with opened(at, task["table"]) as dynamodb:
        if task["loses"]:
            lose_every_third(dynamodb)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        for number in range(task["count"]):
            place = (number + task["number"]) % len(pairs)
            sender, receiver = pairs[place][:: 1 if (number + task["number"] // 2) % 2 else -1]
            text = f"{task['number']}-{number}"
            if place not in groups:
                sent = sending.start(dynamodb, sender, receiver, text)
            elif number % 2:
                sent = sending.send(dynamodb, sender, text, group=groups[place])
            else:
                sent = sending.send(dynamodb, sender, text, receiver=receiver)
            groups[place] = sent.message_group_uuid
            told = {"group": sent.message_group_uuid, "uuid": sent.message.message_uuid, "text": text}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()


def lose_every_third(dynamodb: DynamoDB) -> None:
    """Lose the answer to every third transaction, after its commit."""
    count = 0

    def send(request: Any, **_: Any) -> None:
        nonlocal count
        count += 1
        if count % 3 == 0:
            dynamodb.client._endpoint.http_session.send(request)
            raise ConnectionClosedError(endpoint_url=request.url)

    dynamodb.client.meta.events.register("before-send.dynamodb.TransactWriteItems", send)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
