"""Commands as steps of a job of GitHub Actions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cruddur_cli.output import github
from tests.output.test_github import annotation

from .conftest import Here, parsed


@pytest.fixture
def job(here: Here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The checkout of the job, in which each command is a step. ``summary.md`` beside the checkout is its summary."""
    checkout = tmp_path / "checkout"
    migrations = checkout / "backend-flask" / "db" / "migrations"
    migrations.mkdir(parents=True)
    monkeypatch.chdir(checkout)
    for name, value in {"ACTIONS": "true", "WORKSPACE": str(checkout)}.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    return checkout


def summary(job: Path) -> str:
    file = job.parent / "summary.md"
    return file.read_text(encoding="utf-8") if file.exists() else ""


def levels(err: str) -> list[str]:
    return [annotation(line).level for line in err.splitlines() if line.startswith("::")]


def annotated(err: str) -> list[tuple[str | None, str | None, str, str]]:
    found = [annotation(line) for line in err.splitlines() if line.startswith("::")]
    return [(p.get("file"), p.get("line"), p["title"], one.message) for one in found for p in [one.properties]]


@pytest.mark.parametrize(
    ("command", "file"),
    [
        (["db", "schema-load", "--yes"], "backend-flask/db/schema.sql"),
        (["db", "seed"], "backend-flask/db/seed.sql"),
        (["db", "reset", "--yes"], "backend-flask/db/schema.sql"),
        (["setup", "--file", "backend-flask/db/schema.sql"], "backend-flask/db/schema.sql"),
    ],
)
@pytest.mark.parametrize("output", ["table", "json"])
def test_a_refused_statement_is_annotated_at_its_line(
    here: Here, job: Path, monkeypatch: pytest.MonkeyPatch, database: str, command: list[str], file: str, output: str
) -> None:
    (job / file).write_text("SELECT 1;\n\nSELECT no_such,\n  column_either;\n", encoding="utf-8")
    if command[0] == "setup":
        monkeypatch.setenv("CONNECTION_URL", f"{database}_new")
    formats = ["-o", output] if command[1] != "schema-load" else []
    ran = here(*command, *formats)
    assert (ran.code, ran.out) == (5, "")
    assert levels(ran.err) == ["error"]
    ((named, line, title, message),) = annotated(ran.err)
    assert (named, line, title) == (file, "3", f"cruddur {' '.join(command[: 1 + (command[0] != 'setup')])}")
    assert 'column "no_such" does not exist' in message
    assert "3 | SELECT no_such," in message
    last = ran.err.splitlines()[-1]
    if formats == ["-o", "json"]:
        assert json.loads(last)["error"]["line"] == 3
    assert f"### ❌ `{title}`: exit code 5" in summary(job)
    assert 'column "no_such" does not exist' in summary(job)


def test_a_refused_migration_is_annotated_at_its_line(here: Here, job: Path) -> None:
    file = job / "backend-flask" / "db" / "migrations" / "1001_add_bio.sql"
    file.write_text("-- migrate:up\n\nALTER TABLE public.no_such ADD bio text;\n-- migrate:down\n", encoding="utf-8")
    ran = here("db", "migrate")
    assert ran.code == 5
    assert levels(ran.err) == ["error"]
    ((named, line, title, message),) = annotated(ran.err)
    assert (named, line, title) == (f"backend-flask/db/migrations/{file.name}", "3", "cruddur db migrate")
    assert '"public.no_such" does not exist' in message


def test_a_setup_summarizes_its_steps_and_not_the_messages(here: Here, job: Path) -> None:
    ran = here("setup", "-o", "json")
    assert parsed(ran)["count"] == 1
    assert annotated(ran.err) == []
    text = summary(job)
    assert text.startswith("### ✅ `cruddur setup`: done\n")
    assert text.count("###") == 1
    assert "| step | result | changed |" in text
    assert "Consumed capacity: " in text
    assert parsed(ran)["items"][0]["message"][:20] not in text


def test_each_finding_of_doctor_is_annotated_and_summarized(here: Here, job: Path) -> None:
    (job / "cruddur.toml").write_text('my_handle = "bayko"\n', encoding="utf-8")
    ran = here("doctor", "-o", "json")
    items = json.loads(ran.out)["items"]
    assert ran.code == 1
    assert levels(ran.err) == [github.LEVELS[item["severity"]] for item in items]
    found = annotated(ran.err)
    assert [title for _, _, title, _ in found] == [f"cruddur doctor: {item['check']}" for item in items]
    for (file, line, _, message), item in zip(found, items, strict=True):
        assert (file, line, message) == ("cruddur.toml", "1", f"{item['evidence']}.\nnext: {item['remedy']}")
    assert "### ❌ `cruddur doctor`: exit code 1" in summary(job)
    assert all(item["check"].replace("_", "\\_") in summary(job) for item in items)


def test_a_finding_of_doctor_is_annotated_at_the_migration_it_comes_from(
    here: Here, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert here("setup", "-q").code == 0
    migration = job / "backend-flask" / "db" / "migrations" / "1001_add_bio.sql"
    migration.write_text("-- migrate:up\nSELECT 1;\n-- migrate:down\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")  # the first command has changed the environment of this process
    found = {title: (file, line) for file, line, title, _ in annotated(here("doctor").err)}
    assert found["cruddur doctor: migrations-pending"] == (f"backend-flask/db/migrations/{migration.name}", "1")


def test_a_command_that_shows_data_writes_a_summary_only_with_summary(here: Here, job: Path) -> None:
    assert here("ddb", "setup", "--no-summary").code == 0
    assert here("ddb", "list-conversations").code == 0
    assert summary(job) == ""
    ran = here("ddb", "list-conversations", "--summary", "-o", "csv")
    assert ran.code == 0
    assert ran.out.startswith("message_group_uuid,")
    assert summary(job).startswith("### ✅ `cruddur ddb list-conversations`: done\n")
    assert "| message\\_group\\_uuid |" in summary(job)


def test_the_summary_of_a_scan_has_the_items_and_not_what_a_terminal_draws(here: Here, job: Path) -> None:
    assert here("ddb", "setup", "--no-summary").code == 0
    assert here("ddb", "scan", "--entity", "group", "--summary").code == 0
    assert "| bayko |" in summary(job)
    assert "entity" not in summary(job).partition("| pk |")[2]


def test_outside_a_job_there_is_no_summary_and_summary_warns(
    here: Here, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    assert "warning" not in here("db", "migration-status").err
    ran = here("db", "migration-status", "--summary")
    assert ran.code == 0
    assert "warning: --summary: GITHUB_STEP_SUMMARY is not set, so no summary was written" in ran.err
    assert summary(job) == ""


def test_no_folder_of_migrations_is_no_error_of_the_status(
    here: Here, job: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (job / "backend-flask" / "db" / "migrations").rmdir()
    assert here("db", "migration-status").code == 0
    assert here("db", "migrate").code == 0
    monkeypatch.chdir(tmp_path)
    ran = here("db", "migration-status", "-o", "json")
    assert parsed(ran)["items"] == []
    assert "there are no migrations here" in ran.err
    # What should apply files says that it knows of no place for them: the step may run in the wrong folder.
    assert here("db", "migrate").code == 3
