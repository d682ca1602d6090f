"""Records as a table: words, numbers and ids stay whole, or it is no table."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from cruddur_cli.aws.user_pool import Identity
from cruddur_cli.output import streams, tables
from tests.output.widths import SUB, fits


@dataclass(frozen=True)
class Row:
    """A record as a command shows one."""

    entity: str
    unchanged: int
    deleted: int


@pytest.mark.parametrize("columns", range(24, 90), indirect=True)
def test_a_table_in_any_width_keeps_words_and_numbers_whole(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    tables.table(streams.console(sys.stdout), [Row("message groups", 10_000, 2_736_809), Row("messages", 0, 0)])
    shown = capsys.readouterr().out
    fits(shown, columns)
    for word in ("unchanged", "deleted", "message", "groups", "10,000", "2,736,809"):
        assert word in shown


def drawn(capsys: pytest.CaptureFixture[str], headers: list[str], *row: str) -> list[str] | None:
    if not tables.draw_table(streams.console(sys.stdout), headers, [row], right={1, 2}, dim=True):
        return None
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("columns", [44], indirect=True)
def test_a_long_header_breaks_at_its_hyphens(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    lines = drawn(capsys, ["operation", "items", "message-group-sk-index"], "BatchWriteItem", "1,234,567", "10")
    assert lines is not None
    assert [line.split()[-1] for line in lines[:2]] == ["message-group-sk-", "index"]


@pytest.mark.parametrize("columns", [30], indirect=True)
def test_what_would_cut_a_number_or_an_id_is_no_table(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert drawn(capsys, ["name", "sub"], "x", SUB) is None
    assert drawn(capsys, ["operation", "n", "m"], "BatchWriteItem", "1,234,567,890", "1") is None
    assert drawn(capsys, ["operation", "at"], "BatchWriteItem", "https://x/y-z") is not None


@pytest.mark.parametrize("columns", [80], indirect=True)
def test_people_are_a_table_in_eighty_columns(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    address = "andrewbrown@example.com"
    tables.people(
        streams.console(sys.stdout),
        [
            Identity("andrewbrown", SUB, "andrewbrown", address, "FORCE_CHANGE_PASSWORD", True, None),
            Identity(None, SUB, "somebody", None, "CONFIRMED", True, None),
        ],
    )
    head, _, *rows = fits(capsys.readouterr().out, columns)
    assert head.split() == ["handle", "email", "status", "sub"]
    assert [line.split()[-1] for line in rows] == [f"{SUB[:8]}…"] * 2  # the whole one stands in the JSON
    assert address in rows[0]


@pytest.mark.parametrize("columns", [80], indirect=True)
def test_a_status_that_all_have_gives_way_to_the_whole_sub(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    address = "andrewbrown@example.com"
    tables.people(
        streams.console(sys.stdout), [Identity("andrewbrown", SUB, "andrewbrown", address, "CONFIRMED", True, None)]
    )
    head, _, row = fits(capsys.readouterr().out, columns)
    assert head.split() == ["handle", "email", "sub"]
    assert row.split() == ["andrewbrown", address, SUB]
