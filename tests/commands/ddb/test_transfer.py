"""``ddb export``, ``import`` and ``copy`` as processes: killed at random, through pipes, onto a full disk."""

from __future__ import annotations

import gzip
import json
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli.dynamodb import batch_writer, tables
from cruddur_cli.dynamodb.client import DynamoDB, opened
from cruddur_cli.dynamodb.transfer import checkpoints
from cruddur_cli.errors import Refused
from tests.commands.conftest import Here, parsed
from tests.commands.endpoints import Endpoint, start
from tests.dynamodb.rows import everything, message_row, write

LINE = json.dumps(message_row("1", "hello")) + "\n"


@pytest.fixture
def full(table: DynamoDB) -> DynamoDB:
    """The commands' table with 7 MB in 100 rows: three chunks and more in each of two segments."""
    tables.create(table, say=lambda _: None)
    chosen = random.Random(1)
    write(table, (message_row(f"{n:03}", chosen.randbytes(34_000).hex(), group=f"{n}") for n in range(100)))
    return table


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
        for point in [*random.Random(len(suffix)).sample(range(1, 8), 4), 8]:
            path = home / f"{point}.{suffix}"
            ended += engine.kill(environment, home, "Scan", point, "export", path.name, "--segments", "2")
            said = engine.run(environment, home, "export", path.name, "--segments", "2")
            resumed += "resuming the export" in said
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
    chosen = random.Random(3)
    with Endpoint(environment["AWS_ENDPOINT_URL_DYNAMODB"]) as engine:
        for number in range(10):
            name = f"test-{uuid.uuid4().hex[:12]}"
            own = {**environment, "DDB_MESSAGE_TABLE": name}
            with opened(empty.at, name) as store:
                tables.create(store, say=lambda _: None)
                command = ("import", ("a.jsonl", "a.jsonl.gz")[number % 2])
                ended += engine.kill(own, home, "BatchWriteItem", chosen.randrange(1, 140), *command)
                said = engine.run(own, home, *command, "-o", "json")
                resumed += "resuming the import" in said
                counts = json.loads(said[said.index("{") :])
                told = {name: counts[name] for name in ("new", "replaced", "unchanged", "duplicates")}
                assert told == {"new": 3900, "replaced": 0, "unchanged": 0, "duplicates": 100}
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


def test_a_reader_that_ends_stops_an_export_without_an_error(full: DynamoDB, environment: dict[str, str]) -> None:
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


def test_a_file_that_grows_too_large_is_one_line_and_resumes(
    here: Here, full: DynamoDB, environment: dict[str, str], tmp_path: Path
) -> None:
    """The limit of a file's size stands in for a disk that is full: the write fails in the same place."""
    home = tmp_path / "home"
    command = f"ulimit -f 2500; exec {sys.executable} -B -m cruddur_cli ddb export a.jsonl --segments 1"
    done = subprocess.run(["bash", "-c", command], env=environment, cwd=home, capture_output=True, check=False)
    assert done.returncode == 1, done
    assert b"a.jsonl.part-0 cannot be read or written" in done.stderr
    assert b"Traceback" not in done.stderr
    assert not (home / "a.jsonl").exists()
    ran = here("ddb", "export", "a.jsonl", "--segments", "1")
    assert ran.code == 0, ran.err
    assert "resuming the" in ran.err
    assert len((home / "a.jsonl").read_bytes().splitlines()) == 100
    assert everything(full)


def test_a_disk_that_is_full_at_once_leaves_no_file(
    full: DynamoDB, environment: dict[str, str], tmp_path: Path
) -> None:
    """No file may have a byte, or the first part not its first chunk; the table's keys alone are in a checkpoint."""
    home = tmp_path / "home"
    assert everything(full)
    before = sorted(home.rglob("*"))
    for blocks in (0, 1):
        # -B: else Python writes compiled modules that the limit cuts, and later processes fail to import them.
        command = f"ulimit -f {blocks}; exec {sys.executable} -B -m cruddur_cli ddb export a.csv.gz --segments 1"
        done = subprocess.run(["bash", "-c", command], env=environment, cwd=home, capture_output=True, check=False)
        assert done.returncode == 1, done
        assert b"cannot be read or written" in done.stderr
        assert sorted(home.rglob("*")) == before


def test_a_bad_line_is_named_and_nothing_after_it_is_written(here: Here, empty: DynamoDB, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("{\n" + LINE)
    ran = here("ddb", "import", str(path))
    assert ran.code == 2
    assert f"{path}, line 1 begins JSON that continues" in ran.err
    assert "Nothing was written" in ran.err
    assert "jq -c '.Items[]'" in ran.err
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
    assert ran.code == 2
    assert f"{path}, line 2 makes an item of 410," in ran.err
    assert "1 item before it is in the table" in ran.err
    assert len(everything(empty)) == 1


def test_an_item_that_the_store_refuses_is_named_with_its_line(
    here: Here, empty: DynamoDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrote = batch_writer.BatchSender.write

    def write(writer: batch_writer.BatchSender, batch: list[batch_writer.Request]) -> int:
        if "poison" in json.dumps(batch):
            raise Refused("DynamoDB refused: injected", fields={"aws_code": "ValidationException", "response": {}})
        return wrote(writer, batch)

    monkeypatch.setattr(batch_writer.BatchSender, "write", write)
    path = tmp_path / "a.jsonl"
    path.write_text(LINE + "\n" + json.dumps(message_row("2", "poison")) + "\n" + json.dumps(message_row("3", "x")))
    ran = here("ddb", "import", str(path), "-o", "json")
    error = json.loads(ran.err.splitlines()[-1])["error"]
    assert (ran.code, error["code"], error["line"], error["sk"], error["in_table"]) == (5, "item_refused", 3, "2", 1)
    assert error["message"].startswith(f"{path}, line 3: the item pk='MSG#")
    assert error["message"].endswith("refused: injected. 1 item of the file is in the table.")
    assert error["hint"] == f"correct the line and run cruddur ddb import {path} again: that is safe"
    path.write_text(path.read_text().replace("poison", "mended"))
    counts = parsed(here("ddb", "import", str(path), "-o", "json"))
    assert (counts["new"], counts["unchanged"]) == (2, 1)


@pytest.mark.parametrize(("what", "operation", "point"), [("export", "Scan", 4), ("import", "BatchWriteItem", 120)])
def test_ctrl_c_is_one_line_with_the_checkpoint(
    full: DynamoDB, environment: dict[str, str], tmp_path: Path, what: str, operation: str, point: int
) -> None:
    home = tmp_path / "home"
    if what == "import":
        (home / "a.jsonl").write_text("".join(json.dumps(message_row(f"{n:04}", "x")) + "\n" for n in range(4000)))
    there, go_on, asked = threading.Event(), threading.Event(), [0]

    def hold(name: str) -> None:
        asked[0] += name == operation
        if asked[0] >= point:
            there.set()
            go_on.wait(60)

    with Endpoint(environment["AWS_ENDPOINT_URL_DYNAMODB"]) as engine:
        engine.before = hold
        process = start(environment, engine.recording.url, home, what, "a.jsonl")
        assert there.wait(60)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        go_on.set()
        said = process.communicate(timeout=60)[0].decode()
        assert process.returncode == 130, said
        assert [line for line in said.splitlines() if "interrupted" in line or "checkpoint is" in line] == [
            f"interrupted: the checkpoint is beside a.jsonl; run the same {what} again to resume"
        ]
        assert "resuming the" in engine.run(environment, home, what, "a.jsonl")
    assert len(everything(full)) == (100 if what == "export" else 4100)


def test_import_into_a_missing_table_names_schema_load(here: Here, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(LINE)
    ran = here("ddb", "import", str(tmp_path / "a.jsonl"))
    assert ran.code == 5
    assert "There is no table" in ran.err
    assert "cruddur ddb schema-load" in ran.err


def test_import_counts_replaced_items_and_duplicates(here: Here, empty: DynamoDB, tmp_path: Path) -> None:
    write(empty, [message_row("1", "old"), message_row("other", "stays")])
    path = tmp_path / "a.jsonl"
    path.write_text(LINE + LINE)
    ran = here("ddb", "import", str(path), "--dry-run", "-o", "json")
    assert parsed(ran)["replaced"] == 1
    assert [row["message"]["S"] for row in everything(empty)] == ["old", "stays"]
    ran = here("ddb", "import", str(path))
    assert ran.code == 0
    assert "holds 2 items: items with the same key as in" in ran.err
    assert "1 item whose key occurs again later" in " ".join(ran.err.split())
    assert [row["message"]["S"] for row in everything(empty)] == ["hello", "stays"]
    counts = parsed(here("ddb", "import", str(path), "--no-compare", "-o", "json"))
    assert (counts["written"], counts["items"][0]["new"], counts["items"][0]["unchanged"]) == (1, None, None)


def test_import_over_production_needs_its_name(
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
    assert "overwrite items" in ran.err
    assert everything(empty) == []
    assert here("ddb", "import", str(tmp_path / "a.jsonl"), "--prod", "--confirm", empty.table).code == 0
    assert len(everything(empty)) == 1
    tables.mark_production(empty)
    assert here("ddb", "import", str(tmp_path / "a.jsonl")).code == 6


def test_the_checkpoint_of_another_file_is_refused(here: Here, empty: DynamoDB, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(LINE)
    about: dict[str, Any] = {"what": "import", "files": [["/elsewhere", 1, 1]]}
    checkpoints.save(checkpoints.beside(path), {"after": {"file": 0, "line": 1}, "counts": {}}, about=about)
    ran = here("ddb", "import", str(path))
    assert ran.code == 6
    assert "it was reading /elsewhere" in ran.err
    assert "--restart" in ran.err
    assert everything(empty) == []
    assert here("ddb", "import", str(path), "--restart").code == 0
    assert not checkpoints.beside(path).exists()


def test_a_file_that_cannot_be_used_is_named(here: Here, empty: DynamoDB, tmp_path: Path) -> None:
    assert everything(empty) == []
    for arguments, code, said in (
        (("import", "nowhere.jsonl"), 2, "nowhere.jsonl cannot be read"),
        (("export", "nowhere/a.jsonl"), 2, "There is no folder"),
        (("export", str(tmp_path)), 2, "is a folder"),
        (("export", "-", "-o", "json"), 2, "the items go to stdout"),
        (("export", "a.csv.zst"), 2, "a.csv.gz, or -"),
    ):
        ran = here("ddb", *arguments)
        assert (ran.code, ran.out) == (code, "")
        assert said in ran.err
