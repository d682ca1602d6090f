"""JSON, JSON lines, CSV and Markdown: for programs, item by item, UTC times, nothing that a terminal would obey."""

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

# JSON escapes C0 by itself; these are legal in it, and terminals and editors obey them.
_MARKUP = re.compile(r"[\\`*_{}\[\]<>|~#@]")
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

    ``header`` are the names of the columns where there is no item to have them from.
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
        rest = {"count": count, **extra}
        if capacity is not None:
            rest["consumed_capacity"] = capacity()
        stream.write(("\n" if count else "") + "], " + dumps(rest)[1:] + "\n")
    return count


def dumps(value: Any) -> str:
    """One line of JSON, UTF-8 where stdout is; records become objects, instants UTC in the sort keys' own form."""
    return encoder()(value)


def encoder() -> Callable[[Any], str]:
    """``dumps`` for many values: what does not depend on the value is worked out once."""
    ascii_only = "utf" not in (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    encode = json.JSONEncoder(default=_plain, ensure_ascii=ascii_only).encode

    def line(value: Any) -> str:
        text = encode(value)
        # Most lines hold nothing to look for, and looking costs more than encoding.
        if text.isascii() and "\x7f" not in text:
            return text
        return _UNESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)

    return line


def write_lines(pages: Iterable[Sequence[Any]], stream: TextIO) -> int:
    """JSON lines of whole pages at a time; returns how many there were."""
    line, count = encoder(), 0
    for page in pages:
        if page:
            stream.write("\n".join(map(line, page)) + "\n")
            count += len(page)
        del page  # before the next one comes
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
    """The names of the columns, then a row of cells for each item. Attributes that are no column stand together, as
    JSON, in a last one: ``other``."""
    loose, begun = columns is not None, False
    for item in items:
        row = _plain(item) if dataclasses.is_dataclass(item) else dict(item)
        if columns is None:
            columns = list(row)
        if not begun:
            yield [*columns, "other"] if loose else list(columns)
            begun = True
        cells = [_cell(row.pop(name, None)) for name in columns]
        yield [*cells, dumps(row) if row else ""] if loose else cells
    if not begun and (header or columns):
        yield [*columns, "other"] if columns is not None else list(header or ())


def _csv(items: Iterable[Any], stream: TextIO, columns: Sequence[str] | None, header: Sequence[str] | None) -> int:
    """RFC 4180 rows under a header."""
    import csv

    out = csv.writer(stream, lineterminator="\n")
    count = 0
    for count, row in enumerate(_rows(items, columns, header)):  # noqa: B007 - the header is row 0
        out.writerow(row)
    return count


def _markdown(items: Iterable[Any], stream: TextIO, columns: Sequence[str] | None, header: Sequence[str] | None) -> int:
    """A table of GitHub Flavored Markdown, whose cells hold text and never markup."""
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
        # CSV has no way to write a control character but as itself.
        return "" if value is None else printable(value, keep="\n\t") if isinstance(value, str) else value
    return sort_key(value) if isinstance(value, datetime) else dumps(value).strip('"')
