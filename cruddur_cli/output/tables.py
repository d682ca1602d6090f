"""Draws records as a table, or as lines of name and value; the one style of all tables."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from .streams import NARROW
from .text import one_line, pieces, when, width_of, wrapped

_UUID = 36  # columns; wider words are broken if necessary
_SENTENCE = 20  # columns that a column of sentences has at least
_GAP = 3  # spaces between two columns, if there is room; else 2
_SHORT = 9  # columns of a shortened id: enough to tell it from others
_UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_UNBROKEN = re.compile(rf"[\d.,]+|{_UUID_TEXT.pattern}", re.IGNORECASE)
_TIME = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d)?")
_NUMBERS_THAT_NAME = {"pid", "port"}  # written without separators: 5432, not 5,432


def table(out: Console, items: Sequence[object]) -> None:
    """Draw records as a table, one column for each field; as lines of name and value where it does not fit."""
    if not items:
        return
    values = [fields(item) for item in items]
    names = _present_fields(values)
    headers = [name.replace("_", " ") for name in names]
    rows = [[cell(name, row[name]) for name in names] for row in values]
    right = {
        n
        for n, name in enumerate(names)
        if all((isinstance(row[name], (int, float)) and not isinstance(row[name], bool)) or row[name] is None
               for row in values) and not name.endswith("_at") and any(row[name] is not None for row in values)
    }  # fmt: skip
    if draw_table(out, headers, rows, right=right):
        return
    # If the table does not fit, the last column of ids is shortened first.
    ids = [n for n, name in enumerate(names) if n and any(_UUID_TEXT.fullmatch(str(row[name])) for row in values)]
    table_or_blocks(out, headers, rows, right=right, gives_way=ids[-1] if ids else None)


def _present_fields(values: Sequence[Mapping[str, object]]) -> list[str]:
    """The fields that at least one record has a value for; all of them if there is none."""
    return [name for name in values[0] if any(row[name] is not None for row in values)] or list(values[0])


class Identity(Protocol):
    """One person of a user pool."""

    @property
    def handle(self) -> str | None: ...
    @property
    def email(self) -> str | None: ...
    @property
    def status(self) -> str: ...
    @property
    def sub(self) -> str: ...


def people(out: Console, items: Sequence[Identity]) -> None:
    """Draw identities as a table. JSON has more fields."""
    rows = [
        [cell("handle", who.handle), cell("email", who.email), who.status.replace("_", " ").lower(), who.sub]
        for who in items
    ]
    headers = ["handle", "email", "status", "sub"]
    if natural_width(headers, rows) > out.width and all(row[2] == "confirmed" for row in rows):
        # A column with the same value for all is left out first, so that a sub stays whole and can be copied.
        headers, rows = [*headers[:2], headers[3]], [[*row[:2], row[3]] for row in rows]
    if rows:
        table_or_blocks(out, headers, rows, gives_way=len(headers) - 1)


class Setting(Protocol):
    """One setting: its value or None, and its origin, or what is used instead of a value."""

    @property
    def setting(self) -> str: ...
    @property
    def value(self) -> str | None: ...
    @property
    def origin(self) -> str: ...


def settings(out: Console, items: Sequence[Setting]) -> None:
    """Draw settings as a table: value and origin, or what is used instead, dim. As lines on a narrow terminal."""
    unset = {number for number, one in enumerate(items) if one.value is None}
    rows = [
        [one.setting, one.origin, ""] if one.value is None
        # Addresses in a row are broken between two of them.
        else [one.setting, cell("value", one.value.replace(",http", ", http")), one.origin]
        for one in items
    ]  # fmt: skip
    if out.width >= NARROW and draw_table(out, ["setting", "value", "origin"], rows, dim_rows=unset):
        return
    for number, (name, value, origin) in enumerate(rows):
        is_unset = number in unset
        out.print(Text(name, "dim" if is_unset else "bold"))
        for text, style in ((value, "dim" if is_unset else ""), (origin, "dim")):
            if text:
                lines = wrapped(text, out.width - 2, cut=True).replace("\n", "\n  ")
                out.print(Text(f"  {lines}", style), soft_wrap=True)


def details(out: Console, items: Sequence[object]) -> None:
    """Draw each record as lines of name and value. Fields that none of several records has are left out."""
    records = [fields(item) for item in items]
    names = _present_fields(records) if len(records) > 1 else list(records[0] if records else ())
    rows = [[cell(name, record[name]) for name in names] for record in records]
    draw_blocks(out, [name.replace("_", " ") for name in names], rows)


def table_or_blocks(
    out: Console,
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[int] = (),
    gives_way: int | None = None,
) -> None:
    """Draw a table, or a line for each field where a table would break words."""
    if not draw_table(out, headers, rows, right=right, gives_way=gives_way):
        draw_blocks(out, headers, rows)


def draw_table(
    out: Console,
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[int] = (),
    gives_way: int | None = None,
    words: int | None = None,
    gap: int = _GAP,
    dim: bool = False,
    dim_rows: Collection[int] = (),
    total: bool = False,
) -> bool:
    """Draw a table if it fits without breaking words, numbers or ids; else draw nothing and return False.

    ``right`` are the columns of numbers. ``gives_way`` is a column of ids, which are shortened before words of other
    columns are wrapped. ``words`` is a column of sentences, whose longest words may be broken. Between two columns are
    ``gap`` spaces, if there is room. ``dim`` draws the whole table dim, ``dim_rows`` some rows. With ``total`` the last
    row is the sum of the others.
    """
    columns = [[header, *(row[n] for row in rows)] for n, header in enumerate(headers)]
    fitted = _fit(columns, out.width, words, gap)
    if gives_way is not None and (fitted is None or any(map(_is_wrapped, columns, fitted[0]))):
        name, *ids = columns[gives_way]
        columns[gives_way] = [name, *(value if len(value) <= _SHORT else f"{value[: _SHORT - 1]}…" for value in ids)]
        fitted = _fit(columns, out.width, words, gap)
    if fitted is None:
        return False
    widths, between = fitted
    style = "dim" if dim else ""
    drawn = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style=style or "bold", style=style or "dim",
        row_styles=[style], padding=(0, 1, 0, between - 2),
    )  # fmt: skip
    for n, width in enumerate(widths):
        justify: JustifyMethod = "right" if n in right else "left"
        header = Text(wrapped(columns[n][0], width, cut=True))
        drawn.add_column(header, width=width, justify=justify, overflow="fold")
    for number in range(len(rows)):
        cells = [Text(wrapped(columns[n][number + 1], width, cut=True)) for n, width in enumerate(widths)]
        is_above_total = total and number == len(rows) - 2
        drawn.add_row(*cells, style="dim" if number in dim_rows else None, end_section=is_above_total)
    out.print(drawn)
    return True


def draw_blocks(out: Console, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Draw a line for each field: its name, and the value beside it, or below it if only there a word stays whole."""
    names = max(map(width_of, headers), default=0) + 2
    room = max(1, out.width - names)
    for number, row in enumerate(rows):
        if number:
            out.print()
        for header, cell_text in zip(headers, row, strict=True):
            is_whole_below = room < width_of(cell_text) <= out.width and " " not in cell_text
            if is_whole_below or any(width_of(word) > room and _UNBROKEN.fullmatch(word) for word in cell_text.split()):
                name, value = f"{header}\n", wrapped(cell_text, out.width, cut=True)
            else:
                name, value = f"{header:<{names}}", wrapped(cell_text, room, cut=True).replace("\n", f"\n{'':{names}}")
            out.print(Text.assemble((name, "dim"), value), soft_wrap=True)


def fields(item: object) -> Mapping[str, object]:
    """The fields of a record by name: those of a dataclass, or the mapping itself. Raises TypeError."""
    if dataclasses.is_dataclass(item):
        return {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
    if isinstance(item, Mapping):
        return item
    raise TypeError(f"{type(item).__name__} is no record")


def cell(name: str, value: object) -> str:
    """A value as text for a person: times are local, thousands are separated, on one line."""
    if value is None:
        return "–"
    if name in _NUMBERS_THAT_NAME:
        return str(value)
    if name.endswith("_at") and isinstance(value, (int, float)):
        value = datetime.fromtimestamp(value, UTC)
    if name.endswith("_at") and isinstance(value, str):
        with suppress(ValueError):
            value = datetime.fromisoformat(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return when(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {inner}" for key, inner in value.items()) or "–"
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(name, element) for element in value) or "–"
    return one_line(str(value)) or "–"


def natural_width(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """The width of a table in which no cell is wrapped."""
    return sum(max(map(width_of, column)) for column in zip(headers, *rows, strict=True)) + _GAP * (len(headers) - 1)


def _is_wrapped(cells: Sequence[str], width: int) -> bool:
    return any(width_of(cell) > width for cell in cells)


def _fit(
    columns: Sequence[Sequence[str]], room: int, words: int | None = None, gap: int = _GAP
) -> tuple[list[int], int] | None:
    """A width for each column, and the gap between them; None where a table would have to break words.

    Words wider than a UUID may always be broken, at a sign if they have one. If there is little room, shorter words may
    be broken too, those of the first column last, because it tells rows apart. Numbers and UUIDs are never broken.
    Column ``words`` has sentences, and needs only _SENTENCE columns.
    """
    natural = [max(map(width_of, cells)) for cells in columns]
    gaps = len(columns) - 1
    if sum(natural) + gap * gaps <= room:
        return natural, gap
    available = room - 2 * gaps
    for unbroken_first, unbroken in ((_UUID, _UUID), (_UUID, 20), (_UUID, 12), (20, 20)):
        widths = [
            min(most, _SENTENCE if n == words else _needed(cells, unbroken if n else unbroken_first))
            for n, (cells, most) in enumerate(zip(columns, natural, strict=True))
        ]
        if sum(widths) > available:
            continue
        longest = [max(width_of(word) for cell in cells for word in ["", *cell.split()]) for cells in columns]
        # The column that lacks the least comes first.
        for n in sorted(range(len(widths)), key=lambda n: longest[n] - widths[n]):
            if n != words and 0 < longest[n] - widths[n] <= available - sum(widths):
                widths[n] = longest[n]
        while sum(widths) < min(available, sum(natural)):
            # The narrowest column grows first: a time then fits on its line, and the message gets the rest.
            n = min((n for n, width in enumerate(widths) if width < natural[n]), key=widths.__getitem__)
            widths[n] += 1
        return widths, 2
    return None


def _needed(cells: Sequence[str], whole: int) -> int:
    """The width of a column that breaks no word of up to ``whole`` columns, and longer words only after a sign."""
    most = 0
    for word in {word for cell in cells for word in ([cell] if _TIME.fullmatch(cell) else cell.split())}:
        size = width_of(word)
        if size > whole and not _UNBROKEN.fullmatch(word) and not _TIME.fullmatch(word):
            size = max(map(width_of, pieces(word)))
        most = max(most, min(_UUID, size))
    return most
