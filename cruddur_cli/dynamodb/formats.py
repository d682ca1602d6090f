"""How items stand in a file: JSON lines of DynamoDB JSON, DynamoDB's own export format, and CSV. Pure."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import PurePath
from typing import Any

from ..errors import BadInput
from .typed import Malformed, read

Item = dict[str, Any]
# All attributes that the application writes, and all of them texts; the order is that of ``ddb scan -o csv``.
COLUMNS = (
    "pk", "sk", "message_group_uuid", "message_uuid", "message", "user_uuid", "user_display_name", "user_handle",
)  # fmt: skip
# The JSON of 400 KB can be six times that, where every character is escaped; then names, and some air.
LINE_LIMIT = 8 * 1024 * 1024
_QUOTED = re.compile('[",\r\n]|^ | $')
_KNOWN = frozenset(COLUMNS)


class Format(StrEnum):
    """A file's format. ``DYNAMODB_JSON`` is DynamoDB's own, by "DynamoDB table export output format"."""

    JSONL = "jsonl"
    CSV = "csv"
    DYNAMODB_JSON = "dynamodb-json"


_SUFFIXES = {
    ".jsonl": Format.JSONL, ".ndjson": Format.JSONL, ".csv": Format.CSV, ".json": Format.DYNAMODB_JSON,
}  # fmt: skip
_FOREIGN = {".bz2", ".xz", ".zst", ".lz4", ".lzma", ".br", ".7z", ".z", ".zip", ".tar", ".tgz", ".parquet", ".xlsx"}


def guess(name: str) -> Format:
    """The format that a file's name says: ``.csv``, ``.json`` (DynamoDB's own data files), else JSON lines."""
    lower = name.lower().removesuffix(".gz")
    return next((found for suffix, found in _SUFFIXES.items() if lower.endswith(suffix)), Format.JSONL)


def zipped(name: str) -> bool:
    """Whether a file of that name is gzip. Raises BadInput for a name that says what is not written here."""
    suffix = PurePath(name.lower()).suffix
    if suffix in _FOREIGN:
        raise BadInput(
            f"{name} would be {suffix}, which is not a format of ours: files are plain, or .gz.",
            hint=f"{name.removesuffix(PurePath(name).suffix)}.gz, or - and a program that makes {suffix}",
        )
    return suffix == ".gz"


def header(format: Format) -> bytes:
    """What stands before the first item."""
    return (",".join(COLUMNS) + "\n").encode() if format == Format.CSV else b""


def encoder(format: Format) -> Callable[[Item], bytes]:
    """A function that writes one item as a line, in UTF-8. Raises BadInput for one that the format cannot hold."""
    if format == Format.CSV:
        return _csv_line
    encode = json.JSONEncoder(default=_binary, ensure_ascii=False, separators=(",", ":")).encode
    before, after = (b'{"Item":', b"}\n") if format == Format.DYNAMODB_JSON else (b"", b"\n")

    def line(item: Item) -> bytes:
        text = encode(item)
        try:
            return before + text.encode() + after
        except UnicodeEncodeError:  # half of a pair, which only an escape can hold
            return before + json.dumps(item, default=_binary, separators=(",", ":")).encode() + after

    return line


def _binary(value: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode("ascii")
    raise TypeError(f"{type(value).__name__} is no value of DynamoDB's")


def _csv_line(item: Item) -> bytes:
    if not _KNOWN.issuperset(item):
        _refuse(item, f"the attribute {min(item.keys() - _KNOWN)!r}, which has no column")
    cells = []
    for name in COLUMNS:
        value = item.get(name)
        if value is None:
            cells.append("")
            continue
        text = value.get("S")
        if not text:  # an empty cell is an attribute that is not there
            _refuse(item, f"in {name!r} " + ("an empty text" if text == "" else "a value that is no text"))
        cells.append('"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text)
    try:
        return (",".join(cells) + "\n").encode()
    except UnicodeEncodeError:
        _refuse(item, "a text that is not valid Unicode")
        raise


def _refuse(item: Item, why: str) -> None:
    raise BadInput(
        f"CSV cannot hold the item pk={_shown(item, 'pk')} sk={_shown(item, 'sk')} without loss: it has {why}.",
        hint="--format jsonl, which holds everything",
        code="not_in_csv",
    )


def _shown(item: Item, name: str) -> str:
    value = item.get(name, {})
    return repr(next(iter(value.values()), None))


Line = tuple[int, Item, int]
"""The number of the line on which an item begins, counted from 1; the item; and the number of bytes it stood in."""


class BadLine(Exception):
    """A line that is no item: ``number`` counts from 1, ``why`` continues "line N …", ``advice`` is for a file that
    looks like a certain other one, with FILE in place of its name."""

    def __init__(self, number: int, why: str, *, advice: str | None = None) -> None:
        super().__init__(f"line {number} {why}")
        self.number, self.why, self.advice = number, why, advice


_AS_LINES = {
    b"{": "where it is what `aws dynamodb scan` prints: jq -c '.Items[]' FILE | cruddur ddb import -",
    b"[": "jq -c '.[]' FILE | cruddur ddb import -",
}


def lines(stream: io.BufferedIOBase, format: Format, *, after: int = 0) -> Iterator[Line]:
    """The items of a file, and where each stands; the first ``after`` lines are passed over. Raises BadLine.

    Empty lines and a byte-order mark are no items. Nothing is kept but the line at hand.
    """
    if format == Format.CSV:
        yield from _csv_lines(stream, after)
        return
    wrapped = format == Format.DYNAMODB_JSON
    for number, raw in _raw(stream):
        if number <= after or not raw.strip():
            continue
        try:
            parsed = json.loads(raw)
            if b"\\ud" in raw or b"\\uD" in raw:
                json.dumps(parsed, ensure_ascii=False).encode()
        except (UnicodeDecodeError, UnicodeEncodeError) as error:
            raise BadLine(number, f"is not valid Unicode ({error.reason})") from error
        except (ValueError, RecursionError) as error:
            # What `aws dynamodb scan` prints, and every other JSON over several lines, begins so.
            if number == 1 and raw.strip() in _AS_LINES:
                why = "begins JSON that goes on below, and here every item is on one line of its own"
                raise BadLine(number, why, advice=_AS_LINES[raw.strip()]) from error
            raise BadLine(number, f"is not JSON: {error}") from error
        if isinstance(parsed, list) or (isinstance(parsed, dict) and isinstance(parsed.get("Items"), list)):
            why = "holds a list of items, and here every item is on one line of its own"
            raise BadLine(number, why, advice=_AS_LINES[b"[" if isinstance(parsed, list) else b"{"])
        if wrapped:
            if not isinstance(parsed, dict) or list(parsed) != ["Item"]:
                raise BadLine(number, 'is not {"Item": …}, as DynamoDB exports it')
            parsed = parsed["Item"]
        try:
            yield number, read(parsed, json_bytes=len(raw)), len(raw)
        except Malformed as error:
            raise BadLine(number, str(error)) from error


def _raw(stream: io.BufferedIOBase) -> Iterator[tuple[int, bytes]]:
    number = 0
    while raw := stream.readline(LINE_LIMIT):
        number += 1
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if len(raw) >= LINE_LIMIT and not raw.endswith(b"\n"):
            raise BadLine(number, f"is longer than {LINE_LIMIT:,} bytes, which no item is")
        yield number, raw


def _csv_lines(stream: io.BufferedIOBase, after: int) -> Iterator[Line]:
    csv.field_size_limit(LINE_LIMIT)
    begins = 1
    reader = csv.reader(_decoded(stream), strict=True)
    columns: list[str] | None = None
    try:
        for row in reader:
            number, begins = begins, reader.line_num + 1
            if columns is None:
                columns = _columns(row)
                continue
            if number <= after or not row:
                continue
            if len(row) != len(columns):
                raise BadLine(number, f"has {len(row)} cells where the header has {len(columns)}")
            item = {name: {"S": cell} for name, cell in zip(columns, row, strict=True) if cell}
            size = sum(map(len, row))
            try:
                yield number, read(item, json_bytes=size * 4 + 200), size
            except Malformed as error:
                raise BadLine(number, str(error)) from error
    except csv.Error as error:
        raise BadLine(begins, f"is not CSV: {error}") from error


def _decoded(stream: io.BufferedIOBase) -> Iterator[str]:
    for number, raw in _raw(stream):
        try:
            yield raw.decode()
        except UnicodeDecodeError as error:
            raise BadLine(number, f"is not valid Unicode ({error.reason})") from error


def _columns(row: list[str]) -> list[str]:
    """The header: names of attributes in any order, all of them known, with both keys."""
    unknown = [name for name in row if name not in COLUMNS]
    missing = [name for name in ("pk", "sk") if name not in row]
    if unknown or missing or len(set(row)) < len(row):
        what = f"unknown: {unknown[0]!r}" if unknown else f"missing: {missing[0]}" if missing else "one stands twice"
        raise BadLine(1, f"is not a header of the columns {', '.join(COLUMNS)} ({what})")
    return row
