"""Writes or scans many items with botocore alone, for comparison with export, scan and seed.

python benchmarks/peers/many.py puts|batches ITEMS WIDTH, or scan SEGMENTS WIDTH. The endpoint and the table are in the
environment.
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.session
from botocore.config import Config

TABLE = os.environ["DDB_MESSAGE_TABLE"]
what, count, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client: Any = botocore.session.Session().create_client(
    "dynamodb",
    endpoint_url=os.environ["AWS_ENDPOINT_URL_DYNAMODB"],
    region_name="us-east-1",
    aws_access_key_id="local",
    aws_secret_access_key="local",
    config=Config(max_pool_connections=max(width, 10)),
)


def item(number: int) -> dict[str, dict[str, str]]:
    """A message about as long as the seeded ones."""
    return {
        "pk": {"S": "MSG#5ae290ed-55d1-47a0-bc6d-fe2bc2700399"},
        "sk": {"S": f"2026-11-20T10:00:00.{number:06}+00:00"},
        "message_uuid": {"S": f"8b1d22bf-cedf-4fbb-b137-{number:012x}"},
        "message": {"S": "Did you see the last episode of Babylon 5? I could not believe how it ended, really."},
        "user_uuid": {"S": "8b1d22bf-cedf-4fbb-b137-63dc54b4770d"},
        "user_display_name": {"S": "Andrew Brown"},
        "user_handle": {"S": "andrewbrown"},
    }


def put_batch(first: int) -> None:
    requests = [{"PutRequest": {"Item": item(number)}} for number in range(first, min(first + 25, count))]
    client.batch_write_item(RequestItems={TABLE: requests})


def scan(segment: int) -> int:
    params: dict[str, Any] = {"TableName": TABLE, "Segment": segment, "TotalSegments": count}
    scanned = 0
    while True:
        page = client.scan(**params)
        sys.stdout.write("".join(json.dumps(each) + "\n" for each in page["Items"]))
        scanned += len(page["Items"])
        if "LastEvaluatedKey" not in page:
            return scanned
        params["ExclusiveStartKey"] = page["LastEvaluatedKey"]


with ThreadPoolExecutor(width) as pool:
    if what == "puts":
        for number in range(count):
            client.put_item(TableName=TABLE, Item=item(number))
    elif what == "batches":
        list(pool.map(put_batch, range(0, count, 25)))
    else:
        list(pool.map(scan, range(count)))
