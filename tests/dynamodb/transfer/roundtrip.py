"""Export a table to a file, and import a file into a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.transfer import Format, input_files
from cruddur_cli.dynamodb.transfer import exporter as exporting
from cruddur_cli.dynamodb.transfer import importer as importing
from cruddur_cli.dynamodb.transfer.importer import Counts
from tests.dynamodb.rows import ME, OTHER, Item, group_row, message_row
from tests.dynamodb.transfer.test_formats import EVERY_TYPE


def export(store: DynamoDB, path: Path, *, segments: int | None = 3, **options: Any) -> exporting.Exported:
    options.setdefault("format", Format.DYNAMODB_JSON if ".json" in path.suffixes else Format.JSONL)
    return exporting.to_file(
        store, tables.describe(store), path, zipped=path.suffix == ".gz", segments=segments, **options
    )


def import_(store: DynamoDB, path: Path | str, **options: Any) -> Counts:
    importer = importing.Importer(store, **options)
    return importer.run(input_files.items(input_files.find(str(path), None)))


def every_type(endpoint: str, local: str | None) -> list[Item]:
    """Rows of every type, in several partitions. The old DynamoDB Local does not accept empty values."""
    left_out = {"empty", "nothing"} if endpoint == local else set()
    full = {name: value for name, value in EVERY_TYPE.items() if name not in left_out}
    rows = [{**full, "pk": {"S": f"MSG#{n % 7}"}, "sk": {"S": f"{n:04}"}, "n": {"N": f"{n}"}} for n in range(60)]
    return [*rows, message_row("1", "hello"), group_row(ME, OTHER, "1", "hello")]
