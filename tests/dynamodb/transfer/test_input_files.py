"""Files that an import reads, those of DynamoDB itself too."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from pathlib import Path

import pytest

from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.transfer import input_files
from cruddur_cli.dynamodb.transfer.importer import Counts
from cruddur_cli.errors import BadInput
from tests.dynamodb.rows import Item
from tests.dynamodb.transfer.roundtrip import every_type, import_


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


def test_a_file_of_no_bytes_is_no_gzip(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "A.CSV.GZ"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(BadInput, match=r"(?i)a\..*gz is empty") as caught:
            list(input_files.items(input_files.find(str(tmp_path / name), None)))
        assert caught.value.code == "malformed_file"
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "a.jsonl").write_bytes(b"")
    for name in ("a.jsonl", "a.jsonl.gz"):
        assert list(input_files.items(input_files.find(str(tmp_path / name), None))) == []
