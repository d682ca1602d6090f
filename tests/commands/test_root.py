"""``cruddur setup`` and ``cruddur config``: one command to a conversation on the screen, as often as somebody likes."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import dumps
from tests.conftest import SEEDED, Run
from tests.terminals import in_terminal

from .conftest import Here

# Imported and waiting, so that two of them begin at the same moment.
_GATED = (
    "import sys; from cruddur_cli import cli; from cruddur_cli.commands import front; sys.stdin.read(1); cli.main()"
)


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
    assert "Andrew Bayko @bayko" in ran.out
    assert SEEDED in ran.out
    commands = re.findall(r"^  (cruddur \S+ \S+)", ran.err.partition("Next:")[2], re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        assert cruddur(*command.split()[1:]).code == 0
    ids = json.loads(cruddur("db", "update-cognito-user-ids", "-o", "json").out)
    assert {row["result"] for row in ids["items"]} == {"unchanged"}


def test_the_second_run_says_that_nothing_had_to_be_done_and_changes_no_row(fresh: dict[str, str], here: Here) -> None:
    assert here("setup").code == 0
    before = dumps.rows(fresh["CONNECTION_URL"]), dumps.items(fresh)
    assert len(before[1]) == 124
    ran = here("setup")
    assert ran.code == 0
    assert "Nothing had to be done" in ran.err
    assert (dumps.rows(fresh["CONNECTION_URL"]), dumps.items(fresh)) == before
    assert json.loads(here("setup", "-o", "json").out)["changed"] == 0


def test_a_run_that_was_killed_anywhere_is_completed_by_the_next(fresh: dict[str, str], cruddur: Run) -> None:
    dice = random.Random()
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


def test_config_shows_each_value_its_origin_and_no_password(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTION_URL", "postgresql://me:s3cr/et@db.example:5432/cruddur")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    Path("cruddur.toml").write_text('my_handle = "londo"\n')
    ran = here("config", "-o", "json", "--table", "my-table")
    shown = {item["setting"]: (item["value"], item["origin"]) for item in json.loads(ran.out)["items"]}
    assert shown["environment"] == ("local", "default")
    assert shown["connection_url"] == ("postgresql://me:***@db.example:5432/cruddur", "CONNECTION_URL")
    assert shown["table"] == ("my-table", "--table")
    assert shown["region"] == ("eu-north-1", "AWS_DEFAULT_REGION")
    assert shown["my_handle"] == ("londo", str(Path.cwd() / "cruddur.toml"))
    assert shown["other_handle"] == ("bayko", "default")
    assert shown["user_pool_id"][0] is None
    assert json.loads(here("config", "--prod", "-o", "json").out)["items"][0]["value"] == "production"
    assert "s3cr" not in here("config").out


def test_config_says_what_an_unset_value_means_in_production(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONNECTION_URL", "AWS_ENDPOINT_URL_DYNAMODB"):
        monkeypatch.delenv(name)

    def shown(*options: str) -> dict[str, str]:
        ran = here("config", "-o", "json", *options)
        return {item["setting"]: item["origin"] for item in json.loads(ran.out)["items"] if item["value"] is None}

    assert shown()["connection_url"] == "unset: the embedded PostgreSQL"
    there = shown("--prod")
    assert there["connection_url"] == "unset: an error, never another database"
    assert there["dynamodb_endpoint"] == there["cognito_endpoint"] == "unset: AWS"
    # Nothing of this machine counts there.
    assert not [origin for origin in there.values() if "embedded" in origin or "demo" in origin]
