"""Conversations and items, drawn for a person."""

from __future__ import annotations

import sys

import pytest

from cruddur_cli import output
from cruddur_cli.dynamodb.conversations import queries
from cruddur_cli.output import streams
from cruddur_cli.output.conversations import draw_chat, draw_items
from cruddur_cli.output.text import width_of
from tests.conftest import Run
from tests.output.widths import SUB, fits


def test_an_item_of_an_unknown_entity_is_shown_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    values = {"pk": {"S": "LOG#1 \x1b[31m"}, "tiny": {"N": "1E-130"}, "raw": {"B": b"\x00"}, "no": {"NULL": True}}
    values |= {"yes": {"BOOL": True}, "numbers": {"NS": ["1", "2.5"]}}
    draw_items(streams.console(sys.stdout), [queries.decode(values)])
    shown = " ".join(capsys.readouterr().out.split())
    for said in ('"tiny": 1e-130', '"raw": "AA=="', '"no": null', '"yes": true', '"numbers": [1, 2.5]'):
        assert said in shown
    assert "\x1b" not in shown


def test_nothing_is_padded_to_a_width_in_a_pipe(cruddur: Run) -> None:
    cruddur("setup", "-q")
    lines = cruddur("ddb", "list-conversations").out.splitlines()
    assert lines[0].startswith("Andrew Bayko @bayko  ")
    assert not [line for line in lines if "   " in line or line.endswith(" ")]


def group(message: str, handle: str = "bayko") -> dict[str, dict[str, str]]:
    values = {
        "pk": "GRP#8b1d22bf-cedf-4fbb-b137-63dc54b4770d", "sk": "2026-11-20T12:00:00.000000+00:00", "message": message,
        "message_group_uuid": "5ae290ed-55d1-47a0-bc6d-fe2bc2700399", "user_uuid": "u", "user_display_name": "B",
        "user_handle": handle,
    }  # fmt: skip
    return {name: {"S": value} for name, value in values.items()}


@pytest.mark.parametrize("columns", [80, 100, 120], indirect=True)
@pytest.mark.parametrize("message", ["one word after another " * 9, "長" * 90, "https://example.com/" + "x" * 200])
def test_a_scan_gives_its_room_to_the_messages_and_breaks_no_time(
    columns: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_items(streams.console(sys.stdout), [queries.decode(group(message)), queries.decode(group("short"))])
    _, head, _, first, *_, last = capsys.readouterr().out.splitlines()
    assert head.index("last message") <= columns // 2 + 1
    assert [line[13:16] for line in (first, last)] == [":00", ":00"]
    fits(first, columns)
    assert last.endswith("short")


def test_a_list_that_ends_early_shows_how_many_more_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    found = [queries.decode(group(f"message {n}")).group for n in range(5)]
    output.newest(3, command="cruddur x")(streams.console(sys.stdout), [each for each in found if each is not None])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "message" in line] == [f"  message {n}" for n in range(3)]
    assert lines[-2:] == ["", "2 more: cruddur x"]


def test_sections_of_a_scan_are_apart_and_none_ends_with_a_blank_line(capsys: pytest.CaptureFixture[str]) -> None:
    message = group("said") | {"pk": {"S": "MSG#1"}, "message_uuid": {"S": "m"}}
    rows = [group("a"), message, {"pk": {"S": "LOG#1"}}, message | {"pk": {"S": "MSG#2"}}]
    draw_items(streams.console(sys.stdout), [queries.decode(row) for row in rows])
    shown = capsys.readouterr().out
    assert shown.count("\n\n") == 3
    assert "\n\n\n" not in shown
    assert not shown.endswith("\n\n")


@pytest.mark.parametrize("columns", [40, 80], indirect=True)
@pytest.mark.parametrize("text", ["https://example.com/" + "segment-" * 30, "長い" * 60, "a word " * 40])
def test_a_bubble_fits_its_text_and_breaks_an_address_after_a_sign(
    columns: int, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    message = queries.decode(group(text) | {"pk": {"S": "MSG#1"}, "message_uuid": {"S": "m"}}).message
    assert message is not None
    draw_chat(streams.console(sys.stdout), [message], None)
    top, *words, bottom = [line for line in capsys.readouterr().out.splitlines() if line[0] in "╭│╰"]
    assert {width_of(line) for line in (top, *words, bottom)} == {width_of(top)}
    assert width_of(top) <= columns * 0.72
    said = [line.strip("│").strip() for line in words]
    assert "".join(said).replace(" ", "") == text.replace(" ", "")
    if text.startswith("https"):
        assert {line[-1] for line in said} <= {"/", "-"}


@pytest.mark.parametrize("columns", [40], indirect=True)
def test_in_forty_columns_a_partition_key_has_its_own_line(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    handle = "a-person-with-a-very-long-handle-of-many-words"
    message = {
        "pk": {"S": f"MSG#{SUB}"}, "sk": {"S": "2026-11-20T10:00:00+00:00"}, "user_handle": {"S": handle},
        "user_uuid": {"S": SUB}, "message": {"S": "hello"}, "message_uuid": {"S": SUB},
    }  # fmt: skip
    draw_items(streams.console(sys.stdout), [queries.decode(message)])
    lines = fits(capsys.readouterr().out, columns)
    assert lines[:2] == ["Messages 1", f"MSG#{SUB}"]
    assert lines[3:5] == ["@a-person-with-a-very-long-handle-of-", "many-words"]


@pytest.mark.parametrize("columns", [80], indirect=True)
def test_tables_below_each_other_have_the_same_gap_between_columns(
    columns: int, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_items(streams.console(sys.stdout), [queries.decode(group("short"))])
    narrow = capsys.readouterr().out.splitlines()[1]
    draw_items(streams.console(sys.stdout), [queries.decode(group("one word after another " * 9))])
    wide = capsys.readouterr().out.splitlines()[1]
    assert narrow.index("user") == wide.index("user")
