"""Test every declared attribute with all code that writes or reads a row; as a program, with one more attribute.

``python -m tests.dynamodb.walk ENDPOINT`` declares an attribute that is nowhere else in the package, and runs the same
test. It fails if some code has its own list of attributes.
"""

from __future__ import annotations

import importlib.util
import io
import sys
import tempfile
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ADDED = 'Attribute("last_message_uuid", Copied.ID, None, _of_message("message_uuid")),'
START = datetime(2026, 11, 19, 10, tzinfo=UTC)


def declare_one_more() -> None:
    """Load the package with one more declared attribute."""
    name = "cruddur_cli.dynamodb.schema"
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    assert name not in sys.modules
    source = Path(spec.origin).read_text("utf-8")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    changed = source.replace("ATTRIBUTES = (\n", f"ATTRIBUTES = (\n    {ADDED}\n")
    assert changed != source
    exec(compile(changed, spec.origin, "exec"), module.__dict__)


def walk(dynamodb: Any, folder: Path) -> None:  # noqa: PLR0915 - one walk, step after step
    """Send, move, apply, repair, seed, export, import and copy rows; check each declared attribute after each step."""
    from cruddur_cli.dynamodb import schema
    from cruddur_cli.dynamodb.conversations import group_rows, send
    from cruddur_cli.dynamodb.streams import processor
    from tests.dynamodb.rows import ME, OTHER, everything, write

    def rows() -> dict[str, dict[str, Any]]:
        return {item["pk"]["S"]: item for item in everything(dynamodb) if item["pk"]["S"].startswith("GRP#")}

    def check(message: Any, *, foreign: bool = True) -> None:
        """Check that both group rows have all attributes of this message, and those of another application."""
        found = rows()
        assert len(found) == 2
        for owner, other in ((ME, OTHER), (OTHER, ME)):
            row = found[f"GRP#{owner.uuid}"]
            expected = {"pk": f"GRP#{owner.uuid}", "sk": row["sk"]["S"]}
            for name, source in schema.GROUP_ROW.items():
                if source.of is schema.Of.CONVERSATION:
                    expected[name] = group
                elif source.of is schema.Of.MESSAGE:
                    expected[name] = getattr(message, source.field)
                elif source.of is schema.Of.OTHER:
                    expected[name] = getattr(other, source.field)
            given = ((name, value) for name, value in expected.items() if value is not None)
            typed = {name: {schema.BY_NAME[name].type: value} for name, value in given}
            assert row == typed | ({"pinned": {"BOOL": True}} if foreign else {})

    def make_stale() -> None:
        """Change every attribute of both rows that comes from a message, and add an undeclared one."""
        write(dynamodb, [
            row | {name: {schema.BY_NAME[name].type: "0"} for name, source in schema.GROUP_ROW.items()
                   if source.of is schema.Of.MESSAGE} | {"pinned": {"BOOL": True}}
            for row in rows().values()
        ])  # fmt: skip

    first = send.start(dynamodb, ME, OTHER, "first", clock=lambda: START)
    group = first.message_group_uuid
    check(first.message, foreign=False)
    make_stale()
    second = send.send(dynamodb, OTHER, "second", group=group, clock=lambda: START + timedelta(hours=1))
    check(second.message)

    make_stale()
    third = schema.written_by(ME, "third", message_uuid=str(uuid.UUID(int=3)), at=START + timedelta(hours=2))
    item = schema.message_item(group, third)
    write(dynamodb, [item])
    keys = {name: item[name] for name in ("pk", "sk")}
    record = {"eventName": "INSERT", "dynamodb": {"Keys": keys, "NewImage": item, "SequenceNumber": "1" * 21}}
    assert processor.apply(dynamodb, [record]).moved == 2
    check(third)

    # A lost row is written from the other person's, although an older message brings it back.
    mine = rows()[f"GRP#{ME.uuid}"]
    dynamodb.call("delete_item", TableName=dynamodb.table, Key={name: mine[name] for name in ("pk", "sk")})
    assert group_rows.advance(dynamodb, group, second.message).repaired == 1
    write(dynamodb, [rows()[f"GRP#{ME.uuid}"] | {"pinned": {"BOOL": True}}])
    check(third)

    make_stale()
    assert group_rows.overwrite(dynamodb, group, (ME, OTHER), third) == (2, 0)
    check(third)

    assert everything(dynamodb)[-1] == item
    assert schema.read_message(item) == third
    read = schema.read_group(rows()[f"GRP#{ME.uuid}"])
    assert (read.message, read.user_uuid, read.last_message_at) == ("third", OTHER.uuid, third.created_at)
    _transfer(dynamodb, everything(dynamodb), folder)
    _copy(everything(dynamodb), group)


def _transfer(dynamodb: Any, items: list[dict[str, Any]], folder: Path) -> None:
    from cruddur_cli.dynamodb import schema, tables
    from cruddur_cli.dynamodb.transfer import Format, exporter, formats, importer, input_files
    from tests.dynamodb.rows import delete, everything, write

    ours = [{name: value for name, value in item.items() if name in schema.BY_NAME} for item in items]
    for kind, expected in ((Format.JSONL, items), (Format.CSV, ours)):
        file = folder / f"all.{kind}"
        write(dynamodb, expected)
        exporter.to_file(dynamodb, tables.describe(dynamodb), file, format=kind, zipped=False, segments=2, restart=True)
        assert sorted(_items(file, kind), key=_key) == expected
        delete(dynamodb, items)
        assert not everything(dynamodb)
        importer.Importer(dynamodb).run(input_files.items(input_files.find(str(file), None)))
        assert everything(dynamodb) == expected
    header = formats.header(Format.CSV).decode().strip().split(",")
    assert header == [each.name for each in schema.ATTRIBUTES]


def _items(file: Path, kind: Any) -> list[dict[str, Any]]:
    from cruddur_cli.dynamodb.transfer import formats

    return [item for _, item, _ in formats.lines(io.BytesIO(file.read_bytes()), kind)]


def _key(item: dict[str, Any]) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]


def _copy(items: list[dict[str, Any]], group: str) -> None:
    """Check that a copy has every declared attribute as declared, and the same text in both rows."""
    from cruddur_cli.dynamodb import schema
    from cruddur_cli.dynamodb.transfer import anonymized_copy

    said: dict[str, set[str]] = {}
    for item in items:
        copied, left_out = anonymized_copy.anonymized(item)
        assert copied is not None
        assert set(left_out) == item.keys() - schema.BY_NAME.keys()
        for name, value in copied.items():
            kept = schema.BY_NAME[name].copied in {schema.Copied.ID, schema.Copied.TIME}
            assert (value == item[name]) is kept, name
        said.setdefault(item["message"]["S"], set()).add(copied["message"]["S"])
    assert {text: len(each) for text, each in said.items()} == {"first": 1, "second": 1, "third": 1}
    assert group


def main(endpoint: str) -> None:
    """Run the walk with one more attribute."""
    declare_one_more()
    from cruddur_cli.aws_client import client as aws_client
    from cruddur_cli.dynamodb import schema, tables
    from cruddur_cli.dynamodb.client import opened

    assert "last_message_uuid" in schema.GROUP_ROW
    at = aws_client.Endpoint("dynamodb", endpoint, aws_client.LOCAL_REGION, "the engine")
    with opened(at, f"walk-{uuid.uuid4().hex[:12]}") as store, tempfile.TemporaryDirectory() as folder:
        tables.create(store, say=lambda _: None)
        walk(store, Path(folder))
        tables.drop(store, say=lambda _: None)


if __name__ == "__main__":
    main(sys.argv[1])
