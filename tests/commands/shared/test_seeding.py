"""The conversation that is seeded, by one command at a time."""

from __future__ import annotations

import json
import threading
from functools import partial

import psycopg

from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB
from tests import faults
from tests.commands.conftest import Here, parsed
from tests.commands.ddb.test_table import start, undisturbed
from tests.dynamodb.rows import everything


def test_two_seeds_at_once_leave_one_conversation(environment: dict[str, str], table: DynamoDB, database: str) -> None:
    """The first to write is held until the other wants to write too, or waits for its turn in PostgreSQL."""
    tables.create(table, say=lambda _: None)
    engine = environment["AWS_ENDPOINT_URL_DYNAMODB"]
    writing: set[int] = set()
    overlapped = threading.Event()

    def is_waited_for() -> bool:
        with psycopg.connect(database) as conn:
            row = conn.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'").fetchone()
        return row is not None and row[0] > 0

    def before(process: int, operation: str) -> None:
        if operation != "BatchWriteItem" or overlapped.is_set():
            return
        writing.add(process)
        for _ in range(80):
            if len(writing) == 2 or is_waited_for():
                overlapped.set()
            if overlapped.wait(0.05):
                return

    with (
        faults.recorded(engine, before=partial(before, 1)) as one,
        faults.recorded(engine, before=partial(before, 2)) as two,
    ):
        processes = [start(environment, proxy.url, "--messages", "500") for proxy in (one, two)]
        said = [process.communicate(timeout=60)[0].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert overlapped.is_set()
    found = everything(table)
    assert found == undisturbed(found, 500)


def test_the_default_conversation_is_mine_when_the_handles_change(here: Here, table: DynamoDB) -> None:
    tables.create(table, say=lambda _: None)
    assert here("ddb", "seed").code == 0
    named = ("--my-handle", "londo", "--other-handle", "altbrown")
    ran = here("ddb", "get-conversation", *named, "-o", "json")
    assert "londo and altbrown have no conversation; the seeded conversation is shown" in ran.err
    assert {item["user_handle"] for item in json.loads(ran.out)["items"]} == {"andrewbrown", "bayko"}
    assert here("ddb", "seed", *named).code == 0
    shown = parsed(here("ddb", "get-conversation", *named, "-o", "json"))["items"]
    assert {item["user_handle"] for item in shown} == {"londo", "altbrown"}
    shown = parsed(here("ddb", "get-conversation", "-o", "json"))["items"]
    assert {item["user_handle"] for item in shown} == {"andrewbrown", "bayko"}


def test_a_conversation_seeded_for_deleted_people_is_replaced(here: Here, table: DynamoDB, database: str) -> None:
    """A seed file without UUIDs makes other ones at every reset of the database."""
    tables.create(table, say=lambda _: None)
    assert here("ddb", "seed").code == 0
    count = len(everything(table))
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE users SET uuid = gen_random_uuid() WHERE handle IN ('andrewbrown', 'bayko')")
    ran = here("ddb", "seed")
    assert "was seeded for people who no longer exist" in ran.err
    assert len(everything(table)) == count
    assert len(parsed(here("ddb", "list-conversations", "-o", "json"))["items"]) == 1


def test_what_two_people_wrote_is_never_given_to_two_others(here: Here, table: DynamoDB) -> None:
    tables.create(table, say=lambda _: None)
    assert here("ddb", "seed").code == 0
    assert here("ddb", "send-message", "--from", "andrewbrown", "--to", "bayko", "between us").code == 0
    before = everything(table)
    for words in (("ddb", "seed"), ("ddb", "setup")):
        ran = here(*words, "--my-handle", "londo", "--other-handle", "altbrown")
        assert (ran.code, "belongs to other people and is kept; yours is" in ran.err) == (0, True)
    after = everything(table)
    assert [item for item in before if item not in after] == []
    theirs = here("ddb", "get-conversation", "--my-handle", "londo", "--with", "altbrown", "-o", "json").out
    assert "between us" not in theirs
    assert "éclairs" in theirs


def test_a_set_up_keeps_a_conversation_seeded_for_others(here: Here, table: DynamoDB) -> None:
    tables.create(table, say=lambda _: None)
    assert here("ddb", "setup").code == 0
    before = everything(table)
    assert here("ddb", "setup", "--my-handle", "londo", "--other-handle", "altbrown").code == 0
    assert [item for item in before if item not in everything(table)] == []
