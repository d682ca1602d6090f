"""A store that is marked as production refuses every write without --prod."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB, opened
from cruddur_cli.local import addresses
from tests import faults
from tests.commands.conftest import Here
from tests.commands.marked import refused
from tests.dynamodb.rows import GROUP, ME, OTHER, everything, group_row, message_row, write

WRITES_TO_THE_TABLE = {
    "setup": ("setup",),
    "ddb setup": ("ddb", "setup"),
    "reset": ("ddb", "reset", "--yes"),
    "schema-load": ("ddb", "schema-load", "--stream"),
    "drop": ("ddb", "drop", "--yes"),
    "seed": ("ddb", "seed"),
    "import": ("ddb", "import", "rows.jsonl"),
    "start-conversation": ("ddb", "start-conversation", "--from", "bayko", "--to", "londo", "hello"),
    "send-message": ("ddb", "send-message", "--from", "andrewbrown", "hello"),
    "stream process": ("ddb", "stream", "process"),
}
WRITES_TO_THE_DATABASE = {
    "setup": ("setup",),
    "db setup": ("db", "setup"),
    "reset": ("db", "reset", "--yes"),
    "drop": ("db", "drop", "--yes"),
    "schema-load": ("db", "schema-load", "--yes"),
    "seed": ("db", "seed"),
    "add-user": ("db", "add-user", "mira"),
    "migrate": ("db", "migrate"),
    "rollback": ("db", "rollback", "--yes"),
    "update-cognito-user-ids": ("db", "update-cognito-user-ids"),
}


@pytest.fixture
def stamped_table(here: Here, table: DynamoDB) -> DynamoDB:
    """The commands' table after ``schema-load --prod --stream``, with a conversation in it."""
    tables.create(table, stream=True, say=lambda _: None)
    assert tables.mark_production(table)
    write(table, [message_row("2026", "hello"), group_row(ME, OTHER, "2026", "hello", group=GROUP)])
    Path("rows.jsonl").write_text(json.dumps(message_row("2027", "imported")) + "\n")
    return table


@pytest.mark.parametrize("command", WRITES_TO_THE_TABLE)
def test_commands_that_write_to_a_table_of_production_need_prod(
    here: Here, stamped_table: DynamoDB, command: str
) -> None:
    before = everything(stamped_table)
    ran = here(*WRITES_TO_THE_TABLE[command])
    assert (ran.code, ran.out) == (6, ""), ran.err
    assert f"Table {stamped_table.table!r} is marked as production, and this command was run without --prod" in ran.err
    assert everything(stamped_table) == before


def test_dry_runs_and_reads_may_read_a_table_of_production(here: Here, stamped_table: DynamoDB) -> None:
    for command in (
        *(("ddb", name, "-n") for name in ("setup", "drop", "seed", "reset")),
        ("ddb", "send-message", "hello", "-n"), ("ddb", "stream", "process", "-n"), ("ddb", "scan"),
        ("ddb", "stream", "tail", "--once"), ("ddb", "export", "all.jsonl"),
    ):  # fmt: skip
        ran = here(*command)
        assert ran.code == 0, (command, ran.err)


@pytest.fixture
def busy(environment: dict[str, str], here: Here, monkeypatch: pytest.MonkeyPatch) -> Iterator[faults.Recording]:
    """The engine of the commands behind a proxy that records the requests."""
    assert here is not None  # its environment comes first
    with faults.recorded(environment["AWS_ENDPOINT_URL_DYNAMODB"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", proxy.url)
        yield proxy


@pytest.mark.parametrize("command", ["ddb setup", "reset", "drop", "seed", "send-message"])
def test_the_production_tag_is_read_once(here: Here, empty: DynamoDB, busy: faults.Recording, command: str) -> None:
    assert here("ddb", "seed").code == 0
    busy.take()
    assert here(*WRITES_TO_THE_TABLE[command]).code == 0
    asked = [operation for operation, _, _ in busy.take()]
    assert asked.count("ListTagsOfResource") == 1
    # Where there is no table, there is no stamp to ask for.
    assert here("ddb", "drop", "--yes", "--if-exists").code == 0
    busy.take()
    assert here("ddb", "schema-load").code == 0
    assert "ListTagsOfResource" not in [operation for operation, _, _ in busy.take()]


def test_an_engine_without_tags_gets_no_request_for_them(
    dynamodb_local: str | None, environment: dict[str, str]
) -> None:
    if dynamodb_local is None:
        pytest.skip("no DynamoDB Local on this machine; .ci/run starts one")
    with faults.recorded(dynamodb_local) as proxy:
        at = aws_client.Endpoint("dynamodb", proxy.url, aws_client.LOCAL_REGION, "x")
        with opened(at, environment["DDB_MESSAGE_TABLE"]) as store:
            tables.create(store, say=lambda _: None)
            assert not tables.mark_production(store)
            proxy.take()
            tables.refuse_production(store)
            assert [operation for operation, _, _ in proxy.take()] == ["DescribeTable"]
            tables.drop(store, say=lambda _: None)


@pytest.fixture
def migrated(here: Here) -> None:
    """A folder of two migrations, one applied and one pending."""
    folder = Path("backend-flask/db/migrations")
    folder.mkdir(parents=True)
    for number, name in enumerate(("first", "second"), 1):
        path = folder / f"1700000000000000{number}_{name}.sql"
        path.write_text(f"-- migrate:up\nCREATE TABLE {name} (i int);\n-- migrate:down\nDROP TABLE {name};\n")
        if number == 1:
            assert here("db", "migrate").code == 0


@pytest.mark.parametrize("command", WRITES_TO_THE_DATABASE)
def test_commands_that_write_to_a_database_of_production_need_prod(
    here: Here, database: str, migrated: None, command: str
) -> None:
    if command == "update-cognito-user-ids":  # which reads the pool before the database
        assert here("setup").code == 0
    refused(here, database, WRITES_TO_THE_DATABASE[command])
    for reading in (("db", "migrate", "-n"), ("db", "add-user", "mira", "-n"), ("db", "ping")):
        assert here(*reading).code == 0


def test_a_real_user_pool_writes_no_ids_into_a_database_of_production_without_prod(
    here: Here, database: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert here("setup").code == 0
    monkeypatch.setenv("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", environment["AWS_ENDPOINT_URL_DYNAMODB"])
    monkeypatch.setattr(addresses, "is_aws", lambda url: False)  # as if it were not the demo pool
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE users SET cognito_user_id = 'MOCK'")
    refused(here, database, ("db", "update-cognito-user-ids"))
    assert here("db", "update-cognito-user-ids", "-n").code == 0
