"""Writes JSON, JSON lines, CSV and Markdown for programs: item by item, times in UTC, no control characters."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

from ..times import sort_key
from .text import printable

_MARKUP = re.compile(r"[\\`*_{}\[\]<>|~#@]")
# JSON escapes the C0 controls. It allows these characters, but terminals and editors interpret them.
_UNESCAPED = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]")


def write(
    output: str,
    items: Iterable[Any],
    stream: TextIO,
    *,
    columns: Sequence[str] | None,
    header: Sequence[str] | None = None,
    extra: Mapping[str, object],
    capacity: Callable[[], Any] | None,
) -> int:
    """Write items in the named format (``json``, ``jsonl``, ``csv`` or ``markdown``); returns their number.

    ``header`` has the names of the columns for the case that there is no item.
    """
    if output == "csv":
        return _csv(items, stream, columns, header)
    if output == "markdown":
        return _markdown(items, stream, columns, header)
    count = 0
    if output == "json":
        stream.write('{"items": [')
    for item in items:
        if output == "json":
            stream.write(",\n  " if count else "\n  ")
        stream.write(dumps(item))
        if output == "jsonl":
            stream.write("\n")
        count += 1
    if output == "json":
        summary = {"count": count, **extra}
        if capacity is not None:
            summary["consumed_capacity"] = capacity()
        stream.write(("\n" if count else "") + "], " + dumps(summary)[1:] + "\n")
    return count


def dumps(value: Any) -> str:
    """One line of JSON, in UTF-8 if stdout uses it.

    Records are objects; times are in UTC, in the format of the sort keys.
    """
    return encoder()(value)


def encoder() -> Callable[[Any], str]:
    """A function like ``dumps``, for many values: it checks the encoding of stdout only once."""
    ascii_only = "utf" not in (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    encode = json.JSONEncoder(default=_plain, ensure_ascii=ascii_only).encode

    def line(value: Any) -> str:
        text = encode(value)
        # Most lines have no such character, and the substitution takes longer than the encoding.
        if text.isascii() and "\x7f" not in text:
            return text
        return _UNESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)

    return line


def write_lines(pages: Iterable[Sequence[Any]], stream: TextIO) -> int:
    """Write pages of items as JSON lines, each page at once; returns the number of items."""
    line, count = encoder(), 0
    for page in pages:
        if page:
            stream.write("\n".join(map(line, page)) + "\n")
            count += len(page)
        del page  # frees its memory before the next page is read
    return count


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return sort_key(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (bytes, bytearray)):
        import base64

        return base64.b64encode(value).decode("ascii")
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _rows(items: Iterable[Any], columns: Sequence[str] | None, header: Sequence[str] | None) -> Iterator[list[Any]]:
    """Yield the header, then a row of cells for each item.

    With ``columns``, a last column ``other`` has the remaining attributes as JSON.
    """
    has_other, has_header = columns is not None, False
    for item in items:
        row = _plain(item) if dataclasses.is_dataclass(item) else dict(item)
        if columns is None:
            columns = list(row)
        if not has_header:
            yield [*columns, "other"] if has_other else list(columns)
            has_header = True
        cells = [_cell(row.pop(name, None)) for name in columns]
        yield [*cells, dumps(row) if row else ""] if has_other else cells
    if not has_header and (header or columns):
        yield [*columns, "other"] if columns is not None else list(header or ())


def _csv(items: Iterable[Any], stream: TextIO, columns: Sequence[str] | None, header: Sequence[str] | None) -> int:
    """Write a header and rows, as RFC 4180 says."""
    import csv

    out = csv.writer(stream, lineterminator="\n")
    count = 0
    for count, row in enumerate(_rows(items, columns, header)):  # noqa: B007 - the header is row 0
        out.writerow(row)
    return count


def _markdown(items: Iterable[Any], stream: TextIO, columns: Sequence[str] | None, header: Sequence[str] | None) -> int:
    """Write a table of GitHub Flavored Markdown. Its cells are text: markup is escaped."""
    count = 0
    for count, row in enumerate(_rows(items, columns, header)):
        stream.write("| " + " | ".join(_escaped(str(cell)) for cell in row) + " |\n")
        if count == 0:
            stream.write("|" + " --- |" * len(row) + "\n")
    return count


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", text).replace("\n", "<br>").replace("\t", " ")


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"  # as in JSON
    if value is None or isinstance(value, (str, int, float)):
        # CSV cannot escape a control character.
        return "" if value is None else printable(value, keep="\n\t") if isinstance(value, str) else value
    return sort_key(value) if isinstance(value, datetime) else dumps(value).strip('"')
