"""``ddb copy``: the rows that it copies from production, those that it skips, and where it refuses to write."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB, opened
from cruddur_cli.dynamodb.conversations.model import Person
from cruddur_cli.postgres import users
from tests import faults
from tests.commands.conftest import Here, parsed
from tests.commands.endpoints import Endpoint
from tests.dynamodb.rows import GROUP, ME, OTHER, THIRD, Item, everything, group_row, message_row, write

ANOTHER = "0e0b6a4e-94ae-4a0c-a1a4-7a7a2b5c9a11"
MIRROR = "6f1f8f0a-3d0c-4f5e-8f35-0c2d6b0f7c22"
LONG = "c6d7a1b2-0f1e-4d3c-9b8a-112233445566"


@pytest.fixture
def production(
    here: Here, environment: dict[str, str], empty: DynamoDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[DynamoDB, faults.Recording]]:
    """A table of production behind a proxy that records its requests; cruddur.toml names it."""
    assert here is not None  # its environment comes first
    engine = environment["AWS_ENDPOINT_URL_DYNAMODB"]
    name = f"prod-{uuid.uuid4().hex[:12]}"
    monkeypatch.delenv("DDB_MESSAGE_TABLE")
    for variable, value in (
        ("PROD_CONNECTION_URL", environment["CONNECTION_URL"]), ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_REGION", "us-east-1"), ("NO_PROXY", "127.0.0.1"),
    ):  # fmt: skip
        monkeypatch.setenv(variable, value)
    with (
        faults.recorded(engine) as proxy,
        opened(aws_client.Endpoint("dynamodb", engine, "us-east-1", "x"), name) as store,
    ):
        (tmp_path / "home" / "cruddur.toml").write_text(
            f'table = "{empty.table}"\n[prod]\ntable = "{name}"\ndynamodb_endpoint = "{proxy.url}"\n'
        )
        tables.create(store, on_demand=True, say=lambda _: None)
        tables.mark_production(store)
        write(store, conversation(GROUP, ME, OTHER, "secret"))
        write(store, conversation(ANOTHER, OTHER, THIRD, "private", day=21))
        write(store, [{"pk": {"S": "LOG#1"}, "sk": {"S": "1"}, "who": {"S": "andrewbrown"}}])
        yield store, proxy
        tables.drop(store, say=lambda _: None)


def conversation(group: str, one: Person, other: Person, word: str, *, day: int = 20) -> list[Item]:
    """Thirty messages of two people in turn, and both group rows."""
    times = [f"2026-11-{day}T10:{n:02}:00.000000+00:00" for n in range(30)]
    rows = [
        message_row(sk, f"{word} number {n}", group=group, sender=(one, other)[n % 2]) for n, sk in enumerate(times)
    ]
    rows = [
        {**row, "message_uuid": {"S": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{group} {n}"))}}
        for n, row in enumerate(rows)
    ]
    text = rows[-1]["message"]["S"]
    return [
        *rows, group_row(one, other, times[-1], text, group=group), group_row(other, one, times[-1], text, group=group),
    ]  # fmt: skip


def test_copy_anonymizes_the_people_of_production(
    here: Here, empty: DynamoDB, production: tuple[DynamoDB, faults.Recording]
) -> None:
    theirs, proxy = production
    before = everything(theirs)
    ran = here("ddb", "copy", "--from", "prod", "-o", "json")
    counts = parsed(ran)
    assert (counts["new"], counts["replaced"]) == (64, 0)
    assert f"production, only read: table {theirs.table}" in ran.err
    assert "(dry run)" not in ran.err
    assert f"local: table {empty.table}" in ran.err
    assert "warning: skipped, because they may contain personal data: 1 row of an unknown kind; " in ran.err
    found = everything(empty)
    keys = {(row["pk"]["S"], row["sk"]["S"]) for row in before}
    assert {(row["pk"]["S"], row["sk"]["S"]) for row in found} == {key for key in keys if key[0] != "LOG#1"}
    text = json.dumps(found)
    for secret in ("secret", "private", "andrewbrown", "bayko", "Andrew", "Londo", "Alt Brown", "altbrown"):
        assert secret not in text
    ids = {row["user_uuid"]["S"]: row["user_handle"]["S"] for row in found}
    assert set(ids) == {ME.uuid, OTHER.uuid, THIRD.uuid}
    assert len(set(ids.values())) == 3
    # Production was read, and nothing else.
    assert {operation for operation, _, _ in proxy.take()} == {"DescribeTable", "Scan"}
    assert everything(theirs) == before
    assert parsed(here("ddb", "copy", "--from", "prod", "-o", "json"))["unchanged"] == 64
    # The last message of a conversation reads in its group rows as it does among its messages.
    last = [row["message"]["S"] for row in found if "T10:29" in row["sk"]["S"]]
    assert sorted(last.count(text) for text in set(last)) == [3, 3]


def test_copy_of_one_person_and_verbatim(
    here: Here, empty: DynamoDB, production: tuple[DynamoDB, faults.Recording]
) -> None:
    theirs, proxy = production
    wanted = [row for row in everything(theirs) if row in conversation(GROUP, ME, OTHER, "secret")]
    assert len(wanted) == 32
    counts = parsed(here("ddb", "copy", "--from", "prod", "--handle", "andrewbrown", "-o", "json", "--dry-run"))
    assert (counts["new"], counts["dry_run"]) == (32, True)
    assert everything(empty) == []
    command = ("ddb", "copy", "--from", "prod", "--handle", "andrewbrown", "--verbatim", "-o", "json")
    assert parsed(here(*command))["new"] == 32
    assert everything(empty) == wanted
    assert {operation for operation, _, _ in proxy.take()} == {"DescribeTable", "Query"}
    assert here("ddb", "copy", "--from", "prod", "--handle", "nobody").code == 5


def test_copy_writes_only_to_this_machine(
    here: Here, empty: DynamoDB, production: tuple[DynamoDB, faults.Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, proxy = production
    ran = here("ddb", "copy", "--from", "prod", "--prod")
    assert ran.code == 2
    assert "only to the local table" in ran.err
    ran = here("ddb", "copy", "--from", "prod", "--table", theirs.table)
    assert ran.code == 6
    assert "marked as production" in ran.err
    tables.mark_production(empty)
    assert here("ddb", "copy", "--from", "prod").code == 6
    assert everything(empty) == []
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", proxy.url)
    ran = here("ddb", "copy", "--from", "prod", "--table", theirs.table)
    assert ran.code == 6
    assert len(everything(theirs)) == 65


def test_a_missing_table_gets_no_hint_to_create_it_in_production(
    here: Here, empty: DynamoDB, production: tuple[DynamoDB, faults.Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hint(*options: str) -> str:
        ran = here("ddb", "copy", "--from", "prod", "-o", "json", *options)
        assert (ran.code, ran.out) == (5, "")
        return str(json.loads(ran.err.splitlines()[-1])["error"]["hint"])

    assert everything(empty) == []
    assert hint("--table", "copied") == "cruddur ddb schema-load --table copied"
    assert (
        hint("--handle", "nobody")
        == "pass one of these with --handle: copy looks for the person in the production database"
    )
    with psycopg.connect(os.environ["PROD_CONNECTION_URL"]) as conn:
        conn.execute("TRUNCATE users CASCADE")
    assert "cruddur config --prod" in hint("--handle", "nobody")
    monkeypatch.setenv("PROD_CONNECTION_URL", os.environ["PROD_CONNECTION_URL"] + "_not_there")
    assert "cruddur config --prod" in hint("--handle", "nobody")
    file = Path("cruddur.toml")
    file.write_text(file.read_text().replace(production[0].table, "prod-messages"))
    said = hint()
    assert "cruddur config --prod" in said
    assert "schema-load" not in said


def provision(store: DynamoDB, units: int) -> None:
    throughput = {"ReadCapacityUnits": units, "WriteCapacityUnits": units}
    store.call("update_table", TableName=store.table, BillingMode="PROVISIONED", ProvisionedThroughput=throughput)


def test_copy_prints_the_estimate_first_and_uses_half_of_the_rate(
    here: Here, empty: DynamoDB, production: tuple[DynamoDB, faults.Recording]
) -> None:
    theirs, proxy = production
    provision(theirs, 16)
    for options, rate in (((), 8), (("--rate", "1000"), 1000)):
        proxy.take()
        ran = here("ddb", "copy", "--from", "prod", "--explain", "--dry-run", "-o", "json", *options)
        used = parsed(ran)["read_from_production"]
        found = re.search(rf"estimate: ([\d.]+) RCU for about 65 items .* at {rate} units a second", ran.err)
        assert found, ran.err
        assert float(found[1]) <= used["read_units"] <= float(found[1]) + 1
        # Production's requests are told, behind what they will cost; those on this machine cost nothing.
        assert ran.err.index("estimate:") < ran.err.index("Scan  every item")
        assert ran.err.count("Scan  every item") == used["requests"]
        # What a second gives is more than the table holds: a page of it is not cut into smaller ones.
        assert [operation for operation, _, _ in proxy.take() if operation == "Scan"] == ["Scan"]
        assert used["requests"] == 1
    assert everything(empty) == []


def test_copy_of_one_person_uses_at_most_its_estimate(
    here: Here, empty: DynamoDB, production: tuple[DynamoDB, faults.Recording]
) -> None:
    assert production
    ran = here("ddb", "copy", "--from", "prod", "--handle", "bayko", "-o", "json")
    used = parsed(ran)["read_from_production"]["read_units"]
    assert len(everything(empty)) == 64
    found = re.search(r"estimate: at most ([\d.]+) RCU for at most 65 items", ran.err)
    assert found, ran.err
    assert used <= float(found[1])


def test_copy_stops_before_the_limit_with_what_it_read_written(
    here: Here, empty: DynamoDB, production: tuple[DynamoDB, faults.Recording]
) -> None:
    assert production
    ran = here("ddb", "copy", "--from", "prod", "--max-units", "2", "-o", "json")
    error = json.loads(ran.err.splitlines()[-1])["error"]
    assert (ran.code, ran.out, error["code"]) == (1, "", "max_units")
    assert error["used_units"] <= 2
    there = len(everything(empty))
    assert 0 < there < 64
    assert f" {there} items are done, of about 65." in error["message"]
    counts = parsed(here("ddb", "copy", "--from", "prod", "--max-units", "100", "-o", "json"))
    assert (counts["new"], counts["replaced"], counts["unchanged"]) == (64 - there, 0, there)


def test_a_killed_copy_starts_from_the_beginning(
    empty: DynamoDB, production: tuple[DynamoDB, faults.Recording], environment: dict[str, str], tmp_path: Path
) -> None:
    theirs, _ = production
    times = (f"2026-11-20T{n // 60:02}:{n % 60:02}:00.000000+00:00" for n in range(1000))
    write(theirs, ({**message_row(sk, "text", group=LONG), "message_uuid": {"S": LONG}} for sk in times))
    command = ("copy", "--from", "prod", "-o", "json")
    with Endpoint(environment["AWS_ENDPOINT_URL_DYNAMODB"]) as engine:
        assert engine.kill(dict(os.environ), tmp_path / "home", "BatchWriteItem", 10, *command)
        there = len(everything(empty))
        assert 0 < there < 1064
        said = engine.run(dict(os.environ), tmp_path / "home", *command)
    counts = json.loads(said[said.index("{") :])
    assert (counts["new"] + counts["unchanged"], counts["replaced"]) == (1064, 0)
    assert counts["unchanged"] >= there
    assert len(everything(empty)) == 1064


def test_a_user_with_the_id_of_production_finds_the_copied_messages(
    here: Here, production: tuple[DynamoDB, faults.Recording]
) -> None:
    theirs, _ = production
    write(theirs, conversation(MIRROR, Person(users.stable_uuid("mira"), "mira", "Mira Lund"), THIRD, "own", day=22))
    assert here("ddb", "copy", "--from", "prod", "-q").code == 0
    assert here("ddb", "list-conversations", "mira").code == 5
    assert here("db", "add-user", "mira").code == 0
    (found,) = parsed(here("ddb", "list-conversations", "mira", "-o", "json"))["items"]
    assert found["message_group_uuid"] == MIRROR
    assert len(parsed(here("ddb", "get-conversation", MIRROR, "-o", "json"))["items"]) == 20


def test_no_key_and_no_id_names_a_person(
    here: Here, empty: DynamoDB, production: tuple[DynamoDB, faults.Recording]
) -> None:
    theirs, _ = production
    zoe = Person("ztalvar@corp.example", "ztalvar", "Zoë Talvar")
    sk = "2026-11-23T10:00:00.000000+00:00"
    row = {**message_row(sk, "hello", group=LONG), "message_uuid": {"S": LONG}}
    telling = [
        {**row, "pk": {"S": "MSG#zoe-and-ana"}},
        {**row, "sk": {"S": "2026-03-01 note by Zoë"}},
        {**row, "sk": {"S": "2026-11-23T10:01"}, "user_uuid": {"S": zoe.uuid}},
        {**row, "sk": {"S": "2026-11-23T10:02"}, "message_uuid": {"S": "ztalvar-1"}},
        group_row(zoe, ME, sk, "hello", group=LONG),
        group_row(ME, OTHER, sk, "hello", group="ztalvar and andrew"),
    ]
    numbered = {**row, "sk": {"S": "2026-11-23T10:03"}, "message_uuid": {"S": f"{LONG}0"}}  # no UUID, but a number
    write(theirs, [{**row, "email": {"S": "zoe@corp.example"}}, numbered, *telling])
    ran = here("ddb", "copy", "--from", "prod", "-o", "json")
    assert parsed(ran)["new"] == 66
    assert (
        "skipped, because they may contain personal data: 1 row of an unknown kind, 6 rows with an unusual "
        "id, or an sk that is not a time, 1 × email; such rows from an earlier copy --verbatim are kept"
    ) in " ".join(ran.err.split())
    found = json.dumps(everything(empty), ensure_ascii=False).lower()
    assert not [word for word in ("ztalvar", "zoe", "zoë", "corp") if word in found]
    assert parsed(here("ddb", "copy", "--from", "prod", "-o", "json", "--verbatim"))["new"] == 7
    # What is left out is said as it is: nothing of none.
    with_email = [item for item in everything(theirs) if "email" in item]
    for item in everything(theirs):
        if item not in with_email and (item in telling or item["pk"]["S"] == "LOG#1"):
            theirs.call("delete_item", TableName=theirs.table, Key={"pk": item["pk"], "sk": item["sk"]})
    ran = here("ddb", "copy", "--from", "prod")
    assert "personal data: 1 × email\n" in ran.err


@pytest.mark.parametrize("spelling", ["http://127.0.0.1:{}", "http://127.0.0.1:{}/", "http://LocalHost:{}", "compose"])
def test_production_under_another_address_is_not_written_to(
    here: Here, endpoint: str, spelling: str, unresolved: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither engine's table is stamped here, as on DynamoDB Local none can be: what answers has to be compared."""
    for variable, value in (
        ("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_REGION", "us-east-1"),
        ("NO_PROXY", "127.0.0.1"),
    ):  # fmt: skip
        monkeypatch.setenv(variable, value)
    port = urlsplit(endpoint).port
    spelled = "http://dynamodb-local:{}" if spelling == "compose" else spelling
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", spelled.format(port))
    table = f"test-{uuid.uuid4().hex[:12]}"
    Path("cruddur.toml").write_text(f'[prod]\ndynamodb_endpoint = "http://127.0.0.1:{port}"\n')
    monkeypatch.setenv("DDB_MESSAGE_TABLE", table)
    with opened(aws_client.Endpoint("dynamodb", endpoint, "us-east-1", "x"), table) as store:
        tables.create(store, say=lambda _: None)
        write(store, conversation(GROUP, ME, OTHER, "secret"))
        before = everything(store)
        for more in ((), ("--dry-run",), ("--handle", "andrewbrown"), ("--verbatim",)):
            ran = here("ddb", "copy", "--from", "prod", *more)
            assert (ran.code, ran.out) == (6, ""), ran.err
            assert "Production's table and the local one are the same" in ran.err
        assert everything(store) == before
        other = f"test-{uuid.uuid4().hex[:12]}"
        with opened(store.at, other) as local:  # another table of the same server is no less local for that
            tables.create(local, say=lambda _: None)
            Path("cruddur.toml").write_text(f'[prod]\ndynamodb_endpoint = "{endpoint}"\ntable = "{table}"\n')
            monkeypatch.delenv("DDB_MESSAGE_TABLE")
            assert here("ddb", "copy", "--from", "prod", "--table", other).code == 0
            assert len(everything(local)) > 0
            tables.drop(local, say=lambda _: None)
        tables.drop(store, say=lambda _: None)


def users_in(url: str) -> dict[str, str]:
    with psycopg.connect(url) as conn:
        return dict(conn.execute("SELECT uuid::text, handle FROM users").fetchall())


def test_the_people_of_a_copy_are_made_with_the_same_names(
    here: Here, empty: DynamoDB, production: tuple[DynamoDB, faults.Recording], database: str
) -> None:
    assert production
    with psycopg.connect(database) as conn:
        conn.execute("DELETE FROM activities")
        conn.execute("DELETE FROM users")
    assert parsed(here("ddb", "copy", "--from", "prod", "-n", "-o", "json"))["people"] == 3
    assert users_in(database) == {}
    ran = here("ddb", "copy", "--from", "prod", "-o", "json")
    assert parsed(ran)["people"] == 3
    assert "3 people added to the database" in ran.err
    found = users_in(database)
    rows = {row["user_uuid"]["S"]: row["user_handle"]["S"] for row in everything(empty)}
    assert found == rows
    (group,) = parsed(here("ddb", "list-conversations", found[ME.uuid], "-o", "json"))["items"]
    assert group["user_handle"] == found[OTHER.uuid]
    assert len(parsed(here("ddb", "get-conversation", "--my-handle", found[ME.uuid], "-o", "json"))["items"]) == 20
    again = parsed(here("ddb", "copy", "--from", "prod", "-o", "json"))
    assert (again["people"], again["unchanged"]) == (0, 64)
    assert users_in(database) == found


def test_a_copy_without_a_database_warns_and_copies_the_rows(
    here: Here, empty: DynamoDB, production: tuple[DynamoDB, faults.Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert production
    monkeypatch.setenv("CONNECTION_URL", os.environ["CONNECTION_URL"] + "_not_there")
    ran = here("ddb", "copy", "--from", "prod", "-o", "json")
    assert ran.code == 1
    assert "the people of the rows are not added" in ran.err
    assert len(everything(empty)) == 64


def test_local_rows_from_no_earlier_copy_are_overwritten_only_after_a_yes(
    here: Here, empty: DynamoDB, production: tuple[DynamoDB, faults.Recording]
) -> None:
    _, proxy = production
    mine = [{**row, "message": {"S": "mine"}} for row in conversation(GROUP, ME, OTHER, "secret")[:3]]
    other = message_row("2026-11-20T11:00:00", "mine too")
    write(empty, [*mine, other])
    proxy.take()
    ran = here("ddb", "copy", "--from", "prod")
    assert ran.code == 6
    message = "3 of them are not from an earlier copy, and differ from production's."
    assert f"3 local rows of table {empty.table} would be overwritten; {message}" in ran.err
    assert "--yes" in ran.err
    assert len(everything(empty)) == 4
    ran = here("ddb", "copy", "--from", "prod", "-n", "-o", "json")
    assert parsed(ran)["replaced"] == 3
    assert message in ran.err
    proxy.take()
    assert parsed(here("ddb", "copy", "--from", "prod", "--yes", "-o", "json"))["replaced"] == 3
    assert [operation for operation, _, _ in proxy.take()].count("Scan") == 1
    found = everything(empty)
    assert len(found) == 65
    assert other in found
    # Copies of both kinds replace each other without a question.
    same = "64 local rows that are the same in production will be overwritten, anonymized"
    earlier = "64 rows of an earlier copy will be overwritten"
    for more, note in ((("--verbatim",), earlier), ((), same), (("--verbatim",), earlier)):
        ran = here("ddb", "copy", "--from", "prod", *more, "-o", "json")
        assert parsed(ran)["replaced"] == 64, more
        assert note in ran.err
        assert ("of an earlier copy" in ran.err) is (note == earlier)
