"""``--max-units`` and ``--rate`` of what reads and writes a whole table: what is paid for is kept."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB
from tests.commands.conftest import Here, parsed
from tests.dynamodb.rows import message_row, write


@pytest.fixture
def stored(table: DynamoDB) -> DynamoDB:
    """The commands' table with 600 rows of 330 bytes in 30 partitions: 24 units to read."""
    tables.create(table, say=lambda _: None)
    write(table, (message_row(f"{n:04}", f"{n:04}" + "x" * 100, group=f"{n % 30}") for n in range(600)))
    return table


def error_of(err: str) -> dict[str, object]:
    error: dict[str, object] = json.loads(err.splitlines()[-1])["error"]
    assert error["code"] == "max_units"
    return error


def items_done(err: str) -> int:
    found = re.search(r" ([\d,]+) items? (?:is|are) done", str(error_of(err)["message"]))
    assert found, err
    return int(found[1].replace(",", ""))


@pytest.mark.parametrize("segments", [1, 3])
@pytest.mark.parametrize("name", ["m.jsonl", "m.jsonl.gz", "m.csv.gz"])
def test_an_export_that_a_limit_stops_goes_on_there(
    here: Here, stored: DynamoDB, tmp_path: Path, name: str, segments: int
) -> None:
    assert stored
    path, options = tmp_path / name, ("--segments", str(segments), "-o", "json")
    parsed(here("ddb", "export", str(tmp_path / f"whole-{name}"), *options))
    counts, used = [0], 0.0
    while True:
        ran = here("ddb", "export", str(path), *options, "--max-units", "8")
        if ran.code == 0:
            break
        kept = json.loads((tmp_path / f"{name}.checkpoint").read_text())["state"]["segments"]
        counts.append(items_done(ran.err))
        assert counts[-1] == sum((each["tail"] or each)["items"] for each in kept) > counts[-2]
        assert "goes on from there" in str(error_of(ran.err)["hint"])
        used += float(str(error_of(ran.err)["used_units"]))
    assert len(counts) > 3
    assert used < 60
    assert path.read_bytes() == (tmp_path / f"whole-{name}").read_bytes()
    whole = gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes()
    assert len(whole.splitlines()) == 600 + ("csv" in name)


@pytest.mark.parametrize("segments", ["1", "4"])
def test_an_export_to_a_stream_that_a_limit_stops_wrote_what_it_read(
    here: Here, stored: DynamoDB, segments: str
) -> None:
    assert stored
    ran = here("ddb", "export", "-", "--max-units", "5", "--segments", segments)
    found = re.search(r" (\d+) items are done", ran.err)
    assert ran.code == 1
    assert found, ran.err
    assert int(found[1]) == len(ran.out.splitlines()) > 10
