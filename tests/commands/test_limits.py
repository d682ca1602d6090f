"""``--max-units`` and ``--rate`` of commands that read or write a whole table: nothing is paid for twice."""

from __future__ import annotations

import gzip
import json
import re
import signal
import time
from pathlib import Path

import pytest

from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB
from tests import processes
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
def test_an_export_that_a_limit_stops_resumes_there(
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
        assert "to resume" in str(error_of(ran.err)["hint"])
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


def rows_file(path: Path, rows: int, *, width: int = 100) -> str:
    text = (json.dumps(message_row(f"{n:04}", f"{n:04}" + "x" * width, group=f"{n % 30}")) for n in range(rows))
    path.write_text("".join(f"{line}\n" for line in text))
    return str(path)


def run_until_done(here: Here, *arguments: str) -> tuple[list[int], dict[str, int]]:
    """The number of items done after each run that the limit stopped, and the output of the last run."""
    counts = [0]
    while True:
        ran = here("ddb", "import", *arguments, "-o", "json")
        if ran.code == 0:
            return counts[1:], json.loads(ran.out)
        counts.append(items_done(ran.err))
        assert counts[-1] > counts[-2], ran.err
        assert "to resume" in str(error_of(ran.err)["hint"])


def test_an_import_of_existing_rows_resumes_where_a_limit_stopped_it(
    here: Here, stored: DynamoDB, tmp_path: Path
) -> None:
    """600 units to compare; hardly any of them is spent twice."""
    assert stored
    counts, last = run_until_done(here, rows_file(tmp_path / "r.jsonl", 600), "--max-units", "150")
    assert counts[0] > 100
    assert len(counts) == 4
    assert (last["unchanged"], last["written"]) == (600, 0)
    assert not (tmp_path / "r.jsonl.checkpoint").exists()


@pytest.mark.parametrize("limit", ["8", "100"])
def test_an_import_of_new_rows_resumes_where_a_limit_stopped_it(
    here: Here, table: DynamoDB, tmp_path: Path, limit: str
) -> None:
    tables.create(table, say=lambda _: None)
    rows = 12 if limit == "8" else 300
    counts, last = run_until_done(here, rows_file(tmp_path / "r.jsonl", rows), "--max-units", limit)
    assert counts[0] >= float(limit) / 2
    assert (last["new"], last["replaced"] + last["unchanged"]) == (rows, 0)


def test_a_large_item_behind_small_ones_needs_no_more_than_itself(here: Here, table: DynamoDB, tmp_path: Path) -> None:
    tables.create(table, say=lambda _: None)
    write(table, [message_row("there", "so that it compares")])
    path = tmp_path / "r.jsonl"
    rows_file(path, 5)
    small = path.read_text()
    path.write_text(small + json.dumps(message_row("large", "x" * 30_000)) + "\n" + small.replace("MSG#", "MSG#2"))
    counts, last = run_until_done(here, str(path), "--max-units", "42")
    assert counts == [6]
    assert last["new"] == 11


def test_a_low_rate_costs_no_more_and_a_higher_one_is_kept(here: Here, stored: DynamoDB) -> None:
    """A request for each item would be 40 requests and 20 units."""
    assert stored
    used = parsed(here("ddb", "scan", "--rate", "1", "--limit", "40", "-o", "json"))["consumed_capacity"]
    assert (used["requests"], used["read_units"]) == (1, 2.0)
    begin = time.monotonic()
    used = parsed(here("ddb", "scan", "--rate", "10", "--segments", "3", "--limit", "2000", "-o", "json"))
    units = used["consumed_capacity"]["read_units"]
    assert units < 30
    assert time.monotonic() - begin > (units - 11) / 10


def test_an_interrupt_does_not_wait_for_the_rate_and_keeps_what_was_read(
    stored: DynamoDB, environment: dict[str, str], tmp_path: Path
) -> None:
    """Four readers that wait for a unit a second would read a part of the table each."""
    assert stored
    command = ["ddb", "export", "m.jsonl", "--rate", "1", "--segments", "4"]
    running = processes.start(command, environment=environment, cwd=tmp_path)
    checkpoint = tmp_path / "m.jsonl.checkpoint"
    try:
        while not checkpoint.exists():
            assert running.poll() is None
            time.sleep(0.05)
        time.sleep(1)
        running.send_signal(signal.SIGINT)
        assert running.wait(3) == 130
    finally:
        running.kill()
        running.communicate()
    kept = json.loads(checkpoint.read_text())["state"]["segments"]
    assert sum(each["items"] for each in kept) > 0
