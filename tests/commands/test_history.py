"""``cruddur history``: the commands in it, and its output."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli import times
from cruddur_cli.commands import history as history_command
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.output import history, streams
from tests.commands.conftest import Here, parsed
from tests.commands.production import TABLE, Run, make_table, production
from tests.conftest import Run as Command

__all__ = ["production"]
FIELDS = [
    "at", "user", "host", "folder", "environment", "command", "stores", "warning", "reported", "counts", "exit_code",
    "seconds",
]  # fmt: skip


@pytest.fixture
def state(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder for the test only; returns the history in it."""
    monkeypatch.setitem(environment, "CRUDDUR_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "history"


def shown(here: Here, *options: str) -> Any:
    return parsed(here("history", *options, "-o", "json"))["items"]


def test_commands_that_change_something_are_recorded_and_others_are_not(
    state: Path, here: Here, table: DynamoDB
) -> None:
    assert here("ddb", "schema-load").code == 0
    assert here("ddb", "seed", "-q").code == 0
    assert len(shown(here)) == 2
    for words in (("ddb", "scan"), ("ddb", "drop", "--dry-run"), ("ddb", "list-conversations"), ("history",)):
        assert here(*words).code == 0
    assert here("ddb", "drop").code == 6
    assert here("ddb", "drop", "--yes").code == 0
    assert here("ddb", "drop").code == 5
    assert here("ddb", "drop", "--no-such-option").code == 2
    found = shown(here)
    assert all(list(one) == FIELDS for one in found)
    # What was refused is not among them.
    assert [(one["command"], one["exit_code"]) for one in found] == [
        ("cruddur ddb drop --yes", 0),
        ("cruddur ddb seed -q", 0),
        ("cruddur ddb schema-load", 0),
    ]
    dropped, seeded = found[0], found[1]
    assert table.table in dropped["warning"]
    assert "items" in dropped["warning"]
    assert table.table in dropped["stores"][0]
    assert dropped["reported"] == [f"table {table.table}: dropped"]
    assert seeded["counts"]["written"] > 100
    assert {one["environment"] for one in found} == {"local"}


def test_opening_psql_is_recorded_without_its_arguments(
    state: Path, here: Here, cruddur: Command, environment: dict[str, str]
) -> None:
    nowhere = {"CONNECTION_URL": environment["CONNECTION_URL"].rpartition("/")[0] + "/not_there"}
    assert cruddur("db", "connect", env=nowhere).code == 5
    assert shown(here) == []
    ran = cruddur("db", "connect", "--", "-XAtc", "SELECT 'see you at noon'")
    assert (ran.code, ran.out) == (0, "see you at noon\n"), ran.err
    (entry,) = shown(here)
    assert (entry["command"], entry["exit_code"]) == ("cruddur db connect", 0)
    assert "database" in entry["stores"][0]
    assert entry["reported"][0].endswith(" was opened; what was done in it is not recorded")
    assert "noon" not in (state / history.NAME).read_text()


def test_the_text_of_a_message_is_not_recorded(state: Path, here: Here, table: DynamoDB) -> None:
    assert here("ddb", "setup", "-q").code == 0
    assert here("ddb", "send-message", "see you at noon").code == 0
    assert shown(here)[0]["command"] == "cruddur ddb send-message …"
    assert "noon" not in (state / history.NAME).read_text()
    assert here("ddb", "drop", "--yes").code == 0


def test_production_is_marked_and_alone_with_prod(
    production: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRUDDUR_HOME", str(tmp_path / "state"))
    make_table()
    assert production("ddb", "protect", "--prod").code == 0
    history.begin(prod=False, folder=lambda: tmp_path / "state" / "history")
    history.end(["db", "seed"], 0, secrets=tuple)
    assert production("ddb", "protect", "--off", "--prod", "--confirm", TABLE).code == 0
    every = json.loads(production("history", "-o", "json").out)["items"]
    assert [one["environment"] for one in every] == ["production", "local", "production"]
    only = json.loads(production("history", "--prod", "-o", "json").out)["items"]
    assert [one["command"] for one in only] == [
        f"cruddur ddb protect --off --prod --confirm {TABLE}",
        "cruddur ddb protect --prod",
    ]
    assert "  production\n  cruddur ddb protect --prod\n" in production("history").out


def test_the_history_is_shown_in_every_format_and_for_a_time(
    state: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = here("history")
    assert (nothing.code, nothing.out, f"No command is recorded in {state}." in nothing.err) == (0, "", True)
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    with monkeypatch.context() as patch:
        for age in (50, 3, 0):
            patch.setattr(times, "now", lambda age=age: now - timedelta(hours=age))
            history.begin(prod=False, folder=lambda: state)
            history.counted({"written": 1000 + age})
            history.end(["ddb", "seed"], 0 if age else 143, secrets=tuple)
    monkeypatch.setattr(times, "now", lambda: now)
    found = shown(here)
    assert [one["counts"] for one in found] == [{"written": 1000}, {"written": 1003}, {"written": 1050}]
    assert shown(here, "--since", "4h") == found[:2]
    assert shown(here, "--until", "2026-11-18T23:00Z") == found[2:]
    assert shown(here, "--limit", "1") == found[:1]
    assert "The last 1 of 3 commands" in here("history", "--limit", "1").err
    rows = list(csv.DictReader(io.StringIO(here("history", "-o", "csv").out)))
    assert [row["exit_code"] for row in rows] == ["143", "0", "0"]
    assert [json.loads(line) for line in here("history", "-o", "jsonl").out.splitlines()] == found
    assert here("history", "-o", "markdown").out.startswith("| at |")
    drawn = here("history").out
    assert "  local  exit code 143\n  cruddur ddb seed\n  written 1,000\n" in drawn
    assert "3 commands are recorded in all" in here("history", "--since", "2026-11-22").err
    with (state / history.NAME).open("a") as file:
        file.write("no line\n")
    assert "1 line of" in here("history").err


def test_a_home_that_cannot_be_written_fails_no_command(
    here: Here, environment: dict[str, str], table: DynamoDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    for home in (tmp_path / "file", foreign):
        monkeypatch.setenv("CRUDDUR_HOME", str(home))
        ran = here("ddb", "schema-load", "-q")
        assert (ran.code, ran.err.count("warning: This command is not in the history: ")) == (0, 1)
        assert str(home) in ran.err
    assert [path.name for path in foreign.iterdir()] == ["thesis.txt"]
    assert here("ddb", "drop", "--yes").code == 0


def test_a_command_that_is_interrupted_is_recorded(
    state: Path, here: Here, table: DynamoDB, environment: dict[str, str]
) -> None:
    assert here("ddb", "setup", "--stream", "-q").code == 0
    words = [sys.executable, "-m", "cruddur_cli", "ddb", "stream", "process", "--follow", "-o", "jsonl"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert (shown(here)[0]["exit_code"], shown(here)[0]["command"]) == (
        130,
        "cruddur ddb stream process --follow -o jsonl",
    )
    assert here("ddb", "drop", "--yes").code == 0


@pytest.mark.parametrize(("code", "is_red"), [(0, False), (1, True), (130, False), (143, True)])
def test_a_failed_command_is_red_and_an_interrupted_one_is_not(
    code: int, is_red: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    entry = history.Entry(times.now(), "mira", "h", "/", "local", "cruddur ddb seed", (), None, (), {}, code, 1.0)
    history_command._draw(streams.console(sys.stdout), [entry])
    assert ("\x1b[1;31m" in capsys.readouterr().out) is is_red
