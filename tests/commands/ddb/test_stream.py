"""``cruddur ddb stream`` and ``ddb stats``: applied records, output, checkpoints and refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB
from tests.commands.conftest import Here, parsed
from tests.dynamodb.rows import ME, OTHER, everything, group_row, message_row, write
from tests.dynamodb.shards import both_rows, group_texts, minute


@pytest.fixture
def streamed(here: Here, table: DynamoDB) -> Here:
    """The commands, with a table that has a stream and a conversation."""
    assert here("ddb", "schema-load", "--stream").code == 0
    write(table, both_rows())
    return here


def say(table: DynamoDB, *numbers: int) -> None:
    for n in numbers:
        item = message_row(minute(n), f"message {n}", sender=(ME, OTHER)[n % 2])
        table.call("put_item", TableName=table.table, Item=item)


def rows(table: DynamoDB) -> list[tuple[str, str]]:
    return group_texts(everything(table))


def checkpoints(environment: dict[str, str]) -> list[Path]:
    found = (Path(environment["CRUDDUR_HOME"]) / "streams").glob(f"{environment['DDB_MESSAGE_TABLE']}-*")
    return list(found)


def test_a_stream_is_turned_on_for_a_new_and_for_an_existing_table(here: Here, table: DynamoDB) -> None:
    assert here("ddb", "schema-load").code == 0
    assert tables.describe(table).stream is None
    assert "would be turned on" in here("ddb", "schema-load", "--stream", "--dry-run").err
    assert tables.describe(table).stream is None
    assert "stream: turned on" in here("ddb", "schema-load", "--stream").err
    assert "stream: on already" in here("ddb", "schema-load", "--stream").err
    assert parsed(here("ddb", "describe-table", "-o", "json"))["items"][0]["stream"] == "NEW_IMAGE"


def test_set_up_with_a_stream_seeds_and_processing_it_changes_nothing(here: Here, table: DynamoDB) -> None:
    assert here("ddb", "setup", "--stream", "-q").code == 0
    before = everything(table)
    body = parsed(here("ddb", "stream", "process", "-o", "json"))
    assert body["items"][0]["messages"] > 100
    assert (body["items"][0]["moved"], body["failed"]) == (0, 0)
    assert everything(table) == before


def test_a_table_without_a_stream_names_the_command_that_turns_it_on(here: Here, table: DynamoDB) -> None:
    assert here("ddb", "schema-load").code == 0
    for command in (["process"], ["tail", "--once"]):
        ran = here("ddb", "stream", *command)
        assert ran.code == 5
        assert f"cruddur ddb stream {command[0]}: Table" in ran.err
        assert "next: cruddur ddb schema-load --stream" in ran.err


def test_process_moves_the_rows_and_saves_the_checkpoint(
    streamed: Here, table: DynamoDB, environment: dict[str, str]
) -> None:
    say(table, 1, 2, 3)
    body = parsed(streamed("ddb", "stream", "process", "--once", "-o", "json"))
    (item,) = body["items"]
    assert (item["messages"], item["moved"], body["records"], body["dry_run"]) == (3, 2, 5, False)
    assert body["consumed_capacity"]["write_units"] > 0
    assert rows(table) == [(minute(3), "message 3")] * 2
    (path,) = checkpoints(environment)
    assert path.stat().st_mode & 0o077 == 0
    again = parsed(streamed("ddb", "stream", "process", "-o", "json"))["items"][0]
    assert (again["messages"], again["ignored"]) == (0, 4), "only the rows that it wrote itself"
    anew = parsed(streamed("ddb", "stream", "process", "--from", "oldest", "-o", "json"))["items"][0]
    assert (anew["messages"], anew["moved"], anew["unchanged"]) == (3, 0, 2)


def test_a_dry_run_changes_neither_rows_nor_checkpoint(
    streamed: Here, table: DynamoDB, environment: dict[str, str]
) -> None:
    say(table, 1)
    body = parsed(streamed("ddb", "stream", "process", "--dry-run", "-o", "json"))
    assert (body["items"][0]["messages"], body["dry_run"]) == (1, True)
    assert rows(table) == [(minute(0), "old")] * 2
    assert checkpoints(environment) == []


def test_from_latest_skips_existing_records(streamed: Here, table: DynamoDB, tmp_path: Path) -> None:
    say(table, 1)
    kept = ["--checkpoint", str(tmp_path / "place.json")]
    assert parsed(streamed("ddb", "stream", "process", "--from", "latest", *kept, "-o", "json"))["records"] == 0
    assert rows(table) == [(minute(0), "old")] * 2


def test_a_recreated_table_begins_from_the_start(streamed: Here, table: DynamoDB, tmp_path: Path) -> None:
    kept = ["--checkpoint", str(tmp_path / "place.json")]
    say(table, 1)
    assert streamed("ddb", "stream", "process", *kept).code == 0
    tables.drop(table, say=lambda _: None)
    assert streamed("ddb", "schema-load", "--stream").code == 0
    write(table, both_rows())
    say(table, 5)
    ran = streamed("ddb", "stream", "process", *kept)
    assert ran.code == 0
    assert "belongs to another stream" in ran.err
    assert rows(table) == [(minute(5), "message 5")] * 2


def test_records_before_a_malformed_one_are_applied_and_skip_passes_it(streamed: Here, table: DynamoDB) -> None:
    say(table, 1, 2)
    table.call("put_item", TableName=table.table, Item=message_row("no time", "poison"))
    say(table, 3)
    for _ in range(2):
        ran = streamed("ddb", "stream", "process", "-o", "json")
        assert ran.code == 1
        assert rows(table) == [(minute(2), "message 2")] * 2
        error = json.loads(ran.err.splitlines()[-1])["error"]
        assert error["code"] == "malformed_record"
    number = error["sequence_number"]
    assert error["hint"] == f"cruddur ddb stream process --skip {number}"
    assert streamed("ddb", "stream", "process", "--skip", number).code == 0
    assert rows(table) == [(minute(3), "message 3")] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("process", "--once", "--follow"), "exclude each other"),
        (("process", "--follow", "--dry-run"), "--dry-run"),
        (("tail", "--from", "checkpoint"), "'checkpoint' is not one of"),
        (("tail", "-o", "json"), "no end"),
    ],
)
def test_contradictory_options_are_refused(here: Here, arguments: tuple[str, ...], message: str) -> None:
    ran = here("ddb", "stream", *arguments)
    assert ran.code == 2
    assert message in ran.err


def test_a_file_that_is_not_a_checkpoint_is_refused(streamed: Here, tmp_path: Path) -> None:
    path = tmp_path / "place.json"
    path.write_text("not a checkpoint")
    ran = streamed("ddb", "stream", "process", "--checkpoint", str(path))
    assert ran.code == 2
    assert "--from oldest" in ran.err


def test_no_checkpoint_is_written_into_a_folder_of_other_files(
    streamed: Here, table: DynamoDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "README.md").touch()
    monkeypatch.setenv("CRUDDUR_HOME", str(foreign))
    say(table, 1)
    before = rows(table)
    ran = streamed("ddb", "stream", "process", "--once")
    assert ran.code == 3
    assert f"{foreign} is not a state directory of cruddur and is not empty" in ran.err
    assert "--checkpoint FILE" in ran.err
    assert (rows(table), [path.name for path in foreign.iterdir()]) == (before, ["README.md"])
    ran = streamed("ddb", "stream", "process", "--once", "--checkpoint", str(tmp_path / "place.json"))
    assert ran.code == 0, ran.err
    assert rows(table) != before


def test_tail_shows_each_change_as_its_entity(streamed: Here, table: DynamoDB) -> None:
    say(table, 1)
    table.call("delete_item", TableName=table.table, Key={"pk": message_row("", "")["pk"], "sk": {"S": minute(1)}})
    ran = streamed("ddb", "stream", "tail", "--from", "oldest", "--once")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert len(lines) == 4
    assert sum("group row of" in line for line in lines) == 2
    assert "INSERT  message in 5ae290ed-55d1-47a0-bc6d-fe2bc2700399 from bayko: message 1" in lines[2]
    assert "REMOVE  message in" in lines[3]
    found = [
        json.loads(line)
        for line in streamed(
            "ddb", "stream", "tail", "--from", "oldest", "--limit", "3", "-o", "jsonl"
        ).out.splitlines()
    ]
    assert [each["entity"] for each in found] == ["group", "group", "message"]
    assert list(found[2]) == ["sequence_number", "event", "at", "entity", "owner", "item"]
    said = message_row(minute(1), "message 1", sender=OTHER)
    assert found[2]["item"] == {name: value["S"] for name, value in said.items()}


def test_a_terminal_obeys_no_control_character_of_a_change(streamed: Here, table: DynamoDB) -> None:
    evil = message_row(minute(1), "\x1b[2J\x1b]0;owned\x07 two\nlines")
    table.call("put_item", TableName=table.table, Item=evil)
    for form in ("table", "jsonl"):
        ran = streamed("ddb", "stream", "tail", "--from", "oldest", "--once", "-o", form)
        assert ran.code == 0
        assert "\x1b" not in ran.out
        assert len(ran.out.splitlines()) == 3


# In a process of its own: what goes on, and what is killed.


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """A function that starts a command as a process with pipes; the process is ended with the test."""
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, code: str | None = None) -> subprocess.Popen[str]:
        program = ["-c", code] if code else ["-m", "cruddur_cli"]
        command = [sys.executable, *program, *arguments]
        path = os.pathsep.join([str(Path(__file__).parents[3]), environment.get("PYTHONPATH", "")])
        running.append(
            subprocess.Popen(
                command,
                env={**environment, "PYTHONPATH": path},
                cwd=tmp_path / "home",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def lines_of(process: subprocess.Popen[str], count: int) -> list[dict[str, Any]]:
    """The next lines of JSON of a process; the process is ended if they do not arrive."""
    assert process.stdout is not None
    guard = threading.Timer(30, process.kill)
    guard.start()
    try:
        return [json.loads(process.stdout.readline()) for _ in range(count)]
    finally:
        guard.cancel()


def test_tail_shows_a_change_when_it_arrives(streamed: Here, table: DynamoDB, start: Start) -> None:
    process = start("ddb", "stream", "tail", "--from", "oldest", "-o", "jsonl")
    assert [line["entity"] for line in lines_of(process, 2)] == ["group", "group"]
    say(table, 7)
    (line,) = lines_of(process, 1)
    assert line["item"]["message"] == "message 7"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130


# Killed from inside: after the transaction whose number is the last argument, or after so many seconds.


# The archive.


def test_the_archive_is_the_same_twice(here: Here, tmp_path: Path) -> None:
    shown = [parsed(here("ddb", "stream", "package", "--out", str(tmp_path / name), "-o", "json")) for name in "ab"]
    first, second = ((tmp_path / name).read_bytes() for name in "ab")
    assert first == second
    assert shown[0]["items"][0]["code_sha256"] == shown[1]["items"][0]["code_sha256"]
    names = zipfile.ZipFile(tmp_path / "a").namelist()
    assert names == sorted(names)
    assert "cruddur_cli/lambda_handler.py" in names
    assert not [name for name in names if "commands" in name or "postgres" in name or "output" in name]


def test_an_archive_that_cannot_be_written_is_an_error(here: Here, tmp_path: Path) -> None:
    ran = here("ddb", "stream", "package", "--out", str(tmp_path / "no" / "such" / "folder.zip"))
    assert ran.code == 2
    assert "cannot be written" in ran.err


# ddb stats


def test_stats_count_the_items_of_the_table(streamed: Here, table: DynamoDB) -> None:
    write(table, (message_row(minute(n), f"message {n}") for n in range(30)))
    write(table, [message_row("2019-03-01T10:00:00", "old one"), message_row("never", "timeless")])
    write(table, [group_row(ME, OTHER, minute(3), "alone", group="lonely")])
    body = parsed(streamed("ddb", "stats", "-o", "json"))
    entities = {item["entity"]: item for item in body["items"]}
    assert (entities["messages"]["items"], entities["message groups"]["items"]) == (32, 3)
    assert body["days"] == {"2019-03-01": 1, "2026-11-20": 30}
    assert body["years"] == {"2019": 1, "2026": 30}
    assert (body["timeless"], body["lonely_rows"], body["sample"]) == (1, 1, False)
    assert [each["message_group_uuid"] for each in body["lonely"]] == ["lonely"]
    assert body["partitions"][0]["items"] == 32
    assert body["consumed_capacity"]["read_units"] > 0
    drawn = streamed("ddb", "stats")
    assert drawn.code == 0
    assert "2026-11-20" in drawn.out
    assert "█" in drawn.out
    assert "lonely" in drawn.out
    assert "\x1b" not in drawn.out


def test_a_sample_is_reported_as_a_sample(streamed: Here, table: DynamoDB) -> None:
    write(table, (message_row(minute(n), f"message {n}", group=f"g{n}") for n in range(100)))
    ran = streamed("ddb", "stats", "--sample", "20")
    assert "A sample" in ran.err
    body = parsed(streamed("ddb", "stats", "--sample", "20", "-o", "json"))
    assert body["sample"]
    assert body["lonely_rows"] is None
    assert 0 < sum(item["items"] for item in body["items"]) <= 20


def test_stats_of_an_export_are_those_of_the_table(streamed: Here, table: DynamoDB, tmp_path: Path) -> None:
    body = parsed(streamed("ddb", "stats", "-o", "json"))
    for name in ("all.jsonl.gz", "all.json"):
        file = str(tmp_path / name)
        assert streamed("ddb", "export", file).code == 0
        of_file = parsed(streamed("ddb", "stats", "--from", file, "-o", "json"))
        assert "consumed_capacity" not in of_file
        assert of_file == {**{key: body[key] for key in body if key != "consumed_capacity"}, "items_in_table": None}
    ran = streamed("ddb", "stats", "--from", file)
    assert "the table was not read" in ran.err
    assert streamed("ddb", "stats", "--from", file, "--sample", "3").code == 2
    assert streamed("ddb", "stats", "--from", str(tmp_path / "none.jsonl")).code == 2


def test_stats_of_an_empty_table(here: Here, table: DynamoDB) -> None:
    assert here("ddb", "schema-load").code == 0
    assert parsed(here("ddb", "stats", "-o", "json"))["days"] == {}
    assert here("ddb", "stats").code == 0
    assert here("ddb", "stats", "--sample", "5").code == 0
