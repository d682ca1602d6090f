"""Helpers that write a log with known frames, and count what is read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cruddur_cli import times
from cruddur_cli.local import frames, generations
from cruddur_cli.local.generations import Contents, generation_folder

TABLE = "1/us-east-1/t"


WRITES = 4


def write(number: int) -> dict[str, Any]:
    record = {"dynamodb": {"ApproximateCreationDateTime": int(times.now().timestamp()), "number": number}}
    return {
        "items": {TABLE: {"p": {str(number): {"n": {"N": str(number)}}}}},
        "records": {"stream": [number, [record]]},
        "counter": number + 1,
    }


def key(*parts: str) -> str:
    return json.dumps(parts)


TABLES = {
    key("dynamodb", "tables", *TABLE.split("/")): "{}",
    key("dynamodb", "live_streams", *TABLE.split("/")): '{"stream": "stream"}',
}


def append(folder: Path, generation: int, changes: list[dict[str, Any]], *, acknowledged: bool = True) -> list[int]:
    """Append frames; the offset where each begins, and where the last one ends."""
    path = generation_folder(folder, generation) / "log"
    ends = [path.stat().st_size]
    with path.open("ab") as log:
        for change in changes:
            content = frames.frame(generations.encoded(change))
            log.write(content)
            ends.append(ends[-1] + len(content))
    if acknowledged:
        frames.Mark(folder / generations.MARK).write(generation, ends[-1])
    return ends


def count(contents: Contents) -> int:
    """The number of writes that were read, each of which must be complete."""
    rows = contents.items.get(TABLE, {}).get("p", {})
    assert list(rows) == [str(number) for number in range(len(rows))]
    records = contents.streams.get("stream", (0, []))[1]
    assert [json.loads(record)["dynamodb"]["number"] for record in records] == list(range(len(rows)))
    assert contents.counter == len(rows)
    return len(rows)
