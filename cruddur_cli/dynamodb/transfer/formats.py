"""Write items to lines and read them: JSON lines with DynamoDB JSON, DynamoDB's export format, and CSV. Pure."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import PurePath
from typing import Any

from ...errors import BadInput
from ..schema import BY_NAME, COLUMNS, Item
from . import Format
from .attribute_values import MalformedItem, read

# The JSON of an item of 400 KB can have six times as many bytes, if every character is escaped. The rest is for names
# and spaces.
LINE_LIMIT = 8 * 1024 * 1024
_QUOTED = re.compile('[",\r\n]|^ | $')
# "CSV Injection" (OWASP): a spreadsheet runs a cell as a formula if it begins with one of these.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_WORDS = {"S": "string", "N": "number"}
_TYPES = {name: BY_NAME[name].type for name in COLUMNS}


_SUFFIXES = {
    ".jsonl": Format.JSONL, ".ndjson": Format.JSONL, ".csv": Format.CSV, ".json": Format.DYNAMODB_JSON,
}  # fmt: skip
_FOREIGN = {".bz2", ".xz", ".zst", ".lz4", ".lzma", ".br", ".7z", ".z", ".zip", ".tar", ".tgz", ".parquet", ".xlsx"}


def guess(name: str) -> Format:
    """The format for a file name: CSV for ``.csv``, DynamoDB's own format for ``.json``, else JSON lines."""
    lower = name.lower().removesuffix(".gz")
    return next((format for suffix, format in _SUFFIXES.items() if lower.endswith(suffix)), Format.JSONL)


def zipped(name: str) -> bool:
    """Whether a file with that name is compressed with gzip. Raises BadInput for an unsupported suffix."""
    suffix = PurePath(name.lower()).suffix
    if suffix in _FOREIGN:
        raise BadInput(
            f"{name}: {suffix} is not supported, only plain files and .gz are.",
            hint=f"{name.removesuffix(PurePath(name).suffix)}.gz, or - and pipe it into a program that makes {suffix}",
        )
    return suffix == ".gz"


def header(format: Format) -> bytes:
    """The bytes before the first item: the header of CSV, otherwise nothing."""
    return (",".join(COLUMNS) + "\n").encode() if format == Format.CSV else b""


def encoder(format: Format, *, escape_formulas: bool = False) -> Callable[[Item], bytes]:
    """A function that returns the line of an item in UTF-8. It raises BadInput if the format cannot hold the item.

    With ``escape_formulas``, a CSV cell that a spreadsheet would run as a formula gets an apostrophe at its beginning.
    """
    if format == Format.CSV:
        return partial(_csv_line, escape=escape_formulas)
    encode = json.JSONEncoder(default=_binary, ensure_ascii=False, separators=(",", ":")).encode
    before, after = (b'{"Item":', b"}\n") if format == Format.DYNAMODB_JSON else (b"", b"\n")

    def line(item: Item) -> bytes:
        text = encode(item)
        try:
            return before + text.encode() + after
        except UnicodeEncodeError:  # a lone surrogate, which only an escape sequence can represent
            return before + json.dumps(item, default=_binary, separators=(",", ":")).encode() + after

    return line


def _binary(value: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode("ascii")
    raise TypeError(f"{type(value).__name__} is not a value that DynamoDB can store")


def _csv_line(item: Item, *, escape: bool) -> bytes:
    if not item.keys() <= _TYPES.keys():
        _refuse(item, f"the attribute {min(item.keys() - _TYPES.keys())!r}, which has no column")
    cells = []
    for name, kind in _TYPES.items():
        value = item.get(name)
        if value is None:
            cells.append("")
            continue
        text = value.get(kind)
        if not text:  # an empty cell would be read as a missing attribute
            _refuse(
                item, f"in {name!r} " + ("an empty string" if text == "" else f"a value that is not a {_WORDS[kind]}")
            )
        if escape and text.startswith(_FORMULA):
            text = f"'{text}"
        cells.append('"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text)
    try:
        return (",".join(cells) + "\n").encode()
    except UnicodeEncodeError:
        _refuse(item, "a string that is not valid Unicode")
        raise


def _refuse(item: Item, why: str) -> None:
    raise BadInput(
        f"CSV cannot hold the item pk={_shown(item, 'pk')} sk={_shown(item, 'sk')} without loss: it has {why}.",
        hint="pass --format jsonl, which keeps every attribute",
        code="not_in_csv",
    )


def _shown(item: Item, name: str) -> str:
    value = item.get(name, {})
    return repr(next(iter(value.values()), None))


Line = tuple[int, Item, int]
"""The number of the line on which an item begins, from 1; the item; and the number of its bytes in the file."""


class PastEnd(Exception):
    """The file has fewer lines than were to be skipped."""


class BadLine(Exception):
    """A line is not a valid item.

    ``number`` counts from 1, and ``why`` continues "line N …". ``advice`` is a command for a file in another known
    form, with FILE as its name.
    """

    def __init__(self, number: int, why: str, *, advice: str | None = None, code: str = "malformed_line") -> None:
        super().__init__(f"line {number} {why}")
        self.number, self.why, self.advice, self.code = number, why, advice, code


_AS_LINES = {
    b"{": "for the output of `aws dynamodb scan`: jq -c '.Items[]' FILE | cruddur ddb import -",
    b"[": "jq -c '.[]' FILE | cruddur ddb import -",
}


def lines(stream: io.BufferedIOBase, format: Format, *, after: int = 0) -> Iterator[Line]:
    """Yield the items of a file after its first ``after`` lines, with the number of each line.

    Empty lines and a byte-order mark are skipped. Memory holds one line at a time. Raises BadLine, and PastEnd if the
    file has fewer than ``after`` lines.
    """
    if format == Format.CSV:
        yield from _csv_lines(stream, after)
        return
    wrapped = format == Format.DYNAMODB_JSON
    number = 0
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
            # The output of `aws dynamodb scan`, and other JSON with several lines, begins in this way.
            if number == 1 and raw.strip() in _AS_LINES:
                why = "begins JSON that continues on the next line, but every item must be on a line of its own"
                raise BadLine(number, why, advice=_AS_LINES[raw.strip()]) from error
            raise BadLine(number, f"is not JSON: {error}") from error
        if isinstance(parsed, list) or (isinstance(parsed, dict) and isinstance(parsed.get("Items"), list)):
            why = "holds a list of items, but every item must be on a line of its own"
            raise BadLine(number, why, advice=_AS_LINES[b"[" if isinstance(parsed, list) else b"{"])
        if wrapped:
            if not isinstance(parsed, dict) or list(parsed) != ["Item"]:
                raise BadLine(number, 'is not {"Item": …}, as DynamoDB exports it')
            parsed = parsed["Item"]
        try:
            yield number, read(parsed, json_bytes=len(raw)), len(raw)
        except MalformedItem as error:
            raise BadLine(number, str(error), code=error.code) from error
    if number < after:
        raise PastEnd


def _raw(stream: io.BufferedIOBase) -> Iterator[tuple[int, bytes]]:
    number = 0
    while raw := stream.readline(LINE_LIMIT):
        number += 1
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if len(raw) >= LINE_LIMIT and not raw.endswith(b"\n"):
            raise BadLine(number, f"is longer than {LINE_LIMIT:,} bytes, which no item is", code="item_too_large")
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
                raise BadLine(number, f"has {len(row)} cells, but the header has {len(columns)}")
            item = {name: {_TYPES[name]: row[at]} for at, name in enumerate(columns) if row[at]}
            try:
                yield number, read(item), sum(map(len, row))
            except MalformedItem as error:
                raise BadLine(number, str(error), code=error.code) from error
        if begins <= after:
            raise PastEnd
    except csv.Error as error:
        raise BadLine(begins, f"is not CSV: {error}") from error


def _decoded(stream: io.BufferedIOBase) -> Iterator[str]:
    for number, raw in _raw(stream):
        try:
            yield raw.decode()
        except UnicodeDecodeError as error:
            raise BadLine(number, f"is not valid Unicode ({error.reason})") from error


def _columns(row: list[str]) -> list[str]:
    """The header of a CSV file. It must have known attribute names, each once, with both keys. Raises BadLine."""
    unknown = [name for name in row if name not in COLUMNS]
    missing = [name for name in ("pk", "sk") if name not in row]
    if unknown or missing or len(set(row)) < len(row):
        what = f"unknown: {unknown[0]!r}" if unknown else f"missing: {missing[0]}" if missing else "one occurs twice"
        raise BadLine(1, f"is not a header of the columns {', '.join(COLUMNS)} ({what})")
    return row
