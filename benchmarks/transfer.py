"""Measures the speed and memory of commands that write and read many items."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import results
from measure import CRUDDUR, Cost, Target, alternate, median_cost
from results import Measurement, Ratio
from targets import endless, table

_PEER = (sys.executable, str(Path(__file__).parent / "peers" / "many.py"))
_WIDTHS = (4, 8, 16)


def seeding(target: Target, *, count: int, runs: int) -> Iterator[Ratio]:
    """The speed of ``ddb seed`` against single puts, and against the best width of a plain loop of batches."""
    single = max(count // 10, 100)
    commands = {
        # With -o json, because the peers draw nothing either.
        "seed": [*CRUDDUR, "ddb", "seed", "--messages", str(count), "-o", "json"],
        "single": [*_PEER, "puts", str(single), "1"],
        **{f"{width}": [*_PEER, "batches", str(count), str(width)] for width in _WIDTHS},
    }
    costs = alternate(*(partial(_written, target, *command) for command in commands.values()), runs=runs)
    took = {name: cost.wall_ms / 1000 for name, cost in zip(commands, costs, strict=True)}
    what, rate = f"`seed --messages {count} -o json`", count / took["seed"]
    yield Ratio(what, rate, "single PutItem requests", single / took["single"], "items/s", 12, at_least=True)
    best = min(map(str, _WIDTHS), key=lambda width: took[width])
    against = f"batches with botocore, {best} at once (fastest)"
    yield Ratio(what, rate, against, count / took[best], "items/s", 0.95, at_least=True)


def _written(target: Target, *command: str) -> Cost:
    with table(target) as own:
        return own.run(*command)


def write_units(target: Target, *, count: int) -> Iterator[Ratio]:
    """The write units of seeding against one unit for each row in the table and in the index."""
    with table(target) as own:
        done = json.loads(own.printed(*CRUDDUR, "ddb", "seed", "--messages", str(count), "-o", "json"))
    units = done["consumed_capacity"]["write_units"]
    # A message is one unit, and is not in the index. Each of the two group rows is one unit in the table and the index.
    yield Ratio(f"`seed --messages {count}`", units, "1 WCU per row and index entry", count + 4, "WCU", 1.0)


def reading(target: Target, *, count: int, runs: int, aws: str | None, is_local: bool) -> Iterator[Ratio]:
    """The speed of ``ddb scan -o jsonl`` and ``ddb export`` against a plain parallel loop and the AWS CLI."""
    with table(target) as own:
        own.cruddur("ddb", "seed", "--messages", str(count))
        spread = "64" if is_local else "1"
        commands = {
            "scan": [*CRUDDUR, "ddb", "scan", "-o", "jsonl"],
            "export": [*CRUDDUR, "ddb", "export", "out.jsonl"],
            **{f"bare {width}": [*_PEER, "scan", spread, str(width)] for width in _WIDTHS},
            # One segment for each thread, as a program does that does not know how the engine reads segments.
            **{f"plain {width}": [*_PEER, "scan", str(width), str(width)] for width in _WIDTHS},
        }
        if aws:
            endpoint = own.env["AWS_ENDPOINT_URL_DYNAMODB"]
            scan = [aws, "dynamodb", "scan", "--table-name", own.env["DDB_MESSAGE_TABLE"], "--endpoint-url", endpoint]
            commands["aws"] = [*scan, "--output", "json"]
        took = {name: [own.run(*command)] for name, command in commands.items()}
        # Only the fastest width of each loop is run again, because each run takes a quarter of a minute.
        for kind in ("bare", "plain"):
            widths = sorted(
                (name for name in commands if name.startswith(kind)), key=lambda name: took[name][0].wall_ms
            )
            for name in widths[1:]:
                del commands[name]
        for _ in range(runs - 1):
            for name, command in commands.items():
                took[name].append(own.run(*command))
    rates = {name: count * 1000 / median_cost(took[name]).wall_ms for name in commands}
    for kind, label in (
        ("bare", f"scan with botocore, {spread} segments"),
        ("plain", "scan with botocore, one segment per thread"),
    ):
        best = max((name for name in rates if name.startswith(kind)), key=lambda name: rates[name])
        for verb in ("scan", "export"):
            against = f"{label}, {best.split()[1]} at once (fastest)"
            yield Ratio(
                f"`{verb}` of {count:,} items", rates[verb], against, rates[best], "items/s", 0.95, at_least=True
            )
    for verb in ("scan", "export") if aws else ():
        yield Ratio(
            f"`{verb}` of {count:,} items", rates[verb], "`aws dynamodb scan`", rates["aws"], "items/s", 2, True
        )


def growth(target: Target, *, largest: int) -> Iterator[Measurement]:
    """The cost of each command on 100 items, on ten times as many, and so on up to ``largest``.

    Seeding creates one conversation. Commands that read a whole table are measured on conversations of a hundred
    messages, because DynamoDB Local reads and sorts the rest of a partition for each page.
    """
    count = 100
    while count <= largest:
        file = Path(target.folder) / "conversations.jsonl"
        _write_lines(file, count)
        with table(target) as one, table(target) as many:
            for name, command, where in (
                ("seed", ["seed", "--messages", str(count)], one),
                ("get-conversation", ["get-conversation", "-o", "json"], one),
                ("import", ["import", file.name], many),
                ("scan -o jsonl", ["scan", "-o", "jsonl"], many),
                ("export", ["export", "again.jsonl.gz"], many),
                ("import, same items again", ["import", "again.jsonl.gz"], many),
            ):
                cost = where.cruddur("ddb", *command)
                yield Measurement(name, count, cost.wall_ms / 1000, cost.cpu_ms / 1000, cost.peak_mb)
        count *= 10


def _write_lines(file: Path, count: int) -> None:
    with file.open("w", encoding="utf-8") as stream:
        stream.writelines(_line(number) for number in range(count))


def _line(number: int) -> str:
    item = {
        "pk": f"MSG#5ae290ed-55d1-47a0-bc6d-{number // 100:012x}",
        "sk": f"2026-11-20T10:{number % 60:02}:00.{number % 1_000_000:06}+00:00",
        "message_uuid": f"8b1d22bf-cedf-4fbb-b137-{number:012x}",
        "message": "Did you see the last episode of Babylon 5? I could not believe how it ended, really.",
        "user_uuid": "8b1d22bf-cedf-4fbb-b137-63dc54b4770d",
        "user_display_name": "Andrew Brown",
        "user_handle": "andrewbrown",
    }
    return json.dumps({name: {"S": value} for name, value in item.items()}) + "\n"


def memory(target: Target, *, small: int, large: int, runs: int) -> Iterator[Ratio]:
    """The peak memory with many items against that with few: medians, on an engine that stores nothing."""
    folder = Path(target.folder)
    for count in (small, large):
        _write_lines(folder / f"{count}.jsonl", count)
    commands = {
        "seed": ("empty", "seed --messages {0} -o json"),
        "import": ("empty", "import {0}.jsonl"),
        "scan -o jsonl": ("full-{0}", "scan -o jsonl"),
        "export": ("full-{0}", "export {0}.jsonl.gz"),
    }
    costs: dict[tuple[str, int], list[Cost]] = {(name, count): [] for name in commands for count in (small, large)}

    def run(name: str, count: int) -> None:
        table_name, command = (text.format(count) for text in commands[name])
        costs[name, count].append(on_endless.having(DDB_MESSAGE_TABLE=table_name).cruddur("ddb", *command.split()))

    with endless() as endpoint, ThreadPoolExecutor(2) as two:
        on_endless = target.having(AWS_ENDPOINT_URL_DYNAMODB=endpoint)
        for _ in range(runs):
            list(two.map(run, *zip(*((name, count) for count in (large, small) for name in commands), strict=True)))
    for name in commands:
        after, before = (median_cost(costs[name, count]).peak_mb for count in (large, small))
        yield Ratio(f"`{name}`, {large:,} items", after, f"{small:,} items", before, "MB peak memory", 1.1)


def other_memory(measurements: list[Measurement]) -> Iterator[Ratio]:
    """The peak memory of the commands that ``memory`` lacks, on the largest table against a tenth of its size."""
    large = max(each.items for each in measurements)
    peaks = {(each.command, each.items): each.peak_mb for each in measurements}
    for command in ("get-conversation", "import, same items again"):
        before, after = peaks[command, large // 10], peaks[command, large]
        yield Ratio(
            f"{results.code(command)}, {large:,} items", after, f"{large // 10:,} items", before, "MB peak memory", 1.2
        )
