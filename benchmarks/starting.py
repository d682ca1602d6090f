"""Commands that do little, where starting is what a person waits for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

from measure import Cost, Place, Ratio, alternate
from places import dynamodb_local, endpoints, stack, table

_NOTHING = (sys.executable, "-c", "pass")
_QUERY = (sys.executable, str(Path(__file__).parent / "peers" / "query.py"))


def help_pages(runs: int) -> Iterator[Ratio]:
    """What it takes until a person sees help, against an interpreter that does nothing."""
    with stack() as place:
        help_, version, nothing = alternate(
            partial(place.cruddur, "--help"), partial(place.cruddur, "--version"), partial(place.run, *_NOTHING),
            runs=runs,
        )  # fmt: skip
    against = "`python -c pass`"
    yield Ratio("`cruddur --help`", help_.wall_ms, against, nothing.wall_ms, "ms", 12)
    yield Ratio("`cruddur --version`", version.wall_ms, against, nothing.wall_ms, "ms", 6)


def setting_up(runs: int) -> Iterator[Ratio]:
    """A second ``cruddur setup`` against the first one on a machine without any state."""
    first: list[Cost] = []
    second: list[Cost] = []
    for _ in range(runs):
        with stack() as place:
            first.append(place.cruddur("setup"))
            second.append(place.cruddur("setup"))
    again, once = (median(cost.wall_ms for cost in costs) for costs in (second, first))
    yield Ratio("`cruddur setup` again", again, "the first one", once, "ms", 1 / 3)


def conversations(runs: int) -> Iterator[Ratio]:
    """Reading a conversation, against a bare boto3 script that makes the same query."""
    with stack() as place:
        place.cruddur("setup")
        named = place.having(AWS_ENDPOINT_URL_DYNAMODB=endpoints(place)["aws"])
        yield from _read("embedded", named, runs)
        other = dynamodb_local()
        if other is None:
            return
        with table(place.having(AWS_ENDPOINT_URL_DYNAMODB=other)) as local:
            local.cruddur("ddb", "seed")
            yield from _read("DynamoDB Local", local, runs)


def _read(where: str, place: Place, runs: int) -> Iterator[Ratio]:
    read = partial(place.cruddur, "ddb", "get-conversation")
    as_json, drawn, bare = alternate(
        partial(read, "-o", "json"), partial(read, terminal=True), partial(place.run, *_QUERY), runs=runs
    )
    for what, ours, bar in (("-o json`", as_json, 1.0), ("` drawn", drawn, 1.2)):
        name = f"`get-conversation {what}, {where}".replace(" `", "`")
        yield Ratio(name, ours.cpu_ms, "bare boto3", bare.cpu_ms, "ms CPU", bar)
        yield Ratio(name, ours.wall_ms, "bare boto3", bare.wall_ms, "ms", bar)
