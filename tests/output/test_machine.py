"""Machine formats: a program reads back the values of the records."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from cruddur_cli.output import machine


@dataclass(frozen=True)
class Record:
    """One record of each type of value that commands show."""

    name: str
    number: int
    at: datetime | None
    flag: bool


ROWS = [
    Record("a|b", 1, datetime(2026, 1, 2, tzinfo=UTC), True),
    Record("*x* <b> [y](z)\n`w`", 2, None, False),
]


def written(form: str, items: list[Any], columns: list[str] | None = None) -> str:
    out = io.StringIO()
    assert machine.write(form, items, out, columns=columns, extra={}, capacity=None) == len(items)
    return out.getvalue()


def test_markdown_is_a_table_whose_cells_have_no_markup() -> None:
    head, rule, first, second = written("markdown", ROWS).splitlines()
    assert head == "| name | number | at | flag |"
    assert rule == "| --- | --- | --- | --- |"
    assert first == "| a\\|b | 1 | 2026-01-02T00:00:00.000000+00:00 | true |"
    assert second == r"| \*x\* \<b\> \[y\](z)<br>\`w\` | 2 |  | false |"


@pytest.mark.parametrize("form", ["csv", "markdown"])
def test_attributes_without_a_column_are_in_the_last_column(form: str) -> None:
    text = written(form, [{"pk": "a", "extra": 1}], ["pk", "sk"])
    assert "other" in text.splitlines()[0]
    assert "extra" in text.splitlines()[-1]


def test_without_items_there_is_a_header_if_the_columns_are_known() -> None:
    assert written("csv", [], ["pk"]) == "pk,other\n"
    assert written("csv", []) == written("markdown", []) == ""
