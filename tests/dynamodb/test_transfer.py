"""Export and import on both engines: identical tables with every type, whatever is throttled or left unprocessed."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli.dynamodb import checkpoints, exporting, importing, scanning, sources, tables
from cruddur_cli.dynamodb.client import DynamoDB, opened
from cruddur_cli.dynamodb.formats import Format
from cruddur_cli.dynamodb.importing import Counts
from cruddur_cli.errors import BadInput, Protected, Refused
from tests import faults
from tests.dynamodb.rows import ME, OTHER, Item, everything, group_row, message_row, write
from tests.dynamodb.test_transfer_formats import EVERY_TYPE

SUFFIXES = ["jsonl", "jsonl.gz", "json", "json.gz"]


@pytest.fixture
def other(dynamodb: DynamoDB) -> Iterator[DynamoDB]:
    """A second, empty table on the same engine."""
    with opened(dynamodb.at, f"{dynamodb.table}-other") as store:
        tables.create(store, say=lambda _: None)
        yield store
        tables.drop(store, say=lambda _: None)


def every_type(endpoint: str, local: str | None) -> list[Item]:
    """Rows of every type, in several partitions. DynamoDB Local is so old that it takes no empty value."""
    left_out = {"empty", "nothing"} if endpoint == local else set()
    full = {name: value for name, value in EVERY_TYPE.items() if name not in left_out}
    rows = [{**full, "pk": {"S": f"MSG#{n % 7}"}, "sk": {"S": f"{n:04}"}, "n": {"N": f"{n}"}} for n in range(60)]
    return [*rows, message_row("1", "hello"), group_row(ME, OTHER, "1", "hello")]


@pytest.fixture
def rows(endpoint: str, dynamodb_local: str | None) -> list[Item]:
    """62 rows of every type that the engine takes."""
    return every_type(endpoint, dynamodb_local)


def export(store: DynamoDB, path: Path, *, segments: int | None = 3, **options: Any) -> exporting.Exported:
    options.setdefault("format", Format.DYNAMODB_JSON if ".json" in path.suffixes else Format.JSONL)
    return exporting.to_file(
        store, tables.describe(store), path, zipped=path.suffix == ".gz", segments=segments, **options
    )


def import_(store: DynamoDB, path: Path | str, **options: Any) -> Counts:
    importer = importing.Importer(store, **options)
    return importer.run(sources.items(sources.find(str(path), None)))


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


def test_gzip_is_what_every_program_reads(dynamodb: DynamoDB, tmp_path: Path) -> None:
    write(dynamodb, (message_row(f"{n}", "x" * 30_000, group=f"{n % 5}") for n in range(100)))
    export(dynamodb, tmp_path / "a.jsonl")
    export(dynamodb, tmp_path / "a.jsonl.gz")
    squeezed = (tmp_path / "a.jsonl.gz").read_bytes()
    assert gzip.decompress(squeezed) == (tmp_path / "a.jsonl").read_bytes()
    assert squeezed[4:8] == bytes(4)  # no time in it
    assert len(squeezed) < 100_000


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "csv"])
def test_an_empty_table_is_a_file_without_items(dynamodb: DynamoDB, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    format = Format.CSV if suffix == "csv" else Format.JSONL
    assert export(dynamodb, path, format=format).items == 0
    assert list(sources.items(sources.find(str(path), None))) == []
    content = path.read_bytes()
    assert (gzip.decompress(content) if suffix.endswith("gz") else content).count(b"\n") == (suffix == "csv")


def test_a_file_that_is_replaced_stays_as_private_as_it_was(dynamodb: DynamoDB, tmp_path: Path) -> None:
    write(dynamodb, [message_row("1", "secret")])
    path = tmp_path / "a.jsonl"
    seen: set[int] = set()
    for mode in (0o600, 0o640, 0o444):
        path.touch()
        path.chmod(mode)
        export(dynamodb, path, segments=2, advance=lambda _: seen.update(_modes(tmp_path, "a.jsonl.part-*")))
        assert [path.stat().st_mode & 0o777, *seen] == [mode, mode | 0o600]
        seen.clear()
    path.unlink()
    export(dynamodb, path)
    (tmp_path / "plain").touch()
    assert _modes(tmp_path, "a.jsonl") == _modes(tmp_path, "plain")


def _modes(folder: Path, pattern: str) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in folder.glob(pattern)}


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


def test_keys_that_come_back_unread_are_read_again(dynamodb: DynamoDB, tmp_path: Path) -> None:
    write(dynamodb, (message_row(f"{n:03}", "text") for n in range(250)))
    export(dynamodb, tmp_path / "a.jsonl")
    asked: list[int] = []

    def cut(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        body = json.loads(params["body"])
        keys = body["RequestItems"][dynamodb.table]["Keys"]
        asked.append(len(keys))
        keep = max(1, len(keys) // 2)
        body["RequestItems"][dynamodb.table]["Keys"], context["left"] = keys[:keep], keys[keep:]
        params["body"] = json.dumps(body).encode()

    def give_back(parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        if context["left"]:
            parsed["UnprocessedKeys"] = {dynamodb.table: {"Keys": context["left"], "ConsistentRead": True}}

    dynamodb.client.meta.events.register("before-call.dynamodb.BatchGetItem", cut)
    dynamodb.client.meta.events.register("after-call.dynamodb.BatchGetItem", give_back)
    assert import_(dynamodb, tmp_path / "a.jsonl") == Counts(unchanged=250)
    assert len(asked) > 3 * 6


def test_one_segment_that_is_throttled_for_ever_ends_the_export_and_it_goes_on_later(
    dynamodb: DynamoDB, tmp_path: Path
) -> None:
    dynamodb.patience_s = 0.3
    write(dynamodb, (message_row(f"{n:03}", "x" * 90_000, group=f"{n}") for n in range(40)))
    export(dynamodb, tmp_path / "calm.jsonl", segments=2)
    stuck = [True]

    def strike(request: Any, **_: Any) -> Any:
        return faults.throttled_answer(request) if stuck[0] and b'"Segment": 1' in request.body else None

    dynamodb.client.meta.events.register("before-send.dynamodb.Scan", strike)
    path = tmp_path / "out.jsonl"
    path.write_text("what was there\n")
    with pytest.raises(Refused, match="still busy"):
        export(dynamodb, path, segments=2)
    assert path.read_text() == "what was there\n"
    assert checkpoints.beside(path).exists()
    with pytest.raises(Protected, match="2 segments"):
        export(dynamodb, path, segments=4)
    stuck[0] = False
    done = export(dynamodb, path, segments=None)
    assert done.resumed > 0
    assert path.read_bytes() == (tmp_path / "calm.jsonl").read_bytes()
    assert not checkpoints.beside(path).exists()


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
    with pytest.raises(Protected, match="not a checkpoint"):
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
        ({"files": [["/tmp/b.jsonl", 10, 20]]}, "what was read is /tmp/b.jsonl"),
        ({"files": {"x": 1}}, "what was read is unknown"),
        ({"what": "export"}, "it was left by an export, and this is an import"),
        ({"created_at": "2025"}, "table t was made anew since it was written"),
        ({"table": "u", "created_at": ""}, "it is about table u on http://here, and this is table t on http://here"),
        ({"format": "csv", "gzip": True}, "the format was csv, and is jsonl now; the file was to be compressed"),
    ):
        checkpoints.save(path, {}, about={**now, **changes})
        with pytest.raises(Protected) as caught:
            checkpoints.load(path, about=now)
        assert caught.value.message == f"{path} is of no use now: {said}."
        assert (caught.value.details, "--restart" in (caught.value.hint or "")) == (None, True)
        assert ("left alone" in (caught.value.hint or "")) == ("changed" in said)


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
    assert (error.place, error.fields["sk"]) == (sources.Place(0, 699), "0349")
    assert "ValidationException" in error.message
    assert error.there == len(everything(dynamodb)) < 700
    rows[349]["message"] = {"S": "mended"}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert import_(dynamodb, path) == Counts(new=700 - error.there, unchanged=error.there)


def s3_export(folder: Path, rows: list[Item], *, files: int = 3) -> Path:
    """What DynamoDB's export to S3 leaves in a bucket, by "DynamoDB table export output format"."""
    (folder / "data").mkdir(parents=True)
    manifest = []
    for number in range(files):
        part = rows[number::files]
        lines = "".join(
            json.dumps({"Item": row}, default=lambda b: base64.b64encode(b).decode()) + "\n" for row in part
        )
        content = gzip.compress(lines.encode())
        (folder / "data" / f"file{number}.json.gz").write_bytes(content)
        digest = hashlib.md5(content).digest()
        manifest.append(
            {
                "itemCount": len(part),
                "md5Checksum": base64.b64encode(digest).decode(),
                "etag": digest.hex() + "-1",
                "dataFileS3Key": f"AWSDynamoDB/01693685827463-2d8752fd/data/file{number}.json.gz",
            }
        )
    (folder / "manifest-files.json").write_text("".join(json.dumps(line) + "\n" for line in manifest))
    (folder / "manifest-summary.json").write_text("{}")
    return folder


def test_an_export_of_dynamodb_itself_is_imported(dynamodb: DynamoDB, tmp_path: Path, rows: list[Item]) -> None:
    folder = s3_export(tmp_path / "01693685827463-2d8752fd", rows)
    assert import_(dynamodb, folder) == Counts(new=62)
    (folder / "manifest-files.json").unlink()
    assert import_(dynamodb, folder) == Counts(unchanged=62)


def test_a_damaged_export_of_dynamodb_is_refused(tmp_path: Path) -> None:
    folder = s3_export(tmp_path / "export", every_type("", None))
    data = folder / "data" / "file1.json.gz"
    whole = data.read_bytes()
    data.write_bytes(gzip.compress(b""))
    with pytest.raises(BadInput, match="MD5"):
        sources.find(str(folder), None)
    data.unlink()
    with pytest.raises(BadInput, match="not there"):
        sources.find(str(folder), None)
    (folder / "manifest-files.json").unlink()
    data.write_bytes(whole[:-20])
    with pytest.raises(BadInput, match="not complete"):
        list(sources.items(sources.find(str(folder), None)))
    with pytest.raises(BadInput, match="manifest-files"):
        sources.find(str(tmp_path / "home"), None)


def test_a_file_of_no_bytes_is_no_gzip(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "A.CSV.GZ"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(BadInput, match=r"(?i)a\..*gz is empty") as caught:
            list(sources.items(sources.find(str(tmp_path / name), None)))
        assert caught.value.code == "malformed_file"
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "a.jsonl").write_bytes(b"")
    for name in ("a.jsonl", "a.jsonl.gz"):
        assert list(sources.items(sources.find(str(tmp_path / name), None))) == []


def test_segments_and_pages_are_chosen_by_size(dynamodb: DynamoDB) -> None:
    write(dynamodb, (message_row(f"{n:04}", f"{n}" * 20, group=f"{n}") for n in range(300)))
    table = tables.describe(dynamodb)
    small = scanning.plan(dynamodb, items=table.items, size=table.bytes)
    assert small.segments == 1
    large = scanning.plan(dynamodb, items=1_000_000, size=300_000_000)
    assert (large.segments, large.readers) == (scanning.MOST_SEGMENTS, scanning.READERS)
    assert large.page_items is not None
    assert large.page_items > 1024 * 1024 / 300
    found = scanning.pages(dynamodb, plan=scanning.Plan(5, 2, page_items=3))
    assert sorted(row["sk"]["S"] for page in found for row in page) == [f"{n:04}" for n in range(300)]
