"""Consumed capacity: one line, a table with a total, and the columns that a narrow terminal leaves out."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from cruddur_cli.dynamodb.capacity.meter import Consumed, Operation
from cruddur_cli.output import capacity, streams
from tests.output.widths import fits

INDEX = "message-group-sk-index"
TOTAL = Consumed(
    table="cruddur-messages", read_units=3.5, write_units=1_204.0, requests=3, indexes={INDEX: 600.0}, source="computed"
)
OPERATIONS = [
    Operation("Query", requests=2, items=1, read_units=3.5, write_units=0.0, indexes={INDEX: 0.5}),
    Operation("BatchWriteItem", requests=1, items=600, read_units=0.0, write_units=1_204.0, indexes={INDEX: 599.5}),
]


def test_one_line_has_units_requests_table_and_source() -> None:
    assert capacity.in_words(TOTAL) == (
        "consumed capacity: 3.5 RCU, 1,204 WCU in 3 requests on cruddur-messages, read units computed"
    )


@pytest.mark.parametrize("columns", [100], indirect=True)
def test_each_operation_is_a_row_and_the_last_one_is_their_sum(
    columns: int, capsys: pytest.CaptureFixture[str]
) -> None:
    capacity.draw(streams.console(sys.stdout), TOTAL, OPERATIONS)
    lines = [line.split() for line in fits(capsys.readouterr().out, columns)]
    assert ["operation", "requests", "items", "RCU", "WCU", INDEX] in lines
    assert ["Query", "2", "1", "3.5", "0", "0.5"] in lines
    assert lines[-1] == ["total", "3", "601", "3.5", "1,204", "600"]


@pytest.mark.parametrize("columns", [60], indirect=True)
def test_one_operation_has_no_sum(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    capacity.draw(streams.console(sys.stdout), TOTAL, OPERATIONS[:1])
    assert "total" not in capsys.readouterr().out


@pytest.mark.parametrize("columns", [40], indirect=True)
def test_in_forty_columns_items_and_indexes_are_left_out(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    capacity.draw(streams.console(sys.stdout), TOTAL, OPERATIONS)
    shown = capsys.readouterr().out
    fits(shown, columns)
    assert "1,204" in shown
    assert INDEX not in shown


def test_without_requests_no_source_of_the_count_is_shown() -> None:
    nothing = replace(TOTAL, read_units=0.0, write_units=0.0, requests=0)
    assert capacity.in_words(nothing) == "consumed capacity: 0 RCU, 0 WCU in 0 requests on cruddur-messages"
