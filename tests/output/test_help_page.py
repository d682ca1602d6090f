"""A page of help: a group's lists and a command's frames, at the width of the terminal and without one."""

from __future__ import annotations

import pytest

from cruddur_cli.output import help_page
from cruddur_cli.output.streams import NARROW

from .widths import fits

LISTS = {
    "Table": [("setup", "Create the table if it is missing, and seed it with the conversation of two people.")],
    "Options": [("-h, --help", "Show this message and exit.")],
}
USAGE = "Usage: cruddur ddb [OPTIONS] COMMAND"
WIDTHS = pytest.mark.parametrize("columns", [40, 80, 120], indirect=True)


@WIDTHS
def test_a_groups_page_has_a_heading_for_each_list(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    help_page.draw(USAGE, "Create, seed and read the table.\n\nMore of it.", LISTS, compact=True)
    lines = fits(capsys.readouterr().out, columns)
    assert [line for line in lines if line in LISTS] == list(LISTS)
    assert not set("╭│╰") & set("".join(lines))
    # Below a narrow name its meaning has lines of its own; else both share one.
    (first,) = [line for line in lines if line.split()[:1] == ["setup"]]
    assert ("Create" in first) is (columns >= NARROW)


@WIDTHS
def test_a_commands_page_has_a_frame_for_each_list(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    about = "Create the table.\n\ncruddur ddb setup\n\nIt is safe to repeat."
    help_page.draw(USAGE, about, LISTS, compact=False)
    shown = capsys.readouterr().out
    lines = fits(shown, columns)
    assert shown.count("╭") == shown.count("╰") == (2 if columns >= NARROW else 0)
    assert [line.strip() for line in lines].count("$ cruddur ddb setup") == 1
    words = " ".join(word for word in shown.split() if word != "│")
    for meaning in ("seed it with the conversation of two people.", "Show this message and exit."):
        assert meaning in words


@pytest.mark.parametrize(("height", "is_roomy"), [(10, True), (9, False)])
def test_the_parts_of_a_groups_page_are_separated_if_there_is_room(
    height: int, is_roomy: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(help_page, "terminal_lines", lambda _: height)
    help_page.draw(USAGE, "About it.\n\nMore of it.", LISTS, compact=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines.count("") == (2 if is_roomy else 0)
    assert len(lines) < height


def test_through_a_pipe_a_page_has_the_width_of_a_terminal_and_no_colour(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    help_page.draw(USAGE, "About it.", LISTS, compact=False)
    shown = capsys.readouterr().out
    assert max(map(len, fits(shown, 80))) == 80
    assert "\x1b" not in shown


def test_a_long_name_is_broken_between_words_and_keeps_room_for_its_meaning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name = "-o, --output <table|json|jsonl|csv|markdown>"
    help_page.draw(USAGE, "About it.", {"Options": [(name, "How to print the records.")]}, compact=False)
    lines = fits(capsys.readouterr().out, 80)
    (first,) = [line for line in lines if "-o, --output" in line]
    assert "How to print the records." in first
    assert [line for line in lines if "<table|json|jsonl|csv|markdown>" in line] != []
