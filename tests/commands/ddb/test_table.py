"""``cruddur ddb seed`` as a process: scripts of every form, killed at random, and two at the same time."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path

import pytest

from cruddur_cli import times
from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.commands.shared import seed_files, seeding
from cruddur_cli.dynamodb import schema, tables
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.conversations import queries
from cruddur_cli.dynamodb.conversations.model import Schedule, compose, parse
from cruddur_cli.errors import CannotConnect
from cruddur_cli.times import instant, sort_key
from tests import faults, processes
from tests.commands.conftest import Here, parsed
from tests.commands.endpoints import Running
from tests.conftest import Run
from tests.dynamodb.rows import GROUP, ME, OTHER, Item, everything, message_row, write


def undisturbed(found: list[Item], count: int) -> list[Item]:
    """The rows that one seeding of ``count`` messages writes if it begins at the same time as these rows."""
    first = [instant(item["sk"]["S"]) for item in found if item["pk"]["S"].startswith("MSG#")][:2]
    lines = parse(seed_files.read("conversation.txt"), "conversation.txt")
    said = list(
        compose(
            lines, (ME, OTHER), group=GROUP, schedule=Schedule.through(*enumerate(filter(None, first))), count=count
        )
    )
    last = said[-1]
    assert last.created_at is not None
    assert last.created_at < times.now()
    groups = [
        schema.group_item(owner.uuid, GROUP, other, schema.last_message_attributes(last), sort_key(last.created_at))
        for owner, other in ((ME, OTHER), (OTHER, ME))
    ]
    return [*groups, *(schema.message_item(GROUP, message) for message in said)]


def start(environment: dict[str, str], url: str, *options: str) -> Running:
    at = {**environment, "AWS_ENDPOINT_URL_DYNAMODB": url}
    return processes.start(["ddb", "seed", *options], environment=at, cwd=Path(), merged=True)


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_a_random_point_and_run_again_leaves_the_same_rows(
    here: Here, environment: dict[str, str], table: DynamoDB, seed: int
) -> None:
    """3,000 messages are about 120 batches; the last two points are before and after the group rows."""
    tables.create(table, say=lambda _: None)
    mine = message_row("2020-01-01T00:00:00Z", "mine")
    write(table, [mine])
    enough = threading.Event()
    point = random.Random(seed).randrange(1, 115)
    left = [point]

    def count(operation: str) -> None:
        if operation == "BatchWriteItem":
            left[0] -= 1
        if (operation == "TransactWriteItems") if seed == 0 else left[0] == 0:
            enough.set()

    with faults.recorded(environment["AWS_ENDPOINT_URL_DYNAMODB"], before=count) as proxy:
        process = start(environment, proxy.url, "--messages", "3000")
        assert enough.wait(30), f"point {point} was never reached"
        process.kill()
        assert process.wait(10) == -9
        process.communicate()
    partly = everything(table)
    assert 1 < len(partly) <= 3003
    assert here("ddb", "seed", "--messages", "3000").code == 0
    found = everything(table)
    assert mine in found
    found.remove(mine)
    assert found == undisturbed(found, 3000), f"killed at batch {point}"


def test_ten_thousand_lines_are_seeded_and_read(here: Here, table: DynamoDB, tmp_path: Path) -> None:
    tables.create(table, say=lambda _: None)
    script = tmp_path / "long.txt"
    script.write_text("".join(f"Person {n % 2 + 1}: number {n}\n" for n in range(10_000)))
    body = parsed(here("ddb", "seed", "--script", str(script), "-o", "json"))
    assert body["written"] == 10_002
    read = parsed(here("ddb", "get-conversation", "--limit", "20000", "-o", "json"))["items"]
    assert [item["message"] for item in read] == [f"number {n}" for n in range(10_000)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no message"),
        (b"Person 1: a\nPerson 2: b\n\nPerson3: c\n", "line 4"),
        (b"Person 1: " + b"x" * 500_000 + b"\n", "line 1: A message"),
        (b"Person 1: a\nPerson 2: " + "é".encode() * 205_000 + b"\n", "line 2: A message"),
        (b"Person 1: a\n\xff\xfe\n", "line 2: not UTF-8"),
    ],
)
@pytest.mark.parametrize("command", ["seed", "setup"])
def test_a_script_that_cannot_be_seeded_is_refused_with_its_line_before_any_write(
    here: Here, table: DynamoDB, tmp_path: Path, content: bytes, message: str, command: str
) -> None:
    tables.create(table, say=lambda _: None)
    script = tmp_path / "talk.txt"
    script.write_bytes(content)
    ran = here("ddb", command, "--script", str(script))
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert str(script) in ran.err
    assert len(ran.err) < 1000
    assert everything(table) == []


def test_a_script_comes_from_standard_input_with_a_mark_and_windows_line_ends(cruddur: Run, table: DynamoDB) -> None:
    tables.create(table, say=lambda _: None)
    ran = cruddur("ddb", "seed", "--script", "-", stdin="\ufeffPerson 1: Hello\r\n\r\nPerson 2: Hi\r\n")
    assert ran.code == 0, ran.err
    assert [message.message for message in queries.latest(table, GROUP)] == ["Hello", "Hi"]
    ran = cruddur("ddb", "seed", "--script", "-", stdin="Person 1: Hello\nnobody: Hi\n")
    assert ran.code == 2
    assert "standard input, line 2" in ran.err


STRANGE = [
    "😀 👩‍👩‍👧",
    "שלום \u202eevil\u202c עולם",
    "\x1b[31m\x1b]0;title\x07red\x9b2J",
    "nul\x00 tab\t end\x7f",
    "a\u2028b\x85c",
]


def test_strange_texts_are_stored_exactly_and_the_terminal_is_safe(here: Here, table: DynamoDB, tmp_path: Path) -> None:
    tables.create(table, say=lambda _: None)
    script = tmp_path / "strange.txt"
    script.write_bytes("".join(f"Person 1: {text}\n" for text in STRANGE).encode())
    assert here("ddb", "seed", "--script", str(script)).code == 0
    assert [message.message for message in queries.latest(table, GROUP)] == STRANGE
    ran = here("ddb", "get-conversation", "-o", "json")
    assert [item["message"] for item in json.loads(ran.out)["items"]] == STRANGE
    for arguments in (("get-conversation",), ("scan",), ("list-conversations",), ("get-conversation", "-o", "json")):
        ran = here("ddb", *arguments)
        assert ran.code == 0
        assert not {"\x1b", "\x9b", "\x07", "\x7f", "\x00", "\x85"} & set(ran.out + ran.err)
        if "-o" not in arguments:
            assert not {"\u202e", "\u202c", "\u2028"} & set(ran.out + ran.err)


def pairs(table: DynamoDB) -> list[tuple[str, str]]:
    """The owner and the other person of every group row, by handle."""
    handles = {
        "8b1d22bf-cedf-4fbb-b137-63dc54b4770d": "andrewbrown",
        "ae39bc99-6163-4521-bdb4-fd380e2751c3": "bayko",
        "cfaad814-98c9-4b25-9fbb-20b167c79f7b": "altbrown",
        "af3efa75-db06-450e-8fd9-3f466fc0114b": "londo",
    }
    rows = [item for item in everything(table) if item["pk"]["S"].startswith("GRP#")]
    owners = [handles[item["pk"]["S"].removeprefix("GRP#")] for item in rows]
    return sorted((owner, item["user_handle"]["S"]) for owner, item in zip(owners, rows, strict=True))


def both(*people: tuple[str, str]) -> list[tuple[str, str]]:
    return sorted([*people, *((other, mine) for mine, other in people)])


def test_people_are_named_by_option_variable_or_file(
    here: Here, table: DynamoDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pair gets a conversation of its own, once, and no other pair's is touched."""
    tables.create(table, say=lambda _: None)
    assert here("ddb", "seed").code == 0
    assert pairs(table) == both(("andrewbrown", "bayko"))
    first = everything(table)
    (tmp_path / "home" / "cruddur.toml").write_text('my_handle = "altbrown"\n')
    assert here("ddb", "seed").code == 0
    assert pairs(table) == both(("andrewbrown", "bayko"), ("altbrown", "bayko"))
    monkeypatch.setenv("CRUDDUR_OTHER_HANDLE", "andrewbrown")
    assert here("ddb", "seed").code == 0
    three = both(("andrewbrown", "bayko"), ("altbrown", "bayko"), ("altbrown", "andrewbrown"))
    assert pairs(table) == three
    for command in ("seed", "setup"):
        before = everything(table)
        assert here("ddb", command).code == 0
        assert everything(table) == before
    assert here("ddb", "seed", "--other-handle", "londo").code == 0
    assert pairs(table) == sorted([*three, *both(("altbrown", "londo"))])
    assert here("ddb", "seed", "--other-handle", "altbrown").code == 2
    assert [item for item in first if item not in everything(table)] == []


def test_more_messages_than_minutes_are_refused(here: Here, table: DynamoDB) -> None:
    tables.create(table, say=lambda _: None)
    ran = here("ddb", "seed", "--messages", "99999999999")
    assert ran.code == 2
    assert "before the year 1" in ran.err


def test_a_server_that_does_not_answer_is_one_line_and_exit_code_4(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_client, "TIMEOUTS", aws_client.Timeouts(read=0.2))
    with faults.silent_server() as silent:
        for url, said in ((silent, "no answer in time"), (faults.refused_url(), "connection refused")):
            monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
            ran = here("ddb", "get-conversation", "-o", "json")
            assert (ran.code, ran.out) == (4, "")
            error = json.loads(ran.err.splitlines()[-1])["error"]
            assert error["code"] == "cannot_connect"
            assert said in error["message"]


def test_a_reset_that_cannot_seed_says_that_the_table_is_new(
    here: Here, table: DynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert here("ddb", "setup").code == 0

    def fail(*_: object) -> None:
        raise CannotConnect("The database is gone.")

    monkeypatch.setattr(seeding, "seed_conversation", fail)
    ran = here("ddb", "reset", "--yes")
    assert (ran.code, everything(table)) == (4, [])
    assert "The database is gone. The table was dropped and created again; `cruddur ddb seed` seeds it." in ran.err
