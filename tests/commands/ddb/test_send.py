"""``ddb start-conversation`` and ``send-message``: input, output, and the command in the hint of a failure."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest

from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.conversations import message_ids, queries
from tests import faults
from tests.commands.conftest import Here, parsed
from tests.conftest import SEEDED, Run
from tests.dynamodb.rows import everything, utc

FIELDS = ["message_uuid", "user_uuid", "user_handle", "user_display_name", "message", "created_at"]
EXTRAS = ["message_group_uuid", "message_uuid", "written", "moved", "unchanged", "repaired", "started", "dry_run"]


@pytest.fixture
def seeded(here: Here, table: DynamoDB) -> Here:
    """The commands, after ``ddb setup``."""
    assert here("ddb", "setup", "-q").code == 0
    return here


def test_a_conversation_is_started_and_continued(seeded: Here) -> None:
    body = parsed(seeded("ddb", "start-conversation", "--from", "londo", "--to", "altbrown", "Hello", "-o", "json"))
    assert list(body) == ["items", "count", *EXTRAS, "consumed_capacity"]
    assert [list(item) for item in body["items"]] == [FIELDS]
    assert (body["written"], body["moved"], body["started"], body["dry_run"]) == (1, 0, True, False)
    assert body["items"][0]["message_uuid"] == body["message_uuid"]
    group = body["message_group_uuid"]
    answer = parsed(
        seeded("ddb", "send-message", "--from", "@altbrown", "--to", "@londo", "Hello yourself", "-o", "json")
    )
    assert (answer["message_group_uuid"], answer["moved"], answer["started"]) == (group, 2, False)
    more = parsed(seeded("ddb", "send-message", "--from", "londo", "--group", group, "And", "-o", "json"))
    again = parsed(seeded("ddb", "start-conversation", "--from", "altbrown", "--to", "londo", "Bye", "-o", "json"))
    assert again["message_group_uuid"] == more["message_group_uuid"] == group
    assert [item["message"] for item in again["items"]] == ["Hello", "Hello yourself", "And", "Bye"]
    for handle in ("londo", "altbrown"):
        (found,) = parsed(seeded("ddb", "list-conversations", handle, "-o", "json"))["items"]
        assert (found["message"], found["last_message_at"]) == ("Bye", again["items"][-1]["created_at"])
        assert found["user_handle"] == {"londo": "altbrown", "altbrown": "londo"}[handle]


def test_the_seeded_conversation_from_me_is_the_default(seeded: Here, table: DynamoDB) -> None:
    ran = seeded("ddb", "send-message", "A word")
    assert ran.code == 0, ran.err
    assert len(ran.out.splitlines()) == 5
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d  andrewbrown: A word", ran.out.splitlines()[-1])
    assert "local: table" in ran.err
    assert "consumed capacity" in ran.err
    (last,) = queries.latest(table, SEEDED, limit=1)
    assert (last.message, last.user_handle) == ("A word", "andrewbrown")


@pytest.mark.parametrize("output", ["jsonl", "csv"])
def test_lines_are_items_alone(seeded: Here, output: str) -> None:
    ran = seeded("ddb", "send-message", "--to", "bayko", "A word", "-o", output)
    lines = ran.out.splitlines()
    assert ran.code == 0, ran.err
    assert len(lines) == (5 if output == "jsonl" else 6)
    assert "A word" in lines[-1]
    assert "consumed_capacity" in ran.err


def test_a_text_that_looks_like_an_option_is_a_text(cruddur: Run, seeded: Here, table: DynamoDB) -> None:
    for text in ("prod", "shut down production", "--prod", "a\nb", "\x1b[31mred", "é" * 1000, "'\"$(id)"):
        ran = cruddur("ddb", "send-message", "--to", "bayko", "--", text)
        assert ran.code == 0, ran.err
        assert queries.latest(table, SEEDED, limit=1)[0].message == text
        assert "\x1b" not in ran.out + ran.err


def test_standard_input_is_sent_unchanged(cruddur: Run, seeded: Here, table: DynamoDB) -> None:
    given = {
        "-\n": "-",
        "one": "one",
        "one\r\n": "one",
        "one\n\n": "one\n",
        "\n a\r\nb\t": "\n a\r\nb\t",
        "a\0b": "a\0b",
    }
    for stdin, text in given.items():
        ran = cruddur("ddb", "send-message", "--to", "bayko", "-", stdin=stdin)
        assert ran.code == 0, ran.err
        assert queries.latest(table, SEEDED, limit=1)[0].message == text


def test_a_dry_run_shows_the_message_and_writes_nothing(seeded: Here, table: DynamoDB) -> None:
    before = everything(table)
    for arguments in (["send-message"], ["start-conversation", "--to", "londo"], ["send-message", "--to", "bayko"]):
        ran = seeded("ddb", *arguments, "Not yet", "-n", "-o", "json")
        body = parsed(ran)
        assert (body["dry_run"], body["written"]) == (True, 1)
        assert body["items"][-1]["message"] == "Not yet"
        assert body["consumed_capacity"]["write_units"] == 0
        assert "(dry run)" in ran.err
    assert everything(table) == before


def test_a_message_is_stored_once_by_its_id(seeded: Here, table: DynamoDB) -> None:
    first = parsed(seeded("ddb", "send-message", "--to", "bayko", "Once", "-o", "json"))
    before = everything(table)
    ran = seeded("ddb", "send-message", "--to", "bayko", "Once", "--message-uuid", first["message_uuid"], "-o", "json")
    again = parsed(ran)
    assert (again["written"], again["items"]) == (0, first["items"])
    assert "was sent before" in ran.err
    assert everything(table) == before
    other = seeded("ddb", "send-message", "--to", "bayko", "Twice", "--message-uuid", first["message_uuid"])
    assert other.code == 5
    assert everything(table) == before


def test_wrong_input_is_reported_and_nothing_is_written(seeded: Here, table: DynamoDB) -> None:
    before = everything(table)
    to_come = message_ids.generate(utc(2099, 1, 1))
    for arguments, code, said in (
        (["send-message", " "], 2, "The message is empty"),
        (["send-message", "--group", SEEDED, "--to", "bayko", "hi"], 2, "--group and --to"),
        (["send-message", "--group", "", "hi"], 2, "conversation's id"),
        (["send-message", "--to", "andrewbrown", "hi"], 2, "cannot write to themselves"),
        (["start-conversation", "--to", "andrewbrown", "hi"], 2, "cannot write to themselves"),
        (["start-conversation", "hi"], 2, "--to"),
        (["send-message", "--to", "nobody", "hi"], 5, "There is no user 'nobody'"),
        (["send-message", "--from", "londo", "hi"], 5, "start-conversation --from londo --to bayko"),
        (["send-message", "--from", "londo", "--group", SEEDED, "hi"], 5, "londo is not part of conversation"),
        (["send-message", "--group", "nope", "hi"], 5, "There is no conversation 'nope'"),
        (["send-message", "--to", "londo", "hi"], 5, "start-conversation --from andrewbrown --to londo"),
        (["send-message", "--message-uuid", to_come, "hi"], 2, "in the future"),
    ):
        ran = seeded("ddb", *arguments)
        assert (ran.code, ran.out) == (code, "")
        assert said in ran.err
    assert everything(table) == before


def test_input_that_is_not_text_is_refused(cruddur: Run, environment: dict[str, str]) -> None:
    ran = subprocess.run(
        ["cruddur", "ddb", "send-message", "-"], input=b"caf\xe9", capture_output=True, env=environment, check=False
    )
    assert (ran.returncode, b"not UTF-8" in ran.stderr) == (2, True)
    assert cruddur("ddb", "send-message", "x" * 100_000, "-", stdin="").code == 2
    large = cruddur("ddb", "send-message", "-", stdin="é" * 205_000)
    assert large.code == 2
    assert "nothing was written" in large.err


def test_nothing_reaches_production_by_accident_and_it_is_named(seeded: Here) -> None:
    ran = seeded("ddb", "send-message", "hi", "--prod", "-q")
    assert ran.code == 3  # PROD_CONNECTION_URL is not set
    assert "PROD_CONNECTION_URL" in ran.err


@pytest.mark.parametrize(
    ("text", "output"),
    [("it's \x1b[31mred\u202e, \\o/\nand $HOME `id`", "table"), ("two\nlines", "json"), ("-n", "csv")],
)
def test_the_hint_of_a_failure_sends_the_message_once(
    cruddur: Run, seeded: Here, table: DynamoDB, environment: dict[str, str], text: str, output: str
) -> None:
    """The store is gone at first; then the pasted line is run by a real shell, twice."""
    stdin = text + "\n"
    gone: Any = {"AWS_ENDPOINT_URL_DYNAMODB": faults.refused_url()}
    ran = cruddur(
        "ddb", "send-message", "--to", "bayko", "-", "-o", output, "--table", table.table, stdin=stdin, env=gone
    )
    assert (ran.code, ran.out) == (4, "")
    if output == "json":
        error = json.loads(ran.err.splitlines()[-1])["error"]
        line, uuid = error["hint"], error["message_uuid"]
    else:
        line = ran.err.partition("next: ")[2].removesuffix("\n")
        uuid = re.findall(r" --message-uuid (\S+) ", line)[0]
        assert "`unset AWS_ENDPOINT_URL_DYNAMODB`" in ran.err
    assert message_ids.written_at(uuid)
    assert f"--table {table.table}" in line
    for _ in range(2):
        again = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=environment, check=False)
        assert again.returncode == 0, again.stderr
    found = [message for message in queries.latest(table, SEEDED) if message.message_uuid == uuid]
    assert [message.message for message in found] == [text]


def test_a_picture_that_cannot_be_written_does_not_hide_that_the_message_was_sent(
    seeded: Here, table: DynamoDB
) -> None:
    ran = seeded("ddb", "send-message", "--to", "bayko", "sent once", "--svg", "/dev/full")
    assert ran.code == 1
    assert "The command has done its work, but --svg /dev/full cannot be written" in ran.err
    assert [item for item in everything(table) if item["pk"]["S"].startswith("MSG#")][-1]["message"]["S"] == "sent once"
