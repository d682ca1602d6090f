"""Exports: files as every program reads them, as private as before, whole after throttling."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.transfer import Format, checkpoints, input_files
from cruddur_cli.dynamodb.transfer.importer import Counts
from cruddur_cli.errors import Protected, Refused
from tests import faults
from tests.dynamodb.rows import message_row, write
from tests.dynamodb.transfer.roundtrip import export, import_


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
    assert list(input_files.items(input_files.find(str(path), None))) == []
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


def test_a_part_is_private_from_its_first_moment(
    dynamodb: DynamoDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_segment_that_stays_throttled_ends_the_export_and_it_resumes_later(
    dynamodb: DynamoDB, tmp_path: Path
) -> None:
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
