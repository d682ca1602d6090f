"""``cruddur setup``: one command creates everything, and can be repeated."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests import dumps
from tests.commands.conftest import Here
from tests.commands.production import TABLE, client, production
from tests.commands.production import Run as ProductionRun
from tests.conftest import SEEDED, Run
from tests.terminals import in_terminal

__all__ = ["production"]

# Imported and waiting, so that two of them begin at the same moment.
_GATED = "import sys; from cruddur_cli.cli import main as cli, tree; sys.stdin.read(1); cli.main()"


@pytest.fixture
def fresh(environment: dict[str, str], empty_database: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment whose database is empty and whose table does not exist."""
    environment["CONNECTION_URL"] = empty_database
    return environment


def test_the_first_run_ends_with_the_conversation_and_three_commands_that_exist(
    fresh: dict[str, str], cruddur: Run
) -> None:
    ran = cruddur("setup")
    assert ran.code == 0
    assert "✓ users: 4 activities, 4 users added" in ran.err
    assert "✓ conversation: 122 messages written\n" in ran.err
    assert "Andrew Bayko @bayko" in ran.out
    assert SEEDED in ran.out
    commands = re.findall(r"^  (cruddur \S+ \S+)  ", ran.err.partition("Next:")[2], re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        assert cruddur(*command.split()[1:]).code == 0
    ids = json.loads(cruddur("db", "update-cognito-user-ids", "-o", "json").out)
    # People of other databases are in the demo pool too.
    results = {row["handle"]: row["result"] for row in ids["items"] if row["result"] != "no such user"}
    assert results == dict.fromkeys(("andrewbrown", "bayko", "altbrown", "londo"), "unchanged")


def test_the_second_run_reports_nothing_to_do_and_changes_no_row(fresh: dict[str, str], here: Here) -> None:
    assert here("setup").code == 0
    before = dumps.rows(fresh["CONNECTION_URL"]), dumps.items(fresh)
    assert len(before[1]) == 124
    ran = here("setup")
    assert ran.code == 0
    assert "Nothing had to be done" in ran.err
    for step in ("database ", "tables: exist\n", "users: exist\n", "conversation: exists\n"):
        assert f"· {step}" in ran.err
    assert (dumps.rows(fresh["CONNECTION_URL"]), dumps.items(fresh)) == before
    assert json.loads(here("setup", "-o", "json").out)["changed"] == 0


def test_a_conversation_with_a_deleted_person_gets_no_second_one_beside_it(fresh: dict[str, str], here: Here) -> None:
    assert here("setup").code == 0
    assert here("ddb", "send-message", "a message of my own").code == 0
    with psycopg.connect(fresh["CONNECTION_URL"], autocommit=True) as conn:
        conn.execute("DELETE FROM public.users WHERE handle = 'bayko'")
    before = dumps.items(fresh)
    ran = here("setup")
    assert ran.code == 0, ran.err
    assert "conversation: skipped" in ran.err
    assert "no longer in the database" in ran.err
    assert dumps.items(fresh) == before
    remedy = json.loads(here("doctor", "-o", "json").out)["items"][0]["remedy"]
    assert here(*shlex.split(remedy)[1:]).code == 0
    ran = here("setup")
    assert ran.code == 0, ran.err
    assert "conversation: exists" in ran.err
    assert dumps.items(fresh) == before
    # Who asks for another conversation gets it.
    assert here("ddb", "seed", "--other-handle", "altbrown").code == 0
    assert dumps.items(fresh) != before


def test_a_run_that_was_killed_anywhere_is_completed_by_the_next(fresh: dict[str, str], cruddur: Run) -> None:
    dice = random.Random(5)
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", _GATED, "setup"],
            env=fresh,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        for _ in range(dice.randrange(1, 9)):  # killed after a step that it has said, or while it writes
            process.stderr.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate()
    ran = cruddur("setup")
    assert ran.code == 0, ran.err
    found = dumps.items(fresh)
    assert len(found) == 124
    assert len({item["message_uuid"]["S"] for item in found if "message_uuid" in item}) == 122
    assert len(dumps.rows(fresh["CONNECTION_URL"])["users"]) == 4


def test_two_runs_at_once_both_succeed_and_leave_the_rows_of_one(fresh: dict[str, str], here: Here) -> None:
    for _ in range(2):
        both = [
            subprocess.Popen(
                [sys.executable, "-c", _GATED, "setup"],
                env=fresh,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for _ in range(2)
        ]
        for process in both:
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
        said = [process.communicate(timeout=120)[1].decode() for process in both]
        assert [process.returncode for process in both] == [0, 0], said
        found = dumps.items(fresh)
        assert len(found) == 124
        assert len({item["message_uuid"]["S"] for item in found if "message_uuid" in item}) == 122
        assert [item["pk"]["S"][:4] for item in found].count("GRP#") == 2
        assert {name: len(rows) for name, rows in dumps.rows(fresh["CONNECTION_URL"]).items()}["users"] == 4
        assert here("ddb", "drop", "--yes").code == 0


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/St_Johns"])
def test_another_folder_and_another_time_zone_change_no_row(
    fresh: dict[str, str], cruddur: Run, zone: str, tmp_path: Path
) -> None:
    assert cruddur("setup").code == 0
    before = dumps.rows(fresh["CONNECTION_URL"]), dumps.items(fresh)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    ran = in_terminal(fresh, "setup", cwd=elsewhere, env={"TZ": zone, "NO_COLOR": "1"})
    assert ran.code == 0
    assert "Nothing had to be done" in ran.out
    assert (dumps.rows(fresh["CONNECTION_URL"]), dumps.items(fresh)) == before
    newest = max(item["sk"]["S"] for item in before[1])
    utc, local = (
        json.loads(cruddur("ddb", "list-conversations", "-o", "json", env={"TZ": name}).out)["items"][0]
        for name in ("UTC", zone)
    )
    assert utc["last_message_at"] == local["last_message_at"] == newest


@pytest.mark.parametrize("prepared", [False, True])
def test_a_dry_run_says_what_it_would_do_and_changes_nothing(fresh: dict[str, str], here: Here, prepared: bool) -> None:
    if prepared:
        assert here("setup").code == 0
    before = dumps.rows(fresh["CONNECTION_URL"]), dumps.items(fresh)
    ran = here("setup", "--dry-run", "-o", "json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["dry_run"] is True
    assert ("would" in ran.err) == (not prepared)
    assert (dumps.rows(fresh["CONNECTION_URL"]), dumps.items(fresh)) == before


def test_a_dry_run_where_there_is_no_database_says_so(environment: dict[str, str], here: Here) -> None:
    os.environ["CONNECTION_URL"] = environment["CONNECTION_URL"] + "_not_there"
    ran = here("setup", "-n")
    assert ran.code == 0, ran.err
    assert "would be created" in ran.err
    assert here("db", "ping").code == 5


def test_a_set_up_of_production_without_a_user_pool_does_the_rest(
    production: ProductionRun, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROD_CONNECTION_URL", database)
    monkeypatch.delenv("AWS_COGNITO_USER_POOL_ID", raising=False)
    name = database.rpartition("/")[2]
    ran = production("setup", "--prod", "--confirm", name)
    assert (ran.code, "user pool: not named" in ran.err) == (3, True), ran.err
    assert "Everything else is set up, but the Cognito ids are not synced. AWS_COGNITO_USER_POOL_ID" in ran.err
    assert "cruddur db update-cognito-user-ids --prod" in ran.err
    assert client("dynamodb").describe_table(TableName=TABLE)["Table"]["ItemCount"] > 100
