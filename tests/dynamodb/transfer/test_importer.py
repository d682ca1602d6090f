"""Export and import on both engines: identical tables with every type, whatever is throttled or left unprocessed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli.dynamodb import scanning, tables
from cruddur_cli.dynamodb.capacity.limiter import RateLimiter
from cruddur_cli.dynamodb.client import DynamoDB, opened
from cruddur_cli.dynamodb.transfer import Format, checkpoints, input_files
from cruddur_cli.dynamodb.transfer import importer as importing
from cruddur_cli.dynamodb.transfer.importer import Counts
from cruddur_cli.errors import BadInput, Protected
from tests import faults
from tests.dynamodb.rows import ME, OTHER, Item, everything, group_row, message_row, write
from tests.dynamodb.transfer.roundtrip import export, import_

SUFFIXES = ["jsonl", "jsonl.gz", "json", "json.gz"]


@pytest.fixture
def other(dynamodb: DynamoDB) -> Iterator[DynamoDB]:
    """A second, empty table on the same engine."""
    with opened(dynamodb.at, f"{dynamodb.table}-other") as store:
        tables.create(store, say=lambda _: None)
        yield store
        tables.drop(store, say=lambda _: None)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_comes_back_identical_with_every_type(
    dynamodb: DynamoDB, other: DynamoDB, tmp_path: Path, suffix: str, rows: list[Item]
) -> None:
    write(dynamodb, rows)
    path = tmp_path / f"out.{suffix}"
    done = export(dynamodb, path)
    assert (done.items, done.bytes) == (62, path.stat().st_size)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["home", path.name]
    assert import_(other, path) == Counts(new=62)
    assert everything(other) == everything(dynamodb)
    assert import_(other, path) == Counts(unchanged=62)
    again = tmp_path / f"again.{suffix}"
    export(other, again)
    assert again.read_bytes() == path.read_bytes()


def test_csv_goes_there_and_back(dynamodb: DynamoDB, other: DynamoDB, tmp_path: Path) -> None:
    rows = [message_row(f"{n}", f'"{n}",\r\n é😀 ', group=f"{n % 5}") for n in range(50)]
    write(dynamodb, [*rows, group_row(ME, OTHER, "1", "hello")])
    export(dynamodb, tmp_path / "a.csv", format=Format.CSV)
    assert import_(other, tmp_path / "a.csv").new == 51
    assert everything(other) == everything(dynamodb)
    write(dynamodb, [{**rows[0], "likes": {"N": "3"}}])
    with pytest.raises(BadInput, match="'likes', which has no column"):
        export(dynamodb, tmp_path / "b.csv", format=Format.CSV)
    assert not list(tmp_path.glob("b.csv*"))


def some(chosen: random.Random, client: Any, operation: str) -> faults.Struck:
    """About 30 % of these requests are throttled: which ones is left to chance, how often in a row is not."""
    struck = faults.Struck()
    answer = faults.throttled_answer

    def strike(request: Any, **_: Any) -> Any:
        with struck.lock:
            hit = chosen.random() < 0.3
            struck.count += hit
        return answer(request) if hit else None

    client.meta.events.register(f"before-send.dynamodb.{operation}", strike)
    return struck


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_throttling_slows_it_down_and_changes_nothing(
    dynamodb: DynamoDB, other: DynamoDB, tmp_path: Path, suffix: str
) -> None:
    write(dynamodb, (message_row(f"{n:03}", f"{n}" * 9_000, group=f"{n % 11}") for n in range(150)))
    calm, rough = tmp_path / f"calm.{suffix}", tmp_path / f"rough.{suffix}"
    export(dynamodb, calm)
    chosen = random.Random(7)
    scans = some(chosen, dynamodb.client, "Scan")
    export(dynamodb, rough)
    while scans.count == 0:
        export(dynamodb, rough)
    assert rough.read_bytes() == calm.read_bytes()
    puts = some(chosen, other.client, "BatchWriteItem")
    gets = some(chosen, other.client, "BatchGetItem")
    left = faults.unprocessed(other.client, rounds=2, share=0.3)
    write(other, [message_row("000", "another text", group="0"), message_row("kept", "stays")])
    assert import_(other, rough) == Counts(new=149, replaced=1)
    assert puts.count > 0
    assert left.struck > 0
    while gets.count == 0:
        assert import_(other, rough) == Counts(unchanged=150)
    left_alone = [row for row in everything(other) if row["sk"]["S"] != "kept"]
    assert left_alone == everything(dynamodb)


def test_the_checkpoint_of_something_else_is_refused(dynamodb: DynamoDB, other: DynamoDB, tmp_path: Path) -> None:
    write(dynamodb, [message_row("1", "x")])
    path = tmp_path / "a.jsonl"
    about = {"what": "export", **checkpoints.identity(other, tables.describe(other)), "format": "jsonl", "gzip": False}
    state = {"segments": [{"after": None, "items": 0, "bytes": 0, "done": False}], "joined": False}
    checkpoints.save(checkpoints.beside(path), state, about=about)
    with pytest.raises(
        Protected, match=f"it is about table {other.table} on .*, and this is table {dynamodb.table} on"
    ) as caught:
        export(dynamodb, path, segments=None)
    assert "--restart" in (caught.value.hint or "")
    assert not path.exists()
    checkpoints.beside(path).write_text("{}")
    with pytest.raises(Protected, match="it is not a checkpoint"):
        export(dynamodb, path, segments=None)
    assert export(dynamodb, path, segments=None, restart=True).items == 1


def test_why_a_checkpoint_is_of_no_use_is_said_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.checkpoint"
    now = {
        "what": "import", "table": "t", "store": "http://here", "created_at": "2026", "format": "jsonl", "gzip": False,
        "files": [["/tmp/a.jsonl", 10, 20]],
    }  # fmt: skip
    for changes, said in (
        ({"files": [["/tmp/a.jsonl", 11, 21]]}, "the file was changed since it was written"),
        ({"files": [["/tmp/b.jsonl", 10, 20]]}, "it was reading /tmp/b.jsonl"),
        ({"files": {"x": 1}}, "it was reading an unknown file"),
        ({"what": "export"}, "it belongs to an export, and this is an import"),
        ({"created_at": "2025"}, "table t was dropped and created again since it was written"),
        ({"table": "u", "created_at": ""}, "it is about table u on http://here, and this is table t on http://here"),
        ({"format": "csv", "gzip": True}, "the format was csv, and is jsonl now; the file was compressed"),
    ):
        checkpoints.save(path, {}, about={**now, **changes})
        with pytest.raises(Protected) as caught:
            checkpoints.load(path, about=now)
        assert caught.value.message == f"The checkpoint {path} cannot be used to resume: {said}."
        assert (caught.value.details, "--restart" in (caught.value.hint or "")) == (None, True)
        assert ("not written again" in (caught.value.hint or "")) == ("changed" in said)


def test_what_is_there_is_compared_and_the_last_of_a_key_wins(dynamodb: DynamoDB, tmp_path: Path) -> None:
    """Keys come again in the same group of a hundred and far behind it."""
    write(dynamodb, [message_row("0000", "0"), message_row("0001", "old"), message_row("gone", "stays")])
    rows = [message_row(f"{n:04}", f"{n}") for n in range(1000)]
    again = [
        message_row("0005", "later"),
        message_row("0000", "0"),
        message_row("0900", "900"),
        message_row("0007", "l"),
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *again, message_row("0005", "last")]))
    done = import_(dynamodb, path)
    assert done == Counts(new=998, replaced=1, unchanged=1, duplicates=5)
    told = {row["sk"]["S"]: row["message"]["S"] for row in everything(dynamodb)}
    assert told == {f"{n:04}": f"{n}" for n in range(1000)} | {"0005": "last", "0007": "l", "gone": "stays"}


@pytest.mark.parametrize(
    ("length", "max_units", "lines"),
    [
        (10, None, [12]),
        (300_000, None, [4, 8, 12]),  # a MiB at a time
        (10, 40, [5, 10, 12]),  # a quarter of the units at a time: one is read, one written
    ],
)
def test_a_place_is_kept_after_so_many_bytes_and_so_many_units(
    dynamodb: DynamoDB, tmp_path: Path, length: int, max_units: int | None, lines: list[int]
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(message_row(f"{n:04}", "x" * length)) + "\n" for n in range(12)))
    kept: list[int] = []
    importer = importing.Importer(replace(dynamodb, limiter=RateLimiter(max_units=max_units)))
    importer.run(input_files.items(input_files.find(str(path), None)), keep=lambda place, _: kept.append(place.line))
    assert kept == lines


def test_a_dry_run_compares_and_writes_nothing(dynamodb: DynamoDB, tmp_path: Path) -> None:
    write(dynamodb, [message_row("1", "old"), message_row("2", "same")])
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(message_row(f"{n}", "new" if n != 2 else "same")) + "\n" for n in range(4)))
    before = everything(dynamodb)
    assert import_(dynamodb, path, dry_run=True) == Counts(new=2, replaced=1, unchanged=1)
    assert everything(dynamodb) == before


def test_numbers_and_sets_that_are_the_same_are_left_alone(dynamodb: DynamoDB, tmp_path: Path) -> None:
    row = {**message_row("1", "x"), "n": {"N": "10"}, "s": {"NS": ["1", "2"]}, "t": {"SS": ["a", "b"]}}
    write(dynamodb, [row])
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({**row, "n": {"N": "1E1"}, "s": {"NS": ["2.0", "1"]}, "t": {"SS": ["b", "a"]}}))
    assert import_(dynamodb, path) == Counts(unchanged=1)


def test_an_item_that_dynamodb_does_not_take_is_named(
    dynamodb: DynamoDB, tmp_path: Path, endpoint: str, dynamodb_local: str | None
) -> None:
    """DynamoDB Local is so old that it takes no empty text; elsewhere its answer is put in."""
    rows = [message_row(f"{n:04}", "text") for n in range(700)]
    rows[349]["message"] = {"S": "" if endpoint == dynamodb_local else "poison"}
    if endpoint != dynamodb_local:
        faults.refuses(dynamodb.client, "BatchWriteItem", b"poison")
    write(dynamodb, [*rows[:10], *rows[340:345]])
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    with pytest.raises(importing.ItemRefused) as caught:
        import_(dynamodb, path)
    error = caught.value
    assert (error.place, error.fields["sk"]) == (input_files.Place(0, 699), "0349")
    assert "ValidationException" in error.message
    assert error.there == len(everything(dynamodb)) < 700
    rows[349]["message"] = {"S": "mended"}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert import_(dynamodb, path) == Counts(new=700 - error.there, unchanged=error.there)


def test_segments_and_pages_are_chosen_by_size(dynamodb: DynamoDB) -> None:
    write(dynamodb, (message_row(f"{n:04}", f"{n}" * 20, group=f"{n}") for n in range(300)))
    table = tables.describe(dynamodb)
    small = scanning.plan(dynamodb, items=table.items, size=table.bytes)
    assert small.segments == 1
    large = scanning.plan(dynamodb, items=1_000_000, size=300_000_000)
    assert (large.segments, large.readers) == (scanning.MOST_SEGMENTS, scanning.READERS)
    assert large.page_items is not None
    assert large.page_items > 1024 * 1024 / 300
    found = scanning.pages(dynamodb, plan=scanning.ScanPlan(5, 2, page_items=3))
    assert sorted(row["sk"]["S"] for page in found for row in page) == [f"{n:04}" for n in range(300)]
