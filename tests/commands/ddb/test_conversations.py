"""Reading conversations with ``cruddur ddb``: selection, output, explanations and refusals."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from cruddur_cli import output
from cruddur_cli.commands.shared import seed_files
from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.times import now, sort_key
from tests import dumps, faults
from tests.commands.conftest import Here, parsed
from tests.conftest import SEEDED, Run
from tests.dynamodb.rows import ME, OTHER, THIRD, everything, group_row, message_row, write

MESSAGE = ["message_uuid", "user_uuid", "user_handle", "user_display_name", "message", "created_at"]
GROUP = ["message_group_uuid", "user_uuid", "user_handle", "user_display_name", "message", "last_message_at"]
CAPACITY = ["table", "read_units", "write_units", "requests", "indexes", "source"]
COUNT = len(seed_files.text("conversation.txt").strip().splitlines())


@pytest.fixture
def seeded(here: Here, table: DynamoDB) -> Here:
    """The commands, after ``ddb setup``."""
    assert here("ddb", "setup", "-q").code == 0
    return here


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [(("list-conversations",), GROUP), (("get-conversation",), MESSAGE), (("list-tables",), ["table_name"])],
)
def test_records_have_the_fields_of_the_contract_in_every_format(
    seeded: Here, arguments: tuple[str, ...], fields: list[str]
) -> None:
    body = parsed(seeded("ddb", *arguments, "-o", "json"))
    assert list(body)[:2] == ["items", "count"]
    assert body["count"] == len(body["items"]) > 0
    assert all(list(item) == fields for item in body["items"])
    lines = seeded("ddb", *arguments, "-o", "jsonl")
    assert [json.loads(line) for line in lines.out.splitlines()] == body["items"]
    rows = seeded("ddb", *arguments, "-o", "csv")
    assert list(csv.DictReader(io.StringIO(rows.out))) == body["items"]
    if arguments == ("list-tables",):
        assert "consumed_capacity" not in body
        return
    assert list(body["consumed_capacity"]) == CAPACITY
    for ran in (lines, rows):
        assert json.loads(ran.err)["consumed_capacity"] == body["consumed_capacity"]


def test_a_scan_prints_plain_items_or_typed_ones(seeded: Here, table: DynamoDB) -> None:
    body = parsed(seeded("ddb", "scan", "-o", "json"))
    assert body["count"] == COUNT + 2
    assert list(body["consumed_capacity"]) == CAPACITY
    typed = [json.loads(line) for line in seeded("ddb", "scan", "-o", "jsonl", "--typed").out.splitlines()]
    assert sorted(typed, key=lambda item: (item["pk"]["S"], item["sk"]["S"])) == everything(table)
    assert [{name: value["S"] for name, value in item.items()} for item in typed] == body["items"]
    rows = list(csv.DictReader(io.StringIO(seeded("ddb", "scan", "-o", "csv", "--segments", "4").out)))
    assert sorted(row["sk"] for row in rows) == sorted(item["sk"] for item in body["items"])
    assert len(seeded("ddb", "scan", "-o", "jsonl", "--limit", "5").out.splitlines()) == 5
    assert seeded("ddb", "scan", "--typed").code == 2


def test_seeding_prints_whole_numbers_beside_its_items(seeded: Here) -> None:
    body = parsed(seeded("ddb", "seed", "-o", "json"))
    assert (body["written"], body["unchanged"], body["deleted"], body["dry_run"]) == (0, COUNT + 2, 0, False)
    assert list(body["consumed_capacity"]) == CAPACITY


def test_the_conversation_is_found_by_default_by_id_and_by_its_people(seeded: Here) -> None:
    default = parsed(seeded("ddb", "get-conversation", "-o", "json"))["items"]
    assert len(default) == 20
    assert default == parsed(seeded("ddb", "get-conversation", SEEDED, "-o", "json"))["items"]
    assert default == parsed(seeded("ddb", "get-conversation", "--with", "bayko", "-o", "json"))["items"]
    everything_said = parsed(seeded("ddb", "get-conversation", "--limit", "1000", "-o", "json"))["items"]
    assert len(everything_said) == COUNT
    assert everything_said[-20:] == default
    assert [item["created_at"] for item in everything_said] == sorted(item["created_at"] for item in everything_said)
    (group,) = parsed(seeded("ddb", "list-conversations", "bayko", "-o", "json"))["items"]
    assert (group["message"], group["last_message_at"]) == (default[-1]["message"], default[-1]["created_at"])
    assert group["user_handle"] == "andrewbrown"
    assert seeded("ddb", "get-conversation", SEEDED, "--with", "bayko").code == 2


def test_the_index_is_not_read_if_the_messages_show_the_people(seeded: Here, table: DynamoDB) -> None:
    def read(*options: str) -> Any:
        return parsed(seeded("ddb", "get-conversation", *options, "-o", "json"))

    both = read()
    assert both["consumed_capacity"]["indexes"] == {}
    # One message has one writer: whose the conversation is stands in the group rows.
    last = read("--limit", "1")
    assert list(last["consumed_capacity"]["indexes"]) == ["message-group-sk-index"]
    assert last["items"] == both["items"][-1:]
    write(table, [group_row(ME, THIRD, "2026-02-03T10:00:00.000000+00:00", "hello", group="with the third")])
    write(table, [message_row("2026-02-03T10:00:00.000000+00:00", "hello", group="with the third")])
    assert [item["message"] for item in read("--other-handle", "altbrown")["items"]] == ["hello"]


def test_the_applications_own_queries_read_what_was_seeded(seeded: Here, table: DynamoDB) -> None:
    """Partition key by equality, begins_with(sk, year), newest first, limit 20."""
    shown = parsed(seeded("ddb", "get-conversation", "-o", "json"))["items"]
    year = shown[-1]["created_at"][:4]

    def ask(pk: str) -> list[dict[str, str]]:
        answer = table.client.query(
            TableName=table.table,
            KeyConditionExpression="pk = :pk AND begins_with(sk,:year)",
            ExpressionAttributeValues={":year": {"S": year}, ":pk": {"S": pk}},
            ScanIndexForward=False,
            Limit=20,
        )
        return [{name: value["S"] for name, value in item.items()} for item in answer["Items"]]

    messages = ask(f"MSG#{SEEDED}")
    for item, same in zip(reversed(messages), [row for row in shown if row["created_at"][:4] == year], strict=True):
        assert {name: item[name] for name in MESSAGE[:5]} == {name: same[name] for name in MESSAGE[:5]}
        assert datetime.fromisoformat(item["sk"]) == datetime.fromisoformat(same["created_at"])
    (group,) = ask(f"GRP#{ME.uuid}")
    assert (group["message"], group["user_handle"], group["message_group_uuid"]) == (
        shown[-1]["message"], "bayko", SEEDED,
    )  # fmt: skip


def test_the_applications_messages_are_read_in_time_order_in_utc(seeded: Here, table: DynamoDB) -> None:
    """The backend writes local time with its offset; here half a day off, so that text order is far from time order."""
    last = datetime.fromisoformat(parsed(seeded("ddb", "get-conversation", "-o", "json"))["items"][-1]["created_at"])
    local = datetime.fromtimestamp(last.timestamp() + 90.5, tz=datetime.fromisoformat("2026-01-01T00:00-09:30").tzinfo)
    write(table, [message_row(local.isoformat(), "from the app", group=SEEDED, sender=OTHER)])
    write(table, [group_row(ME, OTHER, local.isoformat(), "from the app", group="of the app")])
    for limit in ("1", "20", "1000"):
        newest = parsed(seeded("ddb", "get-conversation", "--limit", limit, "-o", "json"))["items"][-1]
        assert newest["message"] == "from the app"
        assert datetime.fromisoformat(newest["created_at"]) == local
        assert newest["created_at"].endswith("+00:00")
    groups = parsed(seeded("ddb", "list-conversations", "-o", "json"))["items"]
    assert [group["message_group_uuid"] for group in groups] == ["of the app", SEEDED]


def test_years_and_times_select_messages(here: Here, table: DynamoDB) -> None:
    tables.create(table, say=lambda _: None)
    rows = {"2025-12-31T23:30:00-05:30": "new year", "2025-12-31T23:59:59.999999+00:00": "old", "2026-06-01": "june"}
    write(table, [message_row(sk, text) for sk, text in rows.items()])

    def read(*options: str) -> list[str]:
        return [item["message"] for item in parsed(here("ddb", "get-conversation", *options, "-o", "json"))["items"]]

    assert read() == ["old", "new year", "june"]
    assert read("--year", "2025") == ["old"]
    assert read("--year", "2026") == ["new year", "june"]
    assert read("--year", "2026", "--limit", "1") == ["june"]
    assert read("--until", "2026-01-01T00:00Z") == ["old"]
    assert read("--since", "2026-01-01T00:00Z", "--until", "2026-05-31") == ["new year"]
    assert here("ddb", "get-conversation", "--since", "soon").code == 2


def test_an_empty_result_is_explained_on_stderr(seeded: Here, table: DynamoDB) -> None:
    said = [item["sk"]["S"] for item in everything(table) if item["pk"]["S"] == f"MSG#{SEEDED}"]
    ran = seeded("ddb", "get-conversation", "--year", "1999", "-o", "json")
    body = parsed(ran)
    assert (body["items"], body["count"], body["consumed_capacity"]["requests"]) == ([], 0, 4)
    first, last = (output.when(sort_key) for sort_key in (min(said), max(said)))
    assert f"has no message in that time; all messages are from {first} to {last}." in ran.err
    ran = seeded("ddb", "list-conversations", "--year", "1999")
    assert f"the last messages of all conversations are from {last} to {last}." in ran.err
    ran = seeded("ddb", "get-conversation", "nowhere")
    assert (ran.code, ran.out) == (0, "")
    assert f"Conversation nowhere has no message. Table {body['consumed_capacity']['table']}" in ran.err
    assert f"holds {COUNT + 2} items" in ran.err
    ran = seeded("ddb", "list-conversations", "londo")
    assert (ran.code, ran.out) == (0, "")
    assert "londo has no conversation" in ran.err
    ran = seeded("ddb", "get-conversation", "--with", "londo")
    assert (ran.code, ran.out) == (0, "")
    assert parsed(seeded("ddb", "get-conversation", "--with", "londo", "-o", "json"))["items"] == []
    assert "andrewbrown and londo have no conversation" in ran.err


def test_only_conversations_with_the_person_that_is_named_are_listed(seeded: Here, table: DynamoDB) -> None:
    write(table, [group_row(ME, THIRD, "2026-02-03T10:00:00.000000+00:00", "hello", group="with the third")])
    # A row that names the person by handle, under the id that another database gave.
    copied = replace(OTHER, uuid="of another database")
    write(table, [group_row(ME, copied, "2001-02-03T10:00:00.000000+00:00", "hi", group="of a copy")])

    def groups(*options: str) -> list[str]:
        found = parsed(seeded("ddb", "list-conversations", *options, "-o", "json"))["items"]
        return [group["message_group_uuid"] for group in found]

    assert set(groups()) == {SEEDED, "of a copy", "with the third"}
    assert groups("--with", "bayko") == [SEEDED, "of a copy"]
    assert groups("--with", "@altbrown") == ["with the third"]
    assert groups("--with", "bayko", "--limit", "1") == [SEEDED]
    assert groups("--with", "bayko", "--until", "2001") == ["of a copy"]
    assert groups("bayko", "--with", "andrewbrown") == [SEEDED]
    none = seeded("ddb", "list-conversations", "--with", "londo")
    assert (none.code, none.out, "andrewbrown has no conversation with londo." in none.err) == (0, "", True)
    assert seeded("ddb", "list-conversations", "--with", "andrewbrown").code == 2
    unknown = seeded("ddb", "list-conversations", "--with", "nobody")
    assert (unknown.code, "andrewbrown, bayko" in unknown.err) == (5, True)


def test_an_empty_table_is_reported_with_the_command_that_fills_it(here: Here, table: DynamoDB) -> None:
    assert here("ddb", "schema-load").code == 0
    for arguments in (("scan",), ("get-conversation",), ("list-conversations",)):
        ran = here("ddb", *arguments)
        assert (ran.code, ran.out) == (0, "")
        assert "cruddur ddb seed fills it" in ran.err
        elsewhere = here("ddb", *arguments, "--table", table.table)
        assert f"cruddur ddb seed --table {table.table} fills it" in elsewhere.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("seed", "--my-handle", "andrewbrwn"),
        ("seed", "--other-handle", "Andrewbrow"),
        ("setup", "--other-handle", "andrewbrawn"),
        ("reset", "--yes", "--my-handle", "andrew_brown"),
        ("list-conversations", "andrewbron"),
        ("get-conversation", "--with", "@andrewbrow"),
    ],
)
def test_an_unknown_handle_is_refused_with_the_known_ones_before_any_write(
    here: Here, table: DynamoDB, arguments: tuple[str, ...]
) -> None:
    ran = here("ddb", *arguments, "-o", "json")
    assert (ran.code, ran.out) == (5, "")
    error = json.loads(ran.err.splitlines()[-1])["error"]
    assert error["handles"] == ["altbrown", "andrewbrown", "bayko", "londo"]
    assert "Did you mean 'andrewbrown'?" in error["message"]
    assert not tables.exists(table)


def test_a_missing_table_is_an_error_with_the_next_command(here: Here) -> None:
    for arguments in (("scan",), ("get-conversation",), ("list-conversations",), ("seed",), ("describe-table",)):
        ran = here("ddb", *arguments, *([] if arguments == ("seed",) else ["-o", "json"]))
        assert ran.code == 5
        assert "cruddur ddb schema-load" in ran.err
        assert "There is no table" in ran.err


def test_an_existing_table_is_reported_and_another_schema_is_shown(here: Here, table: DynamoDB) -> None:
    assert "created" in here("ddb", "schema-load").err
    ran = here("ddb", "schema-load")
    assert (ran.code, ran.err.rstrip().endswith("exists already")) == (0, True)
    assert here("ddb", "drop", "--yes").code == 0
    key = {"AttributeName": "id", "KeyType": "HASH"}
    table.client.create_table(
        TableName=table.table,
        KeySchema=[key],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for command in ("schema-load", "setup"):
        ran = here("ddb", command)
        assert ran.code == 1
        assert "keys: id (HASH) (expected pk (HASH), sk (RANGE))" in ran.err
        assert "message-group-sk-index: missing" in ran.err
    assert here("ddb", "reset", "--dry-run").code == 0
    assert tables.describe(table).keys == "id (HASH)"
    assert here("ddb", "reset", "--yes").code == 0
    assert tables.differences(tables.describe(table)) == []


def test_dropping_a_missing_table_is_an_error_without_if_exists(here: Here) -> None:
    assert here("ddb", "drop", "--yes").code == 5
    assert here("ddb", "drop", "--yes", "--if-exists").code == 0


@pytest.mark.parametrize("arguments", [("drop",), ("reset",), ("reset", "-o", "json"), ("drop", "--confirm", "other")])
def test_without_a_terminal_and_a_yes_nothing_is_destroyed(
    cruddur: Run, seeded: Here, table: DynamoDB, arguments: tuple[str, ...]
) -> None:
    before = everything(table)
    ran = cruddur("ddb", *arguments, stdin="y\n")
    assert (ran.code, ran.out) == (6, "")
    assert f"{COUNT + 2} items" in ran.err
    assert "--yes" in ran.err or "--confirm" in ran.err
    assert everything(table) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("seed", "--my-handle", "londo"),
        ("seed", "--messages", "3"),
        ("setup", "--messages", "200"),
        ("reset",),
        ("drop",),
        ("schema-load",),
    ],
)
def test_a_dry_run_changes_nothing(seeded: Here, table: DynamoDB, arguments: tuple[str, ...]) -> None:
    before = everything(table)
    ran = seeded("ddb", *arguments, "--dry-run")
    assert ran.code == 0, ran.err
    assert "(dry run)" in ran.err
    assert everything(table) == before


def test_a_dry_run_of_a_set_up_makes_no_table(here: Here, table: DynamoDB) -> None:
    body = parsed(here("ddb", "setup", "--dry-run", "-o", "json"))
    assert (body["written"], body["dry_run"]) == (COUNT + 2, True)
    assert not tables.exists(table)


@pytest.mark.parametrize("output", ["table", "jsonl", "json", "csv"])
def test_a_reader_that_ends_stops_a_scan_without_an_error(
    seeded: Here, environment: dict[str, str], tmp_path: Any, output: str
) -> None:
    assert seeded("ddb", "seed", "--messages", "2000", "-q").code == 0
    command = f"{sys.executable} -m cruddur_cli ddb scan --limit 2000 -o {output} | head -c 1"
    ran = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], env=environment, capture_output=True, check=False, timeout=30
    )
    assert (ran.returncode, len(ran.stdout)) == (0, 1)
    assert "Traceback" not in ran.stderr.decode()
    assert "Errno" not in ran.stderr.decode()


def test_a_wrong_table_name_is_reported_with_its_origin_where_it_is_used(
    here: Here, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DDB_MESSAGE_TABLE", "tt")
    before = dumps.rows(database)
    for command in (["ddb", "scan"], ["ddb", "drop", "--yes"], ["setup"]):
        ran = here(*command)
        assert ran.code == 3, command
        assert "'tt' (DDB_MESSAGE_TABLE)" in ran.err
    assert dumps.rows(database) == before
    for command in (["db", "ping"], ["config"]):
        assert here(*command).code == 0, command
    assert here("ddb", "scan", "--table", "tt").code == 2


# In a process of its own: what has no end.


def following(environment: dict[str, str], *options: str, url: str | None = None) -> subprocess.Popen[str]:
    """``get-conversation --follow`` through pipes; it is ended after a minute."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cruddur_cli", "ddb", "get-conversation", SEEDED, "--follow", *options],
        env={**environment, **({"AWS_ENDPOINT_URL_DYNAMODB": url} if url else {})},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    guard = threading.Timer(60, process.kill)
    guard.daemon = True
    guard.start()
    return process


def test_follow_prints_each_new_message_once_and_survives_an_outage(
    seeded: Here, table: DynamoDB, environment: dict[str, str]
) -> None:
    down = threading.Event()

    def before(_: str) -> None:
        if down.is_set():
            raise ConnectionAbortedError

    with faults.recorded(environment["AWS_ENDPOINT_URL_DYNAMODB"], before=before) as proxy:
        process = following(environment, "--limit", "2", "-o", "jsonl", url=proxy.url)
        assert process.stdout is not None
        assert process.stderr is not None
        last = parsed(seeded("ddb", "get-conversation", "--limit", "2", "-o", "json"))["items"]
        assert [json.loads(process.stdout.readline()) for _ in range(2)] == last
        for number in range(3):
            write(table, [message_row(sort_key(now() + timedelta(microseconds=number)), f"new {number}", group=SEEDED)])
            assert json.loads(process.stdout.readline())["message"] == f"new {number}"
        down.set()
        while "Waiting for it" not in (line := process.stderr.readline()):
            assert line, "it ended"
        write(table, [message_row(sort_key(now()), "in the outage", group=SEEDED)])
        down.clear()
        assert json.loads(process.stdout.readline())["message"] == "in the outage"
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=60)
    assert (process.returncode, rest) == (130, "")
    assert said.splitlines()[0].endswith(" answers again.")
    last_line = r"interrupted: 6 messages shown; [\d.]+ RCU( \(computed\))? in \d+ requests\."
    assert re.fullmatch(last_line, said.splitlines()[-1])
    assert "consumed capacity" not in said


def test_follow_believes_no_false_answer_and_misses_no_message(
    seeded: Here, table: DynamoDB, environment: dict[str, str]
) -> None:
    false = (faults.empty, faults.flipped, faults.other_shape)
    kinds: list[Any] = []

    def change(*answer: Any) -> Any:
        return kinds[0](*answer) if kinds else None

    with faults.falsified(environment["AWS_ENDPOINT_URL_DYNAMODB"], change) as proxy:
        process = following(environment, "--limit", "1", "-o", "jsonl", url=proxy.url)
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        shown = []
        for kind in false:
            kinds.append(kind)
            while "Waiting for it" not in (line := process.stderr.readline()):
                assert line, "it ended"
            write(table, [message_row(sort_key(now()), kind.__name__, group=SEEDED)])
            kinds.clear()
            shown.append(json.loads(process.stdout.readline())["message"])
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert (process.returncode, rest) == (130, "")
    assert shown == [kind.__name__ for kind in false]


def test_follow_shows_lines_through_a_pipe_and_waits_for_the_first_message(
    here: Here, table: DynamoDB, environment: dict[str, str]
) -> None:
    tables.create(table, say=lambda _: None)
    process = following(environment)
    assert process.stdout is not None
    assert process.stderr is not None
    assert "has no message yet. Waiting for one" in process.stderr.readline()
    sent = 0
    for number in range(3):
        write(table, [message_row(sort_key(now()), f"said {number}", group=SEEDED, sender=OTHER)])
        sent += 1
        assert process.stdout.readline().endswith(f"  bayko: said {number}\n")
    process.send_signal(signal.SIGINT)
    rest, said = process.communicate(timeout=60)
    assert (process.returncode, rest) == (130, "")
    assert said.splitlines()[-1].startswith(f"interrupted: {sent} messages shown; ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--until", "2026"), "--follow has no end"),
        (("--year", "2026"), "--follow has no end"),
        (("-o", "json"), "-o jsonl"),
        (("--svg", "chat.svg"), "--follow, which does not end"),
    ],
)
def test_follow_with_an_end_is_refused(here: Here, options: tuple[str, ...], message: str) -> None:
    ran = here("ddb", "get-conversation", "--follow", *options)
    assert (ran.code, message in ran.err) == (2, True)
