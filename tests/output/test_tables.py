"""Records as a table: no word, number or id is broken, or no table is drawn."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from cruddur_cli import output
from cruddur_cli.aws.user_pool import Identity
from cruddur_cli.output import streams, tables, text
from tests.output.widths import SUB, fits


@dataclass(frozen=True)
class Row:
    """A record as a command shows one."""

    entity: str
    unchanged: int
    deleted: int


@pytest.mark.parametrize("columns", range(24, 90), indirect=True)
def test_a_table_breaks_no_word_and_no_number_in_any_width(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
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
def test_no_table_is_drawn_that_would_break_a_number_or_an_id(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
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
def test_a_status_that_all_people_have_is_left_out_for_the_whole_sub(
    columns: int, capsys: pytest.CaptureFixture[str]
) -> None:
    address = "andrewbrown@example.com"
    tables.people(
        streams.console(sys.stdout), [Identity("andrewbrown", SUB, "andrewbrown", address, "CONFIRMED", True, None)]
    )
    head, _, row = fits(capsys.readouterr().out, columns)
    assert head.split() == ["handle", "email", "sub"]
    assert row.split() == ["andrewbrown", address, SUB]


@pytest.mark.parametrize("columns", [80], indirect=True)
def test_a_time_as_text_is_shown_like_other_times(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "a", "applied_at": "2026-11-20T12:00:01.863491+00:00"}, {"name": "b", "applied_at": "never"}]
    tables.table(streams.console(sys.stdout), rows)
    head, _, first, second = fits(capsys.readouterr().out, columns)
    at = text.when(datetime(2026, 11, 20, 12, 0, 1, tzinfo=UTC))
    assert (head.split(), first.split(maxsplit=1)[1], second.split()) == (["name", "applied", "at"], at, ["b", "never"])


@pytest.mark.parametrize("columns", [80], indirect=True)
@pytest.mark.parametrize("word", ["長" * 60, "x" * 200, "https://example.com/" + "segment" * 20])
def test_a_column_of_sentences_shrinks_and_ids_stay_whole(
    columns: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    row = ["2026-11-20 12:00", SUB, word]
    assert tables.draw_table(streams.console(sys.stdout), ["at", "id", "message"], [row], words=2)
    lines = fits(capsys.readouterr().out, columns)
    assert f"2026-11-20 12:00  {SUB}  " in lines[2]
    assert "".join(line[56:] for line in lines[2:]).replace(" ", "") == word


@pytest.mark.parametrize("columns", [80], indirect=True)
def test_a_wide_handle_breaks_at_its_signs_before_an_id_does(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    row = ["maximilian-alexander-von-und-zu-hohenlohe", SUB, "unchanged"]
    assert tables.draw_table(streams.console(sys.stdout), ["handle", "sub", "result"], [row])
    first, second = fits(capsys.readouterr().out, columns)[2:]
    assert (first.split(), second) == (["maximilian-alexander-von-und-", SUB, "unchanged"], "zu-hohenlohe")


@pytest.mark.parametrize("columns", [40, 80, 120], indirect=True)
def test_columns_are_aligned_with_wide_characters_too(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["plain", "日本語", "👩‍👩‍👧‍👦 family", "e\u0301te\u0301", "❤️", "🇩🇪"]
    tables.table(streams.console(sys.stdout), [{"name": name, "n": "|"} for name in names])
    lines = capsys.readouterr().out.splitlines()[2:]
    assert {text.width_of(line) for line in lines} == {text.width_of(lines[0])}


@pytest.mark.parametrize("columns", [40], indirect=True)
@pytest.mark.parametrize(
    "draw", [tables.details, lambda out, rows: tables.draw_blocks(out, ["file"], [rows[0].values()])]
)
def test_a_path_beside_its_name_breaks_at_its_signs(
    columns: int, draw: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    path = "/home/user/backups/cruddur-messages/cruddur-messages-20261120T120000Z.jsonl.gz"
    draw(streams.console(sys.stdout), [{"file": path}])
    first, *more = (line.strip() for line in fits(capsys.readouterr().out, columns))
    assert first.split()[0].strip(":") == "file"
    assert first.split()[1] + "".join(more) == path
    assert {line[-1] for line in (first, *more[:-1])} <= {"/", "-"}


@pytest.mark.parametrize("columns", [40], indirect=True)
def test_an_id_without_room_beside_its_name_is_below_it(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    tables.details(streams.console(sys.stdout), [{"handle": "mira", "cognito_user_id": SUB, "email": ""}])
    lines = fits(capsys.readouterr().out, columns)
    assert lines == ["handle           mira", "cognito user id", SUB, "email            –"]


@pytest.mark.parametrize("columns", [120], indirect=True)
def test_a_long_word_stays_whole_if_a_sentence_can_shrink(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    address = "postgresql://cruddur:***@127.0.0.1:36351/cruddur"
    row = ["security_group_rule_id", address, "one word after another " * 4]
    assert tables.draw_table(streams.console(sys.stdout), ["setting", "value", "origin"], [row])
    assert address in fits(capsys.readouterr().out, columns)[2]


@dataclass(frozen=True)
class Migration:
    """A record with a field that many lack."""

    version: int
    name: str
    applied_at: str | None = None


@pytest.mark.parametrize("columns", [80], indirect=True)
def test_a_field_that_no_record_has_is_no_column(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    out = streams.console(sys.stdout)
    tables.table(out, [Migration(1, "one"), Migration(2, "two")])
    assert capsys.readouterr().out.split("\n")[0].split() == ["version", "name"]
    tables.table(out, [Migration(1, "one"), Migration(2, "two", "2026-11-20T10:00:00Z")])
    assert "applied at" in capsys.readouterr().out
    tables.details(out, [Migration(1, "one"), Migration(2, "two")])
    assert capsys.readouterr().out == "version  1\nname     one\n\nversion  2\nname     two\n"
    tables.details(out, [Migration(1, "one")])
    assert capsys.readouterr().out.endswith("applied at  –\n")


@pytest.mark.parametrize("columns", [40], indirect=True)
def test_a_word_that_would_be_broken_beside_its_name_only_stands_below_it(
    columns: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = "/var/lib/cruddur/08a406baadc1/data"
    tables.details(streams.console(sys.stdout), [{"state": "running", "data_dir": path, "long": f"{path}/{path}"}])
    assert fits(capsys.readouterr().out, columns)[:4] == [
        "state     running",
        "data dir",
        path,
        "long      /var/lib/cruddur/08a406baadc1/",
    ]


@pytest.mark.parametrize("columns", [40], indirect=True)
def test_an_id_is_cut_before_a_table_becomes_blocks_and_its_header_is_not(
    columns: int, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"handle": "andrewbrown", "cognito_user_id": SUB, "result": "unchanged"}]
    tables.table(streams.console(sys.stdout), rows)
    lines = fits(capsys.readouterr().out, columns)
    assert lines[0].split() == ["handle", "cognito", "user", "id", "result"]
    assert lines[-1].split() == ["andrewbrown", f"{SUB[:8]}…", "unchanged"]


@pytest.mark.parametrize("columns", [80], indirect=True)
def test_only_the_fields_that_are_named_are_columns(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    output.columns("name", "applied_at")(streams.console(sys.stdout), [Migration(1, "one", "2026-11-20T10:00:00Z")])
    assert capsys.readouterr().out.split("\n")[0].split() == ["name", "applied", "at"]


@dataclass(frozen=True)
class Setting:
    """A setting as ``cruddur config`` shows one."""

    setting: str
    value: str | None
    origin: str


SETTINGS = [
    Setting("table", "cruddur-messages", "default"),
    Setting("region", None, "not set: the AWS profile's; us-east-1 if local"),
    Setting("address_services", "https://checkip.amazonaws.com,https://api.ipify.org", "default"),
]


@pytest.mark.parametrize("columns", [40, 80], indirect=True)
def test_a_setting_without_a_value_shows_dim_what_is_used_instead(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    tables.settings(streams.console(sys.stdout), SETTINGS)
    shown = capsys.readouterr().out
    lines = fits(re.sub(r"\x1b\[[\d;]*m", "", shown), columns)
    (region,) = [line for line in shown.splitlines() if "region" in line]
    assert region.startswith("\x1b[2mregion")
    assert "–" not in shown
    assert [line for line in lines if "https://checkip.amazonaws.com," in line]  # broken between two addresses
