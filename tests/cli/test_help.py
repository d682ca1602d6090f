"""Pages of help: no name is cut, and the page of a group fits a screen."""

from __future__ import annotations

import pytest

from cruddur_cli.cli import tree
from tests.commands.conftest import Here
from tests.conftest import Run


def test_the_program_alone_and_a_group_alone_show_their_help(here: Here) -> None:
    for line in ([], ["ddb"], ["cognito"], ["ddb", "stream"]):
        ran = here(*line)
        assert (ran.code, ran.err) == (0, "")
        assert "Usage: cruddur" in ran.out


@pytest.mark.parametrize("line", ["ddb export", "db kill-all"])
def test_help_in_a_narrow_terminal_cuts_no_name(cruddur: Run, environment: dict[str, str], line: str) -> None:
    shown = {}
    for columns in (40, 60, 90):
        environment["COLUMNS"] = str(columns)
        shown[columns] = cruddur(*line.split(), "--help").out
        assert max(map(len, shown[columns].splitlines())) <= columns
    assert "╭" in shown[90]
    assert "╭" not in shown[40]
    framed = [sorted(word for word in shown[columns].split() if not set(word) & set("╭╮╰╯│─")) for columns in (60, 90)]
    assert framed == [sorted(shown[40].split())] * 2


@pytest.mark.parametrize("line", ["", *tree.GROUPS])
def test_the_help_of_a_group_fits_a_screen(cruddur: Run, environment: dict[str, str], line: str) -> None:
    shown = {}
    for columns in (40, 80):
        environment["COLUMNS"] = str(columns)
        shown[columns] = cruddur(*line.split(), "--help").out
        assert max(map(len, shown[columns].splitlines())) <= columns
    assert len(shown[80].splitlines()) <= 36
    assert sorted(shown[40].split()) == sorted(shown[80].split())


def test_the_page_of_the_program_fits_24_lines_with_the_prompt_below_it(cruddur: Run) -> None:
    assert len(cruddur("--help", env={"COLUMNS": "80"}).out.splitlines()) < 24


def test_help_shows_no_minimum_and_a_range_in_words(cruddur: Run) -> None:
    shown = cruddur("ddb", "export", "--help", env={"COLUMNS": "120"}).out
    assert "x>=" not in shown
    assert "[1 to 64]" in shown
    assert "[default: 86400]" in shown
    assert "--output FORMAT" in shown


def test_in_forty_columns_help_cuts_no_option_in_half(cruddur: Run) -> None:
    ran = cruddur("ddb", "seed", "--help", env={"COLUMNS": "40"})
    for option in ("--script", "--messages", "--output", "--dry-run", "--confirm", "--my-handle", "--other-handle"):
        assert option in ran.out


@pytest.mark.parametrize("line", ["ddb restore", "db setup", "ddb list-tables"])
def test_a_command_shows_its_own_options_first_and_defaults_as_whole_numbers(cruddur: Run, line: str) -> None:
    shown = cruddur(*line.split(), "--help").out
    assert shown.index("─ Options ─") < shown.index("─ Options of every command ─")
    assert ".0;" not in shown
    assert not [text for text in shown.splitlines() if text.endswith(" ")]
