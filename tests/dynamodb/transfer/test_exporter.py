"""Exported files can be read by every program, keep their mode, and are complete after throttling."""

from __future__ import annotations

import gzip
import io
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli.dynamodb import scanning
from cruddur_cli.dynamodb.capacity.limiter import RateLimiter
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.transfer import Format, checkpoints, exporter, input_files
from cruddur_cli.dynamodb.transfer.importer import Counts
from cruddur_cli.errors import BadInput, Incomplete, Protected, Refused
from tests import faults
from tests.dynamodb.rows import message_row, write
from tests.dynamodb.transfer.roundtrip import export, import_


def test_every_program_reads_the_gzip_file(dynamodb: DynamoDB, tmp_path: Path) -> None:
    write(dynamodb, (message_row(f"{n}", "x" * 30_000, group=f"{n % 5}") for n in range(100)))
    export(dynamodb, tmp_path / "a.jsonl")
    export(dynamodb, tmp_path / "a.jsonl.gz")
    squeezed = (tmp_path / "a.jsonl.gz").read_bytes()
    assert gzip.decompress(squeezed) == (tmp_path / "a.jsonl").read_bytes()
    assert squeezed[4:8] == bytes(4)  # no time in it
    assert len(squeezed) < 100_000


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "csv"])
def test_the_export_of_an_empty_table_is_a_file_without_items(dynamodb: DynamoDB, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    format = Format.CSV if suffix == "csv" else Format.JSONL
    assert export(dynamodb, path, format=format).items == 0
    assert list(input_files.items(input_files.find(str(path), None))) == []
    content = path.read_bytes()
    assert (gzip.decompress(content) if suffix.endswith("gz") else content).count(b"\n") == (suffix == "csv")


def test_a_replaced_file_keeps_its_mode(dynamodb: DynamoDB, tmp_path: Path) -> None:
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


def test_a_part_is_created_with_its_mode(dynamodb: DynamoDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(dynamodb, [message_row("1", "secret")])
    path = tmp_path / "a.jsonl"
    path.touch(mode=0o600)
    before, change = [], os.fchmod

    def fchmod(file: int, mode: int) -> None:
        before.append(os.fstat(file).st_mode & 0o777)
        change(file, mode)

    monkeypatch.setattr(os, "fchmod", fchmod)
    export(dynamodb, path, segments=2)
    assert before == [0o600, 0o600]


def _modes(folder: Path, pattern: str) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in folder.glob(pattern)}


def test_unprocessed_keys_are_read_again(dynamodb: DynamoDB, tmp_path: Path) -> None:
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


def test_a_throttled_segment_ends_the_export_which_can_be_resumed(dynamodb: DynamoDB, tmp_path: Path) -> None:
    dynamodb.busy_s = 0.3
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


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "csv"])
def test_a_limit_of_units_that_ends_an_export_leaves_no_trace_in_the_file(
    dynamodb: DynamoDB, tmp_path: Path, suffix: str
) -> None:
    """A chunk that a limit ended is written again together with the next items, and its items are counted once."""
    write(dynamodb, (message_row(f"{n:03}", f"{n}" * 20_000) for n in range(60)))
    format = Format.CSV if suffix == "csv" else Format.JSONL
    calm, path = tmp_path / f"calm.{suffix}", tmp_path / f"out.{suffix}"
    whole = export(dynamodb, calm, segments=1, format=format)
    assert (whole.items, whole.bytes, whole.segments, whole.resumed) == (60, calm.stat().st_size, 1, 0)
    for tries in range(50):
        said: list[str] = []
        limited = replace(dynamodb, limiter=RateLimiter(max_units=120))
        try:
            done = export(limited, path, segments=None if tries else 1, format=format, say=said.append)
            break
        except Incomplete as error:
            assert error.code == "max_units"
    assert tries > 1
    assert said == [f"resuming the export: {done.resumed:,} items are written already"]
    assert (done.items, done.bytes) == (60, whole.bytes)
    assert 0 < done.resumed < 60
    assert path.read_bytes() == calm.read_bytes()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(["home", calm.name, path.name])


class Killed(BaseException):
    """The process was killed."""


def killed(*_: object) -> None:
    raise Killed


@pytest.mark.parametrize("at", ["before the file has its name", "after the file has its name"])
@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_an_export_that_was_killed_at_its_end_is_completed(
    dynamodb: DynamoDB, tmp_path: Path, suffix: str, at: str
) -> None:
    write(dynamodb, (message_row(f"{n}", "x", group=f"{n % 5}") for n in range(20)))
    calm, path = tmp_path / f"calm.{suffix}", tmp_path / f"out.{suffix}"
    export(dynamodb, calm)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        if at == "before the file has its name":
            path.write_text("what was there\n")
            patch.setattr(Path, "chmod", killed)
        else:
            patch.setattr(checkpoints, "sync_folder", killed)
        export(dynamodb, path)
    write(dynamodb, [message_row("later", "x")])
    done = export(dynamodb, path, segments=None)
    assert (done.items, done.resumed, done.bytes) == (20, 20, calm.stat().st_size)
    assert path.read_bytes() == calm.read_bytes()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(["home", calm.name, path.name])


def test_bytes_after_the_checkpoint_of_a_killed_export_are_not_in_the_file(dynamodb: DynamoDB, tmp_path: Path) -> None:
    dynamodb.busy_s = 0.3
    write(dynamodb, (message_row(f"{n:03}", "x" * 9_000, group=f"{n}") for n in range(40)))
    calm, path = tmp_path / "calm.jsonl", tmp_path / "out.jsonl"
    export(dynamodb, calm, segments=2)
    stuck = [True]

    def strike(request: Any, **_: Any) -> Any:
        return faults.throttled_answer(request) if stuck[0] and b'"Segment": 0' in request.body else None

    dynamodb.client.meta.events.register("before-send.dynamodb.Scan", strike)
    with pytest.raises(Refused):
        export(dynamodb, path, segments=2)
    stuck[0] = False
    for number in range(2):
        with (tmp_path / f"out.jsonl.part-{number}").open("ab") as part:
            part.write(b"half of a li")
    export(dynamodb, path, segments=None)
    assert path.read_bytes() == calm.read_bytes()


def test_parts_that_cannot_be_resumed_are_deleted(dynamodb: DynamoDB, tmp_path: Path) -> None:
    dynamodb.busy_s = 0.3
    write(dynamodb, (message_row(f"{n:03}", "x" * 60_000) for n in range(30)))
    for name in ("a.csv.part-x", "a.csv.part-", "12"):
        (tmp_path / name).touch()
    before = sorted(tmp_path.iterdir())
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Refused):
        patch.setattr(scanning, "segment", refuse)
        export(dynamodb, tmp_path / "a.csv", format=Format.CSV, segments=1)
    assert sorted(tmp_path.iterdir()) == before
    write(dynamodb, [{**message_row("999", "x"), "likes": {"N": "3"}}])
    with pytest.raises(BadInput, match="'likes', which has no column"):
        export(dynamodb, tmp_path / "a.csv", format=Format.CSV, segments=1)
    assert sorted(tmp_path.iterdir()) == before


def refuse(*_: object, **__: object) -> Any:
    raise Refused("the table is busy")


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_only_the_owner_can_read_a_private_export(dynamodb: DynamoDB, tmp_path: Path, mode: int) -> None:
    write(dynamodb, [message_row("1", "secret")])
    path = tmp_path / "a.jsonl"
    path.touch()
    path.chmod(mode)
    seen: set[int] = set()
    export(dynamodb, path, private=True, advance=lambda _: seen.update(_modes(tmp_path, "a.jsonl.part-*")))
    assert (seen, _modes(tmp_path, "a.jsonl")) == ({0o600}, {0o600})


def streamed(dynamodb: DynamoDB, **options: Any) -> tuple[int, bytes]:
    stream = io.BytesIO()
    plan = scanning.ScanPlan(3, 2, page_items=None)
    counts = exporter.to_stream(dynamodb, stream, plan=plan, **options)
    return sum(counts), stream.getvalue()


def test_a_stream_gets_every_item_in_any_order(dynamodb: DynamoDB) -> None:
    write(dynamodb, (message_row(f"{n}", "=1+1", group=f"{n % 5}") for n in range(20)))
    count, content = streamed(dynamodb, format=Format.JSONL)
    assert (count, content.count(b"\n"), content.count(b"=1+1")) == (20, 20, 20 * 2)
    count, squeezed = streamed(dynamodb, format=Format.JSONL, zipped=True)
    assert (count, sorted(gzip.decompress(squeezed).splitlines())) == (20, sorted(content.splitlines()))
    for escaped, cells in ((False, 0), (True, 20)):
        count, content = streamed(dynamodb, format=Format.CSV, escape_formulas=escaped)
        assert (count, content.count(b"\n"), content.count(b",'=1+1")) == (20, 21, cells)
        assert content.startswith(b"pk,sk,")
    _, content = streamed(dynamodb, format=Format.CSV)
    assert b"'=1+1" not in content
