"""Lines on stderr have the colour of their meaning on a terminal with colours, and no colour elsewhere."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace

import pytest

from cruddur_cli import output
from cruddur_cli.errors import Refused
from cruddur_cli.output.text import width_of
from cruddur_cli.settings import load

RED, YELLOW, GREEN, DIM = "\x1b[1;31m", "\x1b[33m", "\x1b[32m", "\x1b[2m"


def watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    s = load()
    output.fail(Refused("No.", hint="cruddur db ping"), "cruddur x", "table")
    output.warn("Look.")
    output.done(s, "table: created")
    output.unchanged(s, "users: exists already")
    output.note(s, "plain")
    output.outcome(replace(s, dry_run=True), "table: would be created", changed=True)
    return capsys.readouterr().err.splitlines()


def test_errors_are_red_warnings_yellow_changes_green_and_the_rest_dim(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watch(monkeypatch)
    error, hint, warning, changed, same, plain, dry = told(capsys)
    assert error == f"{RED}cruddur x:\x1b[0m No."
    assert hint.endswith(" cruddur db ping")
    assert warning == f"{YELLOW}warning:\x1b[0m Look."
    assert changed == f"{GREEN}✓\x1b[0m table: created"
    assert same == f"{DIM}· users: exists already\x1b[0m"
    assert plain == "plain"
    assert dry == "+ table: would be created"


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_color_turns_colours_off(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, variable: dict[str, str]
) -> None:
    watch(monkeypatch)
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    assert not [line for line in told(capsys) if "\x1b" in line]


@pytest.mark.parametrize(("room", "place"), [(40, 70), (40, 3), (40, 120), (80, 70)])
def test_of_a_long_line_the_part_around_the_caret_is_shown_on_one_line(
    room: int, place: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watch(monkeypatch)
    monkeypatch.setenv("COLUMNS", str(room))
    line = "".join(str(number % 10) for number in range(place)) + "X" + "長い文字 " * 20
    details = f"12 | {line}\n{'^':>{place + 6}}\nstatement: SELECT 1"
    output.fail(Refused("No.", details=details), "cruddur x", "table")
    _, shown, caret, statement = capsys.readouterr().err.splitlines()
    assert shown.startswith("  12 | ")
    assert width_of(shown) <= room
    assert shown[caret.index("^")] == "X"
    assert statement == "  statement: SELECT 1"


def test_through_a_pipe_a_line_with_a_caret_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    details = f"12 | {'x' * 300}\n{'^':>200}"
    output.fail(Refused("No.", details=details), "cruddur x", "table")
    assert capsys.readouterr().err == "cruddur x: No.\n" + "".join(f"  {line}\n" for line in details.splitlines())


def test_ctrl_c_leaves_one_plain_line_in_place_of_the_sign_that_the_terminal_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output.interrupted()
    output.interrupted("2 messages shown.")
    assert capsys.readouterr().err == "interrupted\ninterrupted: 2 messages shown.\n"
    watch(monkeypatch)
    output.interrupted("2 messages shown.")
    assert capsys.readouterr().err == "\rinterrupted: 2 messages shown.\n"


def test_a_step_that_is_broken_into_lines_keeps_its_mark_in_the_margin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watch(monkeypatch)
    monkeypatch.setenv("COLUMNS", "24")
    s = load()
    output.unchanged(s, "demo user pool: exists already")
    output.done(s, "demo user pool: created anew")
    output.done(replace(s, dry_run=True), "demo user pool: would be created")
    lines = [re.sub(r"\x1b\[\d+m", "", line) for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "· demo user pool: exists", "  already", "✓ demo user pool:", "  created anew", "+ demo user pool: would",
        "  be created",
    ]  # fmt: skip


def test_what_would_be_lost_is_bold_in_a_dry_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watch(monkeypatch)
    output.note(load(), "table x would be dropped: 3 items; a backup first", losing="3 items")
    assert capsys.readouterr().err == "table x would be dropped: \x1b[1m3 items\x1b[0m; a backup first\n"


def test_no_colour_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert not [line for line in told(capsys) if "\x1b" in line]


def test_a_command_to_paste_is_never_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watch(monkeypatch)
    monkeypatch.setenv("COLUMNS", "40")
    hint = "cruddur ddb get-conversation --with bayko --follow -o jsonl"
    output.fail(Refused("A sentence of some words that is longer than the line.", hint=hint), "cruddur x", "table")
    error, *_, last = capsys.readouterr().err.splitlines()
    assert len(error.replace(RED, "").replace("\x1b[0m", "")) <= 40
    assert last.endswith(hint)


def test_in_a_question_the_loss_is_bold_and_the_question_is_yellow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watch(monkeypatch)
    monkeypatch.setenv("COLUMNS", "24")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    message = "It will be destroyed: 4 activities, 4 users."
    assert output.ask("Continue? [y/N]", about=message, bold="4 activities, 4 users") == "y"
    asked = capsys.readouterr().err
    assert "\x1b[1mactivities, 4 users\x1b[0m" in asked
    assert f"{YELLOW}Continue? [y/N]\x1b[0m" in asked
    assert asked.startswith("It will")


def test_the_loss_is_bold_without_a_question_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watch(monkeypatch)
    monkeypatch.setenv("COLUMNS", "30")
    output.tell("Table t will be destroyed: 1,204 items.", bold="1,204 items")
    assert capsys.readouterr().err == "Table t will be destroyed:\n\x1b[1m1,204 items\x1b[0m.\n"


def test_production_is_red_where_it_is_only_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watch(monkeypatch)
    output.reads_production(load(), "account 1")
    output.reads_production(replace(load(), quiet=True), "account 1")
    assert capsys.readouterr().err == f"{RED}production:\x1b[0m account 1\n"


def test_a_store_that_is_not_local_is_printed_even_with_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    s = replace(load(), quiet=True)
    output.acting(s, "table a")
    output.acting(s, "table b", remote=True)
    output.acting(s, "group c", aws=True, remote=True)
    output.acting(replace(s, prod=True, dry_run=True), "table d", remote=True)
    output.acting(replace(s, quiet=False), "table e")
    said = ["remote: table b", "AWS: group c", "production: table d (dry run)", "local: table e"]
    assert capsys.readouterr().err.splitlines() == said


def test_an_error_is_shown_without_secrets_and_without_words_too_long_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTION_URL", "postgresql://me:Tr0ub4dor-and-3@localhost/a")
    error = output.masked(Refused(f"No {'x' * 1000} for Tr0ub4dor-and-3.", hint=f"cruddur db add-user {'x' * 1000}"))
    assert error.message == f"No {'x' * 60}… (1,000 characters) for ***."
    assert error.hint == f"cruddur db add-user {'x' * 1000}"


def test_requests_are_printed_only_with_debug(capsys: pytest.CaptureFixture[str]) -> None:
    assert output.trace(load()) is None
    trace = output.trace(replace(load(), debug=True))
    assert trace is not None
    trace("ListTables")
    assert capsys.readouterr().err == "debug: ListTables\n"
