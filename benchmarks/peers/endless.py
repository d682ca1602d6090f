"""Runs a DynamoDB that stores nothing: it accepts every write, and a scan of its table ``full-N`` returns N items.

The memory of commands is measured against it, because an engine that stores a million items takes ten times as long as
the command itself. It answers batches after a pause, so that a command has as many requests open as it allows. It
prints its port, and ends with its standard input.
"""

import asyncio
import json
import re
import sys
import threading
import zlib
from typing import Any

PAGE = 2_500  # items, about 1 MB
PAUSE_S = 0.01
_ITEM = {
    "message_uuid": "8b1d22bf-cedf-4fbb-b137-63dc54b4770d",
    "message": "Did you see the last episode of Babylon 5? I could not believe how it ended, really.",
    "user_uuid": "8b1d22bf-cedf-4fbb-b137-63dc54b4770d",
    "user_display_name": "Andrew Brown",
    "user_handle": "andrewbrown",
}
_HEAD = re.compile(rb"X-Amz-Target: \w+\.(\w+)|Content-Length: (\d+)", re.IGNORECASE)


def item(number: int) -> dict[str, dict[str, str]]:
    """The item with that number, in a conversation of a hundred."""
    keys = {"pk": f"MSG#5ae290ed-55d1-47a0-bc6d-{number // 100:012x}", "sk": f"2026-11-20T10:00:00.{number:06}+00:00"}
    return {name: {"S": value} for name, value in {**keys, **_ITEM}.items()}


def units(table: str) -> dict[str, object]:
    """The consumed capacity of one request."""
    return {"TableName": table, "CapacityUnits": 1.0, "Table": {"CapacityUnits": 1.0}}


def answer(operation: str, request: dict[str, Any]) -> dict[str, object]:
    """The answer to one request. Raises ValueError for an operation that no measured command sends."""
    table = request.get("TableName", "")
    match operation:
        case "DescribeTable":
            return {"Table": description(table)}
        case "ListTagsOfResource":
            return {"Tags": []}
        case "Query":
            return {"Items": [], "Count": 0, "ScannedCount": 0, "ConsumedCapacity": units(table)}
        case "Scan":
            return scan_page(table, request)
        case "PutItem":
            return {"ConsumedCapacity": units(table)}
        case "BatchWriteItem":
            return {"UnprocessedItems": {}, "ConsumedCapacity": [units(name) for name in request["RequestItems"]]}
        case "BatchGetItem":
            tables = request["RequestItems"]
            nothing: dict[str, object] = {"Responses": {name: [] for name in tables}, "UnprocessedKeys": {}}
            return {**nothing, "ConsumedCapacity": [units(name) for name in tables]}
        case "TransactWriteItems":
            tables = {details["TableName"] for each in request["TransactItems"] for details in each.values()}
            return {"ConsumedCapacity": [units(name) for name in tables]}
    raise ValueError(operation)


def description(table: str) -> dict[str, object]:
    """DescribeTable's description of a table with the keys that the application expects."""
    keys = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
    group = [{"AttributeName": "message_group_uuid", "KeyType": "HASH"}, keys[1]]
    index = {"IndexName": "message-group-sk-index", "KeySchema": group, "Projection": {"ProjectionType": "ALL"}}
    return {
        "TableName": table,
        "TableArn": f"arn:aws:dynamodb:us-east-1:000000000000:table/{table}",
        "TableStatus": "ACTIVE",
        "ItemCount": item_count(table),
        "TableSizeBytes": item_count(table) * 400,
        "KeySchema": keys,
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "message_group_uuid")
        ],
        "GlobalSecondaryIndexes": [{**index, "IndexStatus": "ACTIVE"}],
        "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
    }


def item_count(table: str) -> int:
    """The number of items in a table, from its name."""
    return int(table.removeprefix("full-")) if table.startswith("full-") else 0


def scan_page(table: str, request: dict[str, Any]) -> dict[str, object]:
    """The next page of a segment; all segments have about the same number of items."""
    segment, segments = request.get("Segment", 0), request.get("TotalSegments", 1)
    first, end = item_count(table) * segment // segments, item_count(table) * (segment + 1) // segments
    if "ExclusiveStartKey" in request:
        key = request["ExclusiveStartKey"]
        first = int(key["sk"]["S"][20:-6]) + 1
    last = min(first + min(request.get("Limit", PAGE), PAGE), end)
    items = [item(number) for number in range(first, last)]
    more = {"LastEvaluatedKey": {name: items[-1][name] for name in ("pk", "sk")}} if last < end else {}
    return {"Items": items, "Count": len(items), "ScannedCount": len(items), "ConsumedCapacity": units(table), **more}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            headers = dict(zip(("operation", "length"), (b"", b"0"), strict=True))
            for operation, length in _HEAD.findall(head):
                headers["operation" if operation else "length"] = operation or length
            content = await reader.readexactly(int(headers["length"]))
            operation = headers["operation"].decode()
            if operation.startswith("Batch"):
                await asyncio.sleep(PAUSE_S)
            body = json.dumps(answer(operation, json.loads(content))).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nx-amzn-RequestId: 1\r\n"
                b"x-amz-crc32: %d\r\nContent-Length: %d\r\n\r\n%b" % (zlib.crc32(body), len(body), body)
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    """Listen until standard input ends."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(over.set)), daemon=True).start()
    await over.wait()


asyncio.run(main())
