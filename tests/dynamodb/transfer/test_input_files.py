"""An import reads files, standard input, and DynamoDB's own exports."""

from __future__ import annotations

import base64
import errno
import gzip
import hashlib
import io
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.transfer import Format, formats, input_files
from cruddur_cli.dynamodb.transfer.importer import Counts
from cruddur_cli.dynamodb.transfer.input_files import Place
from cruddur_cli.errors import BadInput
from tests.dynamodb.rows import Item, message_row
from tests.dynamodb.transfer.roundtrip import every_type, import_


def s3_export(folder: Path, rows: list[Item], *, files: int = 3) -> Path:
    """The files of DynamoDB's export to S3, by "DynamoDB table export output format"."""
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


def test_an_export_of_dynamodb_is_imported(dynamodb: DynamoDB, tmp_path: Path, rows: list[Item]) -> None:
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
        input_files.find(str(folder), None)
    data.unlink()
    with pytest.raises(BadInput, match="does not exist"):
        input_files.find(str(folder), None)
    (folder / "manifest-files.json").unlink()
    data.write_bytes(whole[:-20])
    with pytest.raises(BadInput, match="not complete"):
        list(input_files.items(input_files.find(str(folder), None)))
    with pytest.raises(BadInput, match="manifest-files"):
        input_files.find(str(tmp_path / "home"), None)


def test_an_empty_file_is_not_gzip(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "A.CSV.GZ"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(BadInput, match=r"(?i)a\..*gz is empty") as caught:
            list(input_files.items(input_files.find(str(tmp_path / name), None)))
        assert caught.value.code == "malformed_file"
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "a.jsonl").write_bytes(b"")
    for name in ("a.jsonl", "a.jsonl.gz"):
        assert list(input_files.items(input_files.find(str(tmp_path / name), None))) == []


ROWS = [message_row(f"{number}", "text") for number in range(7)]


def places(name: Path | str, format: Format | None = None, *, after: Place | None = None) -> list[tuple[int, int]]:
    found = input_files.items(input_files.find(str(name), format), after=after)
    return [(place.file, place.line) for place, _, _ in found]


def refused(name: Path | str, format: Format | None = None) -> str:
    with pytest.raises(BadInput) as caught:
        places(name, format)
    return caught.value.message


def test_an_import_of_several_files_resumes_after_its_line(tmp_path: Path) -> None:
    folder = s3_export(tmp_path / "export", ROWS)
    assert places(folder) == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (2, 1), (2, 2)]
    assert places(folder, after=Place(0, 2)) == [(0, 3), (1, 1), (1, 2), (2, 1), (2, 2)]
    assert places(folder, after=Place(1, 1)) == [(1, 2), (2, 1), (2, 2)]
    assert places(folder, after=Place(2, 2)) == []


@pytest.mark.parametrize("count", [2, 4])
def test_a_file_with_another_number_of_items_than_its_manifest_is_refused(tmp_path: Path, count: int) -> None:
    folder = s3_export(tmp_path / "export", ROWS)
    manifest = folder / "manifest-files.json"
    manifest.write_text(manifest.read_text().replace('"itemCount": 3', f'"itemCount": {count}'))
    path = folder / "data" / "file0.json.gz"
    assert refused(folder) == f"{path} holds 3 items, and manifest-files.json says {count}."
    # Where it resumes within a file, the number of the rest tells nothing.
    assert len(places(folder, after=Place(0, 1))) == 6


def test_a_manifest_may_lack_counts_and_digests_and_have_blank_lines(tmp_path: Path) -> None:
    folder = s3_export(tmp_path / "export", ROWS)
    manifest = folder / "manifest-files.json"
    entries = [json.loads(line) for line in manifest.read_text().splitlines()]
    manifest.write_text("".join(f"{json.dumps({'dataFileS3Key': each['dataFileS3Key']})}\n\n" for each in entries))
    for number in range(3):
        (folder / "data" / f"file{number}.json.gz").rename(folder / f"file{number}.json.gz")
    assert len(places(folder)) == 7
    manifest.write_text(f"{manifest.read_text()}nonsense\n")
    assert refused(folder) == f"{manifest}, line 7 names no data file."


@pytest.mark.parametrize(
    ("digest", "is_its"),
    [("{0}", True), ("{1}", True), ("{2}", True), ("0{1}", False), ("not base64!", False), ("{1}-1", False)],
)
def test_a_digest_is_that_of_the_file_in_base64_or_as_a_number(tmp_path: Path, digest: str, is_its: bool) -> None:
    folder = s3_export(tmp_path / "export", ROWS, files=1)
    manifest = folder / "manifest-files.json"
    entry = json.loads(manifest.read_text())
    number = hashlib.md5((folder / "data" / "file0.json.gz").read_bytes()).hexdigest()
    entry["md5Checksum"] = digest.format(entry["md5Checksum"], number, number.upper())
    manifest.write_text(json.dumps(entry))
    if is_its:
        assert len(places(folder)) == 7
    else:
        assert "was changed: its MD5 differs" in refused(folder)


def test_a_folder_is_read_in_the_format_of_dynamodb_only(tmp_path: Path) -> None:
    folder = s3_export(tmp_path / "export", ROWS)
    assert len(places(folder, Format.DYNAMODB_JSON)) == 7
    assert refused(folder, Format.CSV) == f"{folder} is a folder, and only --format dynamodb-json reads a folder."


def test_a_given_format_overrides_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(json.dumps(ROWS[0]))
    assert places(path, Format.JSONL) == [(0, 1)]
    assert "is not a header" in refused(path)


def test_gzip_is_recognized_by_its_first_bytes_without_a_suffix(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(gzip.compress(json.dumps(ROWS[0]).encode()))
    assert places(path) == [(0, 1)]
    text = tmp_path / "a.jsonl.gz"
    text.write_text(json.dumps(ROWS[0]))
    assert "is damaged or not complete: gzip ends after line 0" in refused(text)


def test_a_truncated_gzip_file_is_refused_with_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    lines = "".join(json.dumps(message_row(f"{number}", "x" * 30_000)) + "\n" for number in range(20))
    path.write_bytes(gzip.compress(lines.encode(), compresslevel=0)[:-8])
    assert re.search(r"gzip ends after line 1?[1-9] \(", refused(path))


def test_an_error_names_the_given_file_or_the_file_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a b.jsonl").write_text("[]")
    with pytest.raises(BadInput) as caught:
        places("a b.jsonl")
    assert caught.value.message.startswith("a b.jsonl, line 1 holds a list")
    assert caught.value.hint == "jq -c '.[]' 'a b.jsonl' | cruddur ddb import -"
    folder = s3_export(tmp_path / "export", ROWS, files=2)
    (folder / "manifest-files.json").unlink()
    bad = folder / "data" / "file1.json.gz"
    bad.write_bytes(gzip.compress(b"nonsense"))
    assert refused(folder).startswith(f"{bad}, line 1 is not JSON")
    source = input_files.find(str(folder), None)
    assert input_files.where(source, Place(1, 3)) == f"{bad}, line 3"
    assert input_files.where(input_files.find("a b.jsonl", None), Place(0, 3)) == "a b.jsonl, line 3"


def reads(monkeypatch: pytest.MonkeyPatch, stream: Any) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))


def test_standard_input_has_json_lines_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [json.dumps(row).encode() for row in ROWS[:2]]
    content = formats.header(Format.CSV) + formats.encoder(Format.CSV)(ROWS[0])
    for written, format, found in (
        (b"\n".join(lines), None, [(0, 1), (0, 2)]),
        (gzip.compress(b"\n".join(lines)), None, [(0, 1), (0, 2)]),
        (content, Format.CSV, [(0, 2)]),
    ):
        reads(monkeypatch, io.BufferedReader(io.BytesIO(written)))
        assert places("-", format) == found
    assert input_files.where(input_files.find("-", None), Place(0, 3)) == "standard input, line 3"


@pytest.mark.parametrize(
    ("error", "why"),
    [(OSError(errno.EIO, "Input/output error"), "Input/output error"), (OSError("it ended"), "it ended")],
)
def test_an_unreadable_stream_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, error: OSError, why: str
) -> None:
    class Broken(io.BytesIO):
        def peek(self, _: int = 0) -> bytes:
            raise error

    class Breaking(Broken):
        def peek(self, _: int = 0) -> bytes:
            return b"{"

        def readline(self, _: int | None = -1) -> bytes:
            raise error

    for stream in (Broken(), Breaking()):
        reads(monkeypatch, stream)
        assert refused("-") == f"standard input cannot be read: {why}."
