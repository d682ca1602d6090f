"""The capacity that commands show, compared with the engine's answers, which a proxy records."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.dynamodb.client import opened
from tests import faults
from tests.commands.conftest import Here
from tests.conftest import Ran
from tests.dynamodb.rows import THIRD, group_row, message_row, write

SEEDS = ["setup", "seed", "seed --messages 300", "seed --messages 40", "seed --my-handle londo", "seed", "seed -n"]
READS = [
    "get-conversation", "get-conversation --limit 1", "get-conversation --limit 500", "get-conversation --with bayko",
    "get-conversation --year 2026", "get-conversation --year 1999", "get-conversation nowhere",
    "get-conversation --since 2020-01-01 --until 2020-01-02", "get-conversation large --limit 3",
    "get-conversation large", "list-conversations", "list-conversations bayko", "list-conversations londo",
    "list-conversations altbrown", "list-conversations altbrown --limit 3", "list-conversations --year 1999",
    "list-conversations altbrown --since 2026-01-01T00:10Z", "scan", "scan --limit 3", "scan --segments 4",
    "scan --limit 1200 --segments 3", "scan --limit 600",
]  # fmt: skip
AFTER = ["reset --yes", "seed --messages 60"]


@pytest.fixture
def proxy(endpoint: str, monkeypatch: pytest.MonkeyPatch, here: Here) -> Iterator[faults.Recording]:
    """A proxy in front of each engine in turn, which records every answer."""
    with faults.recorded(endpoint) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", found.url)
        yield found
        here("ddb", "drop", "--yes", "--if-exists")


def said_by_engine(proxy: faults.Recording) -> dict[str, Any]:
    """The sum of the consumption in all answers that have one."""
    total: dict[str, Any] = {"read_units": 0.0, "write_units": 0.0, "requests": 0, "indexes": {}}
    for operation, _, answer in proxy.take():
        consumed = answer.get("ConsumedCapacity", [])
        for each in consumed if isinstance(consumed, list) else [consumed]:
            kind = "read_units" if operation in {"Query", "Scan", "GetItem", "BatchGetItem"} else "write_units"
            total[kind] += each["CapacityUnits"]
            for name, index in each.get("GlobalSecondaryIndexes", {}).items():
                total["indexes"][name] = total["indexes"].get(name, 0.0) + index["CapacityUnits"]
        total["requests"] += bool(consumed)
    return total


def shown(ran: Ran, output: str) -> dict[str, Any]:
    """The consumption that the command shows; the line for a person has no indexes."""
    assert ran.code == 0, ran.err
    if output == "json":
        body: dict[str, Any] = json.loads(ran.out)["consumed_capacity"]
        return body
    if output != "table":
        (line,) = [line for line in ran.err.splitlines() if line.startswith('{"consumed_capacity"')]
        found: dict[str, Any] = json.loads(line)["consumed_capacity"]
        return found
    told = re.search(r"consumed capacity: ([\d.]+) RCU, ([\d.]+) WCU in (\d+) requests?", ran.err)
    assert told is not None, ran.err
    return {"read_units": float(told[1]), "write_units": float(told[2]), "requests": int(told[3])}


def larger_rows(url: str, name: str) -> None:
    """Messages that fill pages of the same sizes on every engine, and fifty conversations."""
    at = aws_client.Endpoint("dynamodb", url, aws_client.LOCAL_REGION, "here")
    with opened(at, name) as store:
        rows = [message_row(f"2026-01-01T00:{n:02}:00Z", "x" * 15_000, group="large") for n in range(60)]
        groups = [group_row(THIRD, THIRD, f"2026-01-01T00:{n:02}:00Z", "y" * 700, group=f"g{n}") for n in range(50)]
        write(store, [*rows, *groups])


def test_thirty_commands_show_the_sum_of_all_requests(
    proxy: faults.Recording, here: Here, environment: dict[str, str]
) -> None:
    """On DynamoDB Local what is shown is the engine's own figure; where that is made up, only the writes are."""
    outputs = ["json", "table", "jsonl", "csv"]
    commands = [*SEEDS, *READS, *AFTER]
    assert len(commands) >= 30
    for number, command in enumerate(commands):
        if command == READS[0]:
            larger_rows(proxy.url, environment["DDB_MESSAGE_TABLE"])
        output = outputs[number % 4]
        proxy.take()
        figures = shown(here("ddb", *command.split(), "-o", output), output)
        said = said_by_engine(proxy)
        assert (figures["write_units"], figures["requests"]) == (said["write_units"], said["requests"]), command
        if "source" in figures:
            assert figures["source"] == ("computed" if proxy.embedded else "reported")
        if not proxy.embedded:
            assert figures["read_units"] == said["read_units"], command
            assert figures.get("indexes", said["indexes"]) == said["indexes"], command


def test_computed_figures_equal_those_of_dynamodb_local(
    here: Here, environment: dict[str, str], emulator: str, dynamodb_local: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the same rows, whatever is read: except that DynamoDB Local charges nothing for an empty page."""
    if dynamodb_local is None:
        pytest.skip("no DynamoDB Local on this machine; .ci/run starts one")
    found: dict[str, list[dict[str, Any]]] = {}
    for url in (emulator, dynamodb_local):
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
        assert here("ddb", "setup").code == 0
        larger_rows(url, environment["DDB_MESSAGE_TABLE"])
        for command in READS:
            if "--segments" in command or command.startswith("scan"):
                continue  # engines scan in different orders and cut pages at different places
            body = json.loads(here("ddb", *command.split(), "-o", "json").out)
            if body["count"]:
                figures = body["consumed_capacity"]
                found.setdefault(command, []).append({n: figures[n] for n in ("read_units", "requests", "source")})
        here("ddb", "drop", "--yes")
    assert len(found) >= 10
    for command, (computed, reported) in found.items():
        assert (computed.pop("source"), reported.pop("source")) == ("computed", "reported")
        assert computed == reported, command
