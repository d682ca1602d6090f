"""Output while a command runs: a status line, a progress bar, and the records of a stream as they arrive."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from cruddur_cli.errors import CannotConnect, Refused
from cruddur_cli.output import live, tables
from cruddur_cli.output.text import when
from cruddur_cli.settings import load
from tests.output.widths import SUB, fits

AT = datetime(2026, 11, 20, 10, tzinfo=UTC)


@dataclass(frozen=True)
class Record:
    """One record of a stream."""

    entity: str
    owner: str = "g1"
    event: str = "INSERT"
    at: datetime | None = AT
    item: dict[str, object] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (Record("message", item={"message": "hi\x1b[31m", "user_handle": "bayko"}), "message in g1 from bayko: hi"),
        (Record("message", event="REMOVE"), "message in g1"),
        (Record("group", item={"message_group_uuid": "x", "user_uuid": "u"}), "group row of g1, x with u: "),
        (Record("group", event="REMOVE"), "group row of g1"),
        (Record("other", item={"pk": "LOG#1"}), "other item {'pk': 'LOG#1'}"),
    ],
)
def test_a_record_of_the_stream_is_one_line(record: Record, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    live.stream_record(record)
    shown = capsys.readouterr().out
    assert shown.startswith(f"{when(AT)}  {record.event:6}  {message}".rstrip())
    assert (shown.count("\n"), "\x1b" in shown) == (1, False)


def test_a_record_of_the_stream_is_broken_between_words_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    live.stream_record(Record("message", owner=SUB, item={"message": "one two three", "user_handle": "mira"}))
    assert fits(capsys.readouterr().out, 60) == [
        f"{when(AT)}  INSERT  message in",
        f"    {SUB} from mira: one two",
        "    three",
    ]


def test_a_status_line_is_removed_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    line = live.StatusLine(shown=True)
    line.update("1 record\x1b[2J")
    line.warn("a shard is gone")
    line.clear()
    shown = capsys.readouterr().err
    assert "\x1b[2J" not in shown
    assert shown.startswith("\r\x1b[K1 record")
    assert "\r\x1b[Kwarning: a shard is gone\n" in shown
    assert shown.endswith("\n\r\x1b[K")


def test_a_hidden_status_line_writes_only_lines_that_stay(capsys: pytest.CaptureFixture[str]) -> None:
    line = live.StatusLine(shown=False)
    line.update("1 record")
    line.tell("warning: a shard is gone")
    line.clear()
    assert capsys.readouterr().err == "warning: a shard is gone\n"


def test_an_outage_is_reported_once_and_only_temporary_errors_are_waited_for() -> None:
    said: list[str] = []
    outage = live.Outage(said.append, "The store")
    outage.ends()
    for _ in range(2):
        outage.begins(CannotConnect("It is away."))
        outage.begins(Refused("It is busy.", code="throttled"))
    outage.ends()
    outage.ends()
    assert said == ["It is away. Waiting for it; press Ctrl-C to stop.", "The store answers again."]
    with pytest.raises(Refused, match="wrong"):
        outage.begins(Refused("wrong"))
    assert not outage.lasts


@pytest.mark.parametrize("columns", ["40", "80"])
def test_a_bar_fits_and_has_no_colour_of_an_error_or_a_question(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", columns)
    for total in (2_000_000, None):
        with live.progress(load(), "seeding messages", total) as advance:
            advance(2_000_000)
        shown = capsys.readouterr().err
        styles = {code for found in re.findall(r"\x1b\[([\d;]+)m", shown) for code in found.split(";")}
        assert styles <= {"0", "2", "36"}
        last = re.sub(r"\x1b\[[\d;?]*\w", "", shown).rstrip().split("\r")[-1]
        assert "seeding messages" in last
        assert ("2000000/2000000" if total else "2000000/?") in last
        assert "…" not in last


def test_a_title_is_cut_to_one_line_so_that_the_next_one_covers_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    live.Block(tables.table).draw("0 sessions of database 'cruddur'", [])
    assert capsys.readouterr().out.splitlines()[0] == "0 sessions of…"


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_a_bar_that_the_terminal_cannot_remove_is_not_drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: dict[str, str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    with live.progress(load(), "reading", 2) as advance:
        advance(2)
    assert capsys.readouterr().err == ""
