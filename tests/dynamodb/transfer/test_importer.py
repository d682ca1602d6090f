"""Export and import give identical tables on both engines, with every type and with throttled requests."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli.dynamodb import batch_writer, scanning, tables
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
def test_an_imported_table_is_identical_with_every_type(
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


def test_a_table_exported_as_csv_is_imported_identically(dynamodb: DynamoDB, other: DynamoDB, tmp_path: Path) -> None:
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
    """About 30 % of these requests are throttled, at random, but not too many in a row."""
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
def test_throttling_slows_an_import_down_and_changes_no_row(
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


def test_an_unusable_checkpoint_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.checkpoint"
    now = {
        "what": "import", "table": "t", "store": "http://here", "created_at": "2026", "format": "jsonl", "gzip": False,
        "files": [["/tmp/a.jsonl", 10, 20]],
    }  # fmt: skip
    for changes, said in (
        ({"files": [["/tmp/a.jsonl", 11, 21]]}, "the file was changed since it was written"),
        ({"files": [["/tmp/b.jsonl", 10, 20]]}, "it was reading /tmp/b.jsonl"),
        ({"files": {"x": 1}}, "it was reading an unknown file"),
        ({"files": [[]]}, "it was reading an unknown file"),
        ({"files": ["/tmp/b.jsonl"]}, "it was reading an unknown file"),
        ({"store": "http://there"}, "it is about table t on http://there, and this is table t on http://here"),
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


def test_stored_rows_are_compared_and_the_last_item_of_a_key_is_stored(dynamodb: DynamoDB, tmp_path: Path) -> None:
    """Keys are repeated in the same portion of a hundred and far after it."""
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


def file_of(folder: Path, rows: list[Item]) -> Path:
    path = folder / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_resumed_import_begins_with_the_counts_of_the_interrupted_one(dynamodb: DynamoDB) -> None:
    importer = importing.Importer(dynamodb, counts=Counts(new=1, replaced=2, unchanged=4, duplicates=8))
    assert (importer.in_table, importer.lines_done, importer.lines) == (7, 15, 0)


@pytest.mark.parametrize(
    ("filled", "compare", "known", "reads"),
    [(False, True, True, 0), (False, False, True, 0), (True, True, True, 1), (True, False, False, 0)],
)
def test_a_table_with_items_is_compared_on_request(
    dynamodb: DynamoDB, tmp_path: Path, filled: bool, compare: bool, known: bool, reads: int
) -> None:
    write(dynamodb, [message_row("another", "x")] if filled else [])
    looks, asked = (faults.asked(dynamodb.client, operation) for operation in ("Scan", "BatchGetItem"))
    importer = importing.Importer(dynamodb, compare=compare)
    found = input_files.items(input_files.find(str(file_of(tmp_path, [message_row("1", "x")])), None))
    assert importer.run(found) == Counts(new=1)
    assert importer.counts_are_exact is known
    assert [(each["Limit"], each["ConsistentRead"]) for each in looks] == [(1, True)], "one item tells"
    assert [each["RequestItems"][dynamodb.table]["ConsistentRead"] for each in asked] == [True] * reads


def test_unprocessed_keys_are_requested_again(
    dynamodb: DynamoDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [message_row(f"{n}", "x") for n in range(10)]
    write(dynamodb, rows)
    asked = faults.asked(dynamodb.client, "BatchGetItem")
    unread = [10, 4]

    def give_back(parsed: dict[str, Any], **_: Any) -> None:
        left = asked[-1]["RequestItems"][dynamodb.table]["Keys"][: unread.pop(0) if unread else 0]
        found = parsed["Responses"][dynamodb.table]
        parsed["Responses"] = {
            dynamodb.table: [item for item in found if item["sk"] not in [key["sk"] for key in left]]
        }
        parsed["UnprocessedKeys"] = {dynamodb.table: {"Keys": left}} if left else {}

    dynamodb.client.meta.events.register("after-call.dynamodb.BatchGetItem", give_back)
    pauses: list[str] = []
    monkeypatch.setattr(batch_writer.BatchSender, "pause", lambda _, what: pauses.append(what))
    assert import_(dynamodb, file_of(tmp_path, rows)) == Counts(unchanged=10)
    assert [len(each["RequestItems"][dynamodb.table]["Keys"]) for each in asked] == [10, 10, 4]
    assert pauses == ["10 keys of a batch came back unread"], "no pause while some are read"


@pytest.mark.parametrize("max_units", [None, 10_000])
def test_with_a_limit_of_units_one_batch_is_written_at_a_time(
    dynamodb: DynamoDB, tmp_path: Path, max_units: int | None
) -> None:
    lock, sent, at_once = threading.Lock(), [0], [0]

    def begins(**_: Any) -> None:
        with lock:
            sent[0] += 1
            at_once[0] = max(at_once[0], sent[0])
        time.sleep(0.05)

    def ends(**_: Any) -> None:
        with lock:
            sent[0] -= 1

    dynamodb.client.meta.events.register("before-call.dynamodb.BatchWriteItem", begins)
    dynamodb.client.meta.events.register("after-call.dynamodb.BatchWriteItem", ends)
    rows = [message_row(f"{n:03}", "x") for n in range(300)]
    store = replace(dynamodb, limiter=RateLimiter(max_units=max_units))
    assert import_(store, file_of(tmp_path, rows)).new == 300
    assert (at_once[0] == 1) is (max_units is not None)


def test_the_last_item_of_a_key_is_stored_even_if_the_first_portion_is_slow(dynamodb: DynamoDB, tmp_path: Path) -> None:
    def slow(request: Any, **_: Any) -> None:
        if b"first" in request.body:
            time.sleep(0.3)

    dynamodb.client.meta.events.register("before-send.dynamodb.BatchWriteItem", slow)
    rows = [message_row(f"{n:03}", text) for text, n in [("first", 0), *(("x", n) for n in range(1, 200)), ("last", 0)]]
    assert import_(dynamodb, file_of(tmp_path, rows)) == Counts(new=200, duplicates=1)
    assert everything(dynamodb)[0]["message"] == {"S": "last"}


def test_portions_in_flight_are_counted_by_their_outcome(dynamodb: DynamoDB, tmp_path: Path) -> None:
    """One portion has an item that DynamoDB refuses, one is refused as a whole, one is written."""
    rows = [
        message_row(f"{n:03}", text) for n, text in enumerate(["poison", *["x"] * 99, *["denied"] * 100, *["x"] * 9])
    ]
    poisoned = faults.refuses(dynamodb.client, "BatchWriteItem", b"poison")

    def wait(request: Any, **_: Any) -> None:
        while b"denied" in request.body and len(poisoned.at) < 2:
            time.sleep(0.01)
        time.sleep(0.5 if b"denied" in request.body else 0)

    dynamodb.client.meta.events.register_first("before-send.dynamodb.BatchWriteItem", wait)
    faults.refuses(dynamodb.client, "BatchWriteItem", b"denied", code="AccessDeniedException")
    before = [message_row(f"before {n}", "x") for n in range(5)]
    write(dynamodb, before)
    with pytest.raises(importing.ItemRefused) as caught:
        import_(dynamodb, file_of(tmp_path, rows), compare=False, counts=Counts(new=5))
    assert caught.value.in_table == len(everything(dynamodb)) == 14


@pytest.mark.parametrize(
    ("count", "length", "max_units", "lines"),
    [
        (201, 1000, None, [100, 200, 201]),
        (12, 300_000, None, [4, 8, 12]),  # a MiB at a time
        (9, 262_144, None, [4, 8, 9]),
        (12, 1000, 40, [5, 10, 12]),  # a quarter of the units at a time: one is read, one written
        (30, 1000, 10_000, [25, 30]),
    ],
)
def test_a_portion_ends_after_its_limit_of_items_bytes_or_units(
    dynamodb: DynamoDB, tmp_path: Path, count: int, length: int, max_units: int | None, lines: list[int]
) -> None:
    path = tmp_path / "in.jsonl"
    least = "x" * 80
    text = "x" * (length + 79 - len(json.dumps(message_row("0000", least))))
    path.write_text("".join(json.dumps(message_row(f"{n:04}", text)) + "\n" for n in range(count)))
    assert path.stat().st_size == count * length
    kept: list[int] = []
    importer = importing.Importer(replace(dynamodb, limiter=RateLimiter(max_units=max_units)))
    importer.run(input_files.items(input_files.find(str(path), None)), keep=lambda place, _: kept.append(place.line))
    assert kept == lines


def test_a_dry_run_compares_and_writes_nothing(dynamodb: DynamoDB, tmp_path: Path) -> None:
    write(dynamodb, [message_row("1", "old"), message_row("2", "same")])
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(message_row(f"{n}", "new" if n != 2 else "same")) + "\n" for n in range(4)))
    before = everything(dynamodb)
    seen: list[tuple[str, str]] = []
    found = import_(
        dynamodb, path, dry_run=True, replaces=lambda *both: seen.append(tuple(row["message"]["S"] for row in both))
    )
    assert found == Counts(new=2, replaced=1, unchanged=1)
    assert (seen, dynamodb.meter.planned) == ([("old", "new")], 3.0)
    assert everything(dynamodb) == before


def test_equal_numbers_and_sets_are_not_written(dynamodb: DynamoDB, tmp_path: Path) -> None:
    row = {**message_row("1", "x"), "n": {"N": "10"}, "s": {"NS": ["1", "2"]}, "t": {"SS": ["a", "b"]}}
    write(dynamodb, [row])
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({**row, "n": {"N": "1E1"}, "s": {"NS": ["2.0", "1"]}, "t": {"SS": ["b", "a"]}}))
    assert import_(dynamodb, path) == Counts(unchanged=1)


def test_an_item_that_dynamodb_refuses_is_named(
    dynamodb: DynamoDB, tmp_path: Path, endpoint: str, dynamodb_local: str | None
) -> None:
    """The old DynamoDB Local refuses an empty text. On other engines its answer is simulated."""
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
    assert error.in_table == len(everything(dynamodb)) < 700
    rows[349]["message"] = {"S": "mended"}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert import_(dynamodb, path) == Counts(new=700 - error.in_table, unchanged=error.in_table)


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
