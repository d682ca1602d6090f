"""``ddb export``, ``import`` and ``copy`` as real processes: killed at random, through pipes, into a full disk."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli import sdk
from cruddur_cli.dynamodb import checkpoints, tables
from cruddur_cli.dynamodb.client import DynamoDB, opened
from cruddur_cli.dynamodb.conversation import Person
from cruddur_cli.postgres import users
from tests import faults
from tests.commands.conftest import Here, parsed
from tests.dynamodb.rows import GROUP, ME, OTHER, THIRD, Item, everything, group_row, message_row, write

LINE = json.dumps(message_row("1", "hello")) + "\n"


@pytest.fixture
def full(table: DynamoDB) -> DynamoDB:
    """The commands' table with 7 MB in 100 rows: three chunks and more in each of two segments."""
    tables.create(table, say=lambda _: None)
    chosen = random.Random(1)
    write(table, (message_row(f"{n:03}", chosen.randbytes(34_000).hex(), group=f"{n}") for n in range(100)))
    return table


@pytest.fixture
def empty(table: DynamoDB) -> DynamoDB:
    """The commands' table, empty."""
    tables.create(table, say=lambda _: None)
    return table


def start(environment: dict[str, str], url: str, folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "cruddur_cli", "ddb", *arguments],
        env={**environment, "AWS_ENDPOINT_URL_DYNAMODB": url},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


class Endpoint:
    """One loopback address for a command that is run twice: a proxy that is made anew would be another store."""

    def __init__(self, engine: str) -> None:
        self.before: Any = lambda _: None
        self._recorded = faults.recorded(engine, before=self._tell)

    def _tell(self, operation: str) -> None:
        self.before(operation)

    def __enter__(self) -> Endpoint:
        self.recording = self._recorded.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._recorded.__exit__(*error)

    def kill(self, environment: dict[str, str], folder: Path, operation: str, point: int, *arguments: str) -> bool:
        """Start a command and kill it about when it makes request number ``point``; whether that ended it."""
        enough = threading.Event()
        left = [point]

        def count(asked: str) -> None:
            left[0] -= asked == operation
            if left[0] <= 0:
                enough.set()

        self.before = count
        process = start(environment, self.recording.url, folder, *arguments)
        while not enough.wait(0.02) and process.poll() is None:
            pass
        time.sleep(random.uniform(0, 0.06))
        process.kill()
        process.communicate()
        self.before = lambda _: None
        return process.returncode == -9

    def run(self, environment: dict[str, str], folder: Path, *arguments: str) -> str:
        """Run a command to its end; what it said."""
        process = start(environment, self.recording.url, folder, *arguments)
        said = process.communicate(timeout=60)[0].decode()
        assert process.returncode == 0, said
        return said


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_an_export_killed_at_random_points_ends_in_the_same_bytes(
    full: DynamoDB, environment: dict[str, str], tmp_path: Path, suffix: str
) -> None:
    """Five points for each suffix: two segments of about four pages each, of which some are written at the last one."""
    home = tmp_path / "home"
    with Endpoint(environment["AWS_ENDPOINT_URL_DYNAMODB"]) as engine:
        engine.run(environment, home, "export", f"calm.{suffix}", "--segments", "2")
        calm = (home / f"calm.{suffix}").read_bytes()
        ended = resumed = 0
        for point in [*random.sample(range(1, 8), 4), 8]:
            path = home / f"{point}.{suffix}"
            ended += engine.kill(environment, home, "Scan", point, "export", path.name, "--segments", "2")
            said = engine.run(environment, home, "export", path.name, "--segments", "2")
            resumed += "going on with the export" in said
            assert path.read_bytes() == calm, point
        assert ended > 0
    assert resumed > 0
    assert not [entry.name for entry in home.iterdir() if "part" in entry.name or "checkpoint" in entry.name]


def test_an_import_killed_at_random_points_ends_in_the_same_table(
    empty: DynamoDB, environment: dict[str, str], tmp_path: Path
) -> None:
    """4,000 rows are 160 batches; of two rows with one key, far apart, the later one has to win."""
    home = tmp_path / "home"
    rows = [message_row(f"{n % 3900:04}", f"text {n}") for n in range(4000)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (home / "a.jsonl").write_text(lines)
    (home / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    final = {row["sk"]["S"]: row for row in rows}
    ended = resumed = 0
    with Endpoint(environment["AWS_ENDPOINT_URL_DYNAMODB"]) as engine:
        for number in range(10):
            name = f"test-{uuid.uuid4().hex[:12]}"
            own = {**environment, "DDB_MESSAGE_TABLE": name}
            with opened(empty.at, name) as store:
                tables.create(store, say=lambda _: None)
                command = ("import", ("a.jsonl", "a.jsonl.gz")[number % 2])
                ended += engine.kill(own, home, "BatchWriteItem", random.randrange(1, 165), *command)
                said = engine.run(own, home, *command, "-o", "json")
                resumed += "going on with the import" in said
                counts = json.loads(said[said.index("{") :])
                assert sum(counts[name] for name in ("new", "replaced", "unchanged", "duplicates")) == 4000
                assert everything(store) == [final[sk] for sk in sorted(final)]
                tables.drop(store, say=lambda _: None)
    assert ended > 0
    assert resumed > 0
    assert not [entry.name for entry in home.iterdir() if "checkpoint" in entry.name or "lock" in entry.name]


def test_through_a_pipe_into_another_table(here: Here, full: DynamoDB, environment: dict[str, str]) -> None:
    other = f"test-{uuid.uuid4().hex[:12]}"
    with opened(full.at, other) as store:
        tables.create(store, say=lambda _: None)
        command = f"{sys.executable} -m cruddur_cli ddb"
        for options in ("", "--format csv", "--format dynamodb-json"):
            done = subprocess.run(
                ["bash", "-c", f"set -o pipefail; {command} export - -q {options} |"
                 f" {command} import - --table {other} -o json {options}"],
                env=environment, capture_output=True, check=True,
            )  # fmt: skip
            counts = json.loads(done.stdout)
            assert (counts["new"], counts["unchanged"]) == ((0, 100) if options else (100, 0))
            assert everything(store) == everything(full)
    ran = here("ddb", "export", "-")
    assert ran.code == 0
    assert len(ran.out.splitlines()) == 100
    assert "consumed capacity" in ran.err


def test_a_reader_that_leaves_ends_an_export_quietly(full: DynamoDB, environment: dict[str, str]) -> None:
    assert everything(full)
    command = f"{sys.executable} -m cruddur_cli ddb export - -q"
    done = subprocess.run(["bash", "-c", f"{command} | head -1"], env=environment, capture_output=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == b""


@pytest.mark.parametrize("target", ["/dev/full", "- > /dev/full"])
def test_a_full_disk_is_one_line(full: DynamoDB, environment: dict[str, str], target: str) -> None:
    assert everything(full)
    command = f"{sys.executable} -m cruddur_cli ddb export {target}"
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr
    assert not list(Path("/dev").glob("full.*"))


def test_a_file_that_grows_too_large_is_one_line_and_goes_on(
    here: Here, full: DynamoDB, environment: dict[str, str], tmp_path: Path
) -> None:
    """The limit of a file's size stands in for a disk that is full: the write fails in the same place."""
    home = tmp_path / "home"
    command = f"ulimit -f 2500; exec {sys.executable} -m cruddur_cli ddb export a.jsonl --segments 1"
    done = subprocess.run(["bash", "-c", command], env=environment, cwd=home, capture_output=True, check=False)
    assert done.returncode == 1, done
    assert b"a.jsonl.part-0 cannot be read or written" in done.stderr
    assert b"Traceback" not in done.stderr
    assert not (home / "a.jsonl").exists()
    ran = here("ddb", "export", "a.jsonl", "--segments", "1")
    assert ran.code == 0, ran.err
    assert "going on" in ran.err
    assert len((home / "a.jsonl").read_bytes().splitlines()) == 100
    assert everything(full)


def test_a_bad_line_is_named_and_nothing_behind_it_is_written(here: Here, empty: DynamoDB, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("{\n" + LINE)
    ran = here("ddb", "import", str(path))
    assert ran.code == 2
    assert f"{path}, line 1 is not JSON" in ran.err
    assert "Nothing was written" in ran.err
    rows = [message_row(f"{n:04}", "x") for n in range(500)]
    lines = [json.dumps(row) + "\n" for row in rows]
    path.write_text("".join([*lines[:400], '{"pk": 1}\n', *lines[400:]]))
    ran = here("ddb", "import", str(path), "-o", "json")
    assert ran.code == 1
    error = json.loads(ran.err.splitlines()[-1])["error"]
    assert (error["code"], error["written"]) == ("malformed_line", 400)
    assert "line 401" in error["message"]
    assert "again" in error["hint"]
    assert everything(empty) == rows[:400]
    path.write_text("".join(lines))
    counts = parsed(here("ddb", "import", str(path), "-o", "json"))
    assert (counts["new"], counts["unchanged"]) == (100, 400)


def test_an_item_over_400_kb_is_refused_with_its_line(here: Here, empty: DynamoDB, tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    path.write_text(LINE + json.dumps(message_row("2", "é" * 205_000)) + "\n")
    ran = here("ddb", "import", str(path))
    assert ran.code == 1
    assert f"{path}, line 2 makes an item of 410," in ran.err
    assert len(everything(empty)) == 1


def test_import_into_a_table_that_is_not_there_names_schema_load(here: Here, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(LINE)
    ran = here("ddb", "import", str(tmp_path / "a.jsonl"))
    assert ran.code == 5
    assert "There is no table" in ran.err
    assert "cruddur ddb schema-load" in ran.err


def test_import_says_what_it_replaces_and_what_came_twice(here: Here, empty: DynamoDB, tmp_path: Path) -> None:
    write(empty, [message_row("1", "old"), message_row("other", "stays")])
    path = tmp_path / "a.jsonl"
    path.write_text(LINE + LINE)
    ran = here("ddb", "import", str(path), "--dry-run", "-o", "json")
    assert parsed(ran)["replaced"] == 1
    assert [row["message"]["S"] for row in everything(empty)] == ["old", "stays"]
    ran = here("ddb", "import", str(path))
    assert ran.code == 0
    assert "holds 2 items: those with a key of" in ran.err
    assert "1 item of" in ran.err
    assert [row["message"]["S"] for row in everything(empty)] == ["hello", "stays"]
    counts = parsed(here("ddb", "import", str(path), "--no-compare", "-o", "json"))
    assert (counts["written"], counts["items"][0]["new"], counts["items"][0]["unchanged"]) == (1, None, None)


def test_import_over_production_wants_its_name(
    here: Here, empty: DynamoDB, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "a.jsonl").write_text(LINE)
    (tmp_path / "home" / "cruddur.toml").write_text(
        f'[prod]\ndynamodb_endpoint = "{environment["AWS_ENDPOINT_URL_DYNAMODB"]}"\n'
    )
    for name, value in (("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_REGION", "us-east-1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    ran = here("ddb", "import", str(tmp_path / "a.jsonl"), "--prod")
    assert ran.code == 6
    assert f"--confirm {empty.table}" in ran.err
    assert "replace rows" in ran.err
    assert everything(empty) == []
    assert here("ddb", "import", str(tmp_path / "a.jsonl"), "--prod", "--confirm", empty.table).code == 0
    assert len(everything(empty)) == 1
    tables.stamp(empty)
    assert here("ddb", "import", str(tmp_path / "a.jsonl")).code == 6


def test_the_checkpoint_of_another_file_is_refused(here: Here, empty: DynamoDB, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(LINE)
    about: dict[str, Any] = {"what": "import", "files": [["/elsewhere", 1, 1]]}
    checkpoints.save(checkpoints.beside(path), {"after": {"file": 0, "line": 1}, "counts": {}}, about=about)
    ran = here("ddb", "import", str(path))
    assert ran.code == 6
    assert "left by a transfer of something else" in ran.err
    assert "--restart" in ran.err
    assert everything(empty) == []
    assert here("ddb", "import", str(path), "--restart").code == 0
    assert not checkpoints.beside(path).exists()


def test_a_file_that_cannot_be_used_is_said(here: Here, empty: DynamoDB, tmp_path: Path) -> None:
    assert everything(empty) == []
    for arguments, code, said in (
        (("import", "nowhere.jsonl"), 2, "nowhere.jsonl cannot be read"),
        (("export", "nowhere/a.jsonl"), 2, "There is no folder"),
        (("export", str(tmp_path)), 2, "is a folder"),
        (("export", "-", "-o", "json"), 2, "standard output holds the items"),
    ):
        ran = here("ddb", *arguments)
        assert (ran.code, ran.out) == (code, "")
        assert said in ran.err


# ---------------------------------------------------------------------------------------------------------------------
# copy


@pytest.fixture
def production(
    here: Here, environment: dict[str, str], empty: DynamoDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[DynamoDB, faults.Recording]]:
    """A table that is production's, behind a proxy that keeps what is asked of it, named in cruddur.toml."""
    assert here is not None  # its environment comes first
    engine = environment["AWS_ENDPOINT_URL_DYNAMODB"]
    name = f"prod-{uuid.uuid4().hex[:12]}"
    monkeypatch.delenv("DDB_MESSAGE_TABLE")
    for variable, value in (
        ("PROD_CONNECTION_URL", environment["CONNECTION_URL"]), ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_REGION", "us-east-1"), ("NO_PROXY", "127.0.0.1"),
    ):  # fmt: skip
        monkeypatch.setenv(variable, value)
    with faults.recorded(engine) as proxy, opened(sdk.Endpoint("dynamodb", engine, "us-east-1", "x"), name) as store:
        (tmp_path / "home" / "cruddur.toml").write_text(
            f'table = "{empty.table}"\n[prod]\ntable = "{name}"\ndynamodb_endpoint = "{proxy.url}"\n'
        )
        tables.create(store, on_demand=True, say=lambda _: None)
        tables.stamp(store)
        write(store, conversation(GROUP, ME, OTHER, "secret"))
        write(store, conversation("another", OTHER, THIRD, "private", day=21))
        write(store, [{"pk": {"S": "LOG#1"}, "sk": {"S": "1"}, "who": {"S": "andrewbrown"}}])
        yield store, proxy
        tables.drop(store, say=lambda _: None)


def conversation(group: str, one: Person, other: Person, word: str, *, day: int = 20) -> list[Item]:
    """Thirty messages in turn, and the rows of both people."""
    times = [f"2026-11-{day}T10:{n:02}:00.000000+00:00" for n in range(30)]
    rows = [
        message_row(sk, f"{word} number {n}", group=group, sender=(one, other)[n % 2]) for n, sk in enumerate(times)
    ]
    rows = [{**row, "message_uuid": {"S": f"{group}-{n}"}} for n, row in enumerate(rows)]
    text = rows[-1]["message"]["S"]
    return [
        *rows, group_row(one, other, times[-1], text, group=group), group_row(other, one, times[-1], text, group=group),
    ]  # fmt: skip


def test_copy_brings_production_without_its_people(
    here: Here, empty: DynamoDB, production: tuple[DynamoDB, faults.Recording]
) -> None:
    theirs, proxy = production
    before = everything(theirs)
    ran = here("ddb", "copy", "--from", "prod", "-o", "json")
    counts = parsed(ran)
    assert (counts["new"], counts["replaced"]) == (64, 0)
    assert f"production, only read: table {theirs.table}" in ran.err
    assert f"local: table {empty.table}" in ran.err
    assert "1 row of no known entity" in ran.err
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


def test_copy_writes_nowhere_but_here(
    here: Here, empty: DynamoDB, production: tuple[DynamoDB, faults.Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, proxy = production
    ran = here("ddb", "copy", "--from", "prod", "--prod")
    assert ran.code == 2
    assert "local table alone" in ran.err
    ran = here("ddb", "copy", "--from", "prod", "--table", theirs.table)
    assert ran.code == 6
    assert "stamped as production" in ran.err
    tables.stamp(empty)
    assert here("ddb", "copy", "--from", "prod").code == 6
    assert everything(empty) == []
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", proxy.url)
    ran = here("ddb", "copy", "--from", "prod", "--table", theirs.table)
    assert ran.code == 6
    assert len(everything(theirs)) == 65


def provision(store: DynamoDB, units: int) -> None:
    throughput = {"ReadCapacityUnits": units, "WriteCapacityUnits": units}
    store.call("update_table", TableName=store.table, BillingMode="PROVISIONED", ProvisionedThroughput=throughput)


def test_copy_says_first_what_reading_costs_and_leaves_half_of_the_rate(
    here: Here, empty: DynamoDB, production: tuple[DynamoDB, faults.Recording]
) -> None:
    theirs, proxy = production
    provision(theirs, 16)
    for options, rate in (((), 8), (("--rate", "1000"), 1000)):
        proxy.take()
        ran = here("ddb", "copy", "--from", "prod", "--explain", "--dry-run", "-o", "json", *options)
        used = parsed(ran)["read_from_production"]
        found = re.search(rf"estimate: ([\d.]+) RCU for about 65 items .* at {rate} units a second; .* USD", ran.err)
        assert found, ran.err
        assert float(found[1]) <= used["read_units"] <= float(found[1]) + 1
        # Production's requests are told, behind what they will cost; those on this machine cost nothing.
        assert ran.err.index("estimate:") < ran.err.index("Scan  every item")
        assert ran.err.count("Scan  every item") == used["requests"]
        # What a second gives is more than the table holds: a page of it is not cut into smaller ones.
        assert [operation for operation, _, _ in proxy.take() if operation == "Scan"] == ["Scan"]
        assert used["requests"] == 1
    assert everything(empty) == []


def test_copy_of_one_person_costs_at_most_what_it_says(
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


def test_a_copy_that_was_killed_begins_again(
    empty: DynamoDB, production: tuple[DynamoDB, faults.Recording], environment: dict[str, str], tmp_path: Path
) -> None:
    theirs, _ = production
    write(theirs, (message_row(f"{n:04}", f"text {n}", group="long") for n in range(1000)))
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


def test_whom_add_user_gives_the_id_of_production_finds_what_was_copied(
    here: Here, production: tuple[DynamoDB, faults.Recording]
) -> None:
    theirs, _ = production
    write(theirs, conversation("mirror", Person(users.stable_uuid("mira"), "mira", "Mira Lund"), THIRD, "own", day=22))
    assert here("ddb", "copy", "--from", "prod", "-q").code == 0
    assert here("ddb", "list-conversations", "mira").code == 5
    assert here("db", "add-user", "mira").code == 0
    (found,) = parsed(here("ddb", "list-conversations", "mira", "-o", "json"))["items"]
    assert found["message_group_uuid"] == "mirror"
    assert len(parsed(here("ddb", "get-conversation", "mirror", "-o", "json"))["items"]) == 20
