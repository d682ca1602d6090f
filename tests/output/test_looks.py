"""What a table looks like where room is short: words, numbers and ids stay whole, or it is no table."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import pytest

from cruddur_cli.aws.user_pool import Identity
from cruddur_cli.dynamodb import messages
from cruddur_cli.dynamodb.stats import Entity, Partition, Stats
from cruddur_cli.output import charts, streams, terminal
from cruddur_cli.output.drawings import draw_items
from cruddur_cli.output.text import counted, units, wrapped

from ..conftest import Run

SUB = "bb92687b-04c2-43ad-8fc7-d9ddf5c62b1e"


@dataclass(frozen=True)
class Row:
    """A record as a command shows one."""

    entity: str
    unchanged: int
    deleted: int


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    return int(request.param)


def fits(shown: str, columns: int) -> list[str]:
    lines = shown.splitlines()
    assert not [line for line in lines if len(line.rstrip()) > columns]
    return lines


@pytest.mark.parametrize("columns", range(24, 90), indirect=True)
def test_a_table_in_any_width_keeps_words_and_numbers_whole(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.table([Row("message groups", 10_000, 2_736_809), Row("messages", 0, 0)])
    shown = capsys.readouterr().out
    fits(shown, columns)
    for word in ("unchanged", "deleted", "message", "groups", "10,000", "2,736,809"):
        assert word in shown


def test_an_item_of_no_known_entity_reads_as_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    values = {"pk": {"S": "LOG#1 \x1b[31m"}, "tiny": {"N": "1E-130"}, "raw": {"B": b"\x00"}, "no": {"NULL": True}}
    values |= {"yes": {"BOOL": True}, "numbers": {"NS": ["1", "2.5"]}}
    draw_items([messages.decode(values)])
    shown = " ".join(capsys.readouterr().out.split())
    for said in ('"tiny": 1e-130', '"raw": "AA=="', '"no": null', '"yes": true', '"numbers": [1, 2.5]'):
        assert said in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("columns", range(40, 100, 4), indirect=True)
def test_statistics_in_any_width_keep_words_and_numbers_whole(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    found = Stats(
        entities=[Entity("message groups", 2, 720, 360, 0.5, 4.0), Entity("messages", 33_391, 9_136_809, 274, 1e6, 1)],
        partitions=[Partition(f"MSG#{SUB}", 33_391, 9_136_809, 0), Partition(f"GRP#{SUB}", 1, 357, 0)],
        partitions_approximate=False, days={"2026-11-20": 33_391}, earlier=0, years={"2026": 33_391}, timeless=1,
        lonely_rows=0, lonely_approximate=False, lonely=[],
    )  # fmt: skip
    charts.draw_stats(found, capacity="what the units mean")
    shown = capsys.readouterr().out
    fits(shown, columns)
    for text in ("average", "33,391 items, 9,136,809 bytes", "1 item, 357 bytes", "1,000,000"):
        assert text in shown
    assert "1 message has" in " ".join(shown.split())


def drawn(capsys: pytest.CaptureFixture[str], headers: list[str], *row: str) -> list[str] | None:
    if not terminal.draw_table(streams.console(sys.stdout), headers, [row], right={1, 2}, dim=True):
        return None
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("columns", [44], indirect=True)
def test_a_long_header_breaks_at_its_hyphens(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    lines = drawn(capsys, ["operation", "items", "message-group-sk-index"], "BatchWriteItem", "1,234,567", "10")
    assert lines is not None
    assert [line.split()[-1] for line in lines[1:3]] == ["message-group-", "sk-index"]


@pytest.mark.parametrize("columns", [30], indirect=True)
def test_what_would_cut_a_number_or_an_id_is_no_table(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert drawn(capsys, ["name", "sub"], "x", SUB) is None
    assert drawn(capsys, ["operation", "n", "m"], "BatchWriteItem", "1,234,567,890", "1") is None
    assert drawn(capsys, ["operation", "at"], "BatchWriteItem", "https://x/y-z") is not None


@pytest.mark.parametrize("columns", [80], indirect=True)
def test_people_are_a_table_in_eighty_columns(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    address = "andrewbrown@example.com"
    terminal.people(
        [
            Identity("andrewbrown", SUB, "andrewbrown", address, "FORCE_CHANGE_PASSWORD", True, None),
            Identity(None, SUB, "somebody", None, "CONFIRMED", True, None),
        ]
    )
    head, _, *rows = fits(capsys.readouterr().out, columns)
    assert head.split() == ["handle", "email", "status", "sub"]
    assert [line.split()[-1] for line in rows] == [SUB, "password", SUB]
    assert "andrewbrown@ " in rows[0]
    assert "example.com" in rows[1]


def test_settings_are_a_table_in_eighty_columns_and_blocks_in_forty(cruddur: Run) -> None:
    url = "postgresql://cruddur:secret@db.example.com:5432/cruddur?sslmode=require"
    lines = fits(cruddur("config", env={"COLUMNS": "80", "CONNECTION_URL": url}).out, 80)
    assert lines[0].split() == ["setting", "value", "origin"]
    assert len(lines) < 45
    assert [line for line in lines if line.startswith("security_group_rule_id ")]
    assert "setting: environment" in fits(cruddur("config", env={"COLUMNS": "40"}).out, 40)


def test_nothing_is_padded_to_a_width_in_a_pipe(cruddur: Run) -> None:
    cruddur("setup", "-q")
    lines = cruddur("ddb", "list-conversations").out.splitlines()
    assert lines[0].startswith("Andrew Bayko @bayko  ")
    assert not [line for line in lines if "   " in line or line.endswith(" ")]


def test_one_is_one() -> None:
    assert [counted(n, "item") for n in (0, 1, 2_000)] == ["0 items", "1 item", "2,000 items"]
    assert [counted(n, "person", "people") for n in (1, 2)] == ["1 person", "2 people"]
    assert [units(n) for n in (0, 0.5, 10, 1_234_567.0)] == ["0", "0.5", "10", "1,234,567"]


def test_lines_break_between_words_and_keep_their_indent() -> None:
    assert wrapped("local: the table at http://127.0.0.1:43755", 30) == "local: the table at\nhttp://127.0.0.1:43755"
    assert wrapped("  next: one two three", 14) == "  next: one\n  two three"
    assert wrapped("fits  as it is\nand so does this", 16) == "fits  as it is\nand so does this"
    assert wrapped("see /a/rather/long/path", 10) == "see\n/a/rather/long/path"
    assert wrapped("/a/rather/long/path", 10, cut=True) == "/a/rather/\nlong/path"
    assert wrapped("日本語日本語", 5, cut=True) == "日本\n語日\n本語"
    assert wrapped("", 5) == ""


def test_json_keeps_every_field_of_a_person(cruddur: Run) -> None:
    cruddur("setup", "-q")
    found = json.loads(cruddur("cognito", "list-users", "-o", "json").out)["items"][0]
    assert set(found) >= {"username", "enabled", "created_at"}
