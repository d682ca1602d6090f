"""The embedded stack for an application: variables, a program that uses them, tokens, and two projects."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import runs
from tests.conftest import NOWHERE, Engines, Run

from ..conftest import Here, parsed

BACKEND = Path(__file__).parents[1] / "backend.py"
GROUP = "5ae290ed-55d1-47a0-bc6d-fe2bc2700399"


class Project:
    """A folder with its own embedded stack; the environment has only the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        folder.chmod(0o711)
        (folder / "cruddur.toml").write_text('[local]\nhome = "state/stack"\n', encoding="utf-8")
        (folder / "state").mkdir(mode=0o711)
        self.environ = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "HOME": str(folder),
            "CRUDDUR_LOCAL_DYNAMODB": NOWHERE,
            **{name: os.environ[name] for name in (runs.VARIABLE, "PYTHONPATH") if name in os.environ},
        }

    def start(
        self, *arguments: str, env: dict[str, str] | None = None, folder: Path | None = None
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "cruddur_cli", *arguments],
            env=self.environ | (env or {}),
            cwd=folder or self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def cruddur(self, *arguments: str, env: dict[str, str] | None = None, code: int = 0) -> str:
        process = self.start(*arguments, env=env)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, err
        return out if code == 0 else err

    def variables(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.cruddur("local", "env", "-o", "json"))
        return found

    def token(self, handle: str) -> str:
        return self.cruddur("cognito", "token", handle).strip()


@pytest.fixture(scope="module")
def projects(this_run: runs.Run) -> Iterator[tuple[Project, Project]]:
    """Two folders, each after `cruddur setup`."""
    base = this_run.own(f"projects-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}")
    both = Project(base / "one"), Project(base / "two")
    try:
        started = [project.start("setup") for project in both]
        for process in started:
            _, err = process.communicate(timeout=180)
            assert process.returncode == 0, err
            assert "password Cruddur-demo-1" in err
        yield both
    finally:
        for project in both:
            project.cruddur("local", "reset", "--yes")


@contextmanager
def backend(project: Project, port_file: Path) -> Iterator[str]:
    """The address of a backend that `cruddur local run` has started in a project."""
    process = project.start("local", "run", "--", sys.executable, str(BACKEND), str(port_file))
    try:
        deadline = time.monotonic() + 60
        while not port_file.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port_file.read_text()}/api"
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM


def ask(url: str, token: str, body: dict[str, str] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Authorization": f"Bearer {token}"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        return json.load(answer)


def test_a_backend_lists_and_writes_and_cruddur_shows_it(projects: tuple[Project, Project], tmp_path: Path) -> None:
    one, other = projects
    token = one.token("bayko")
    with backend(one, tmp_path / "port") as api:
        assert ask(f"{api}/profile", token)["handle"] == "bayko"
        before = ask(f"{api}/activities", token)
        ask(f"{api}/activities", token, {"message": "written by the application"})
        assert ask(f"{api}/activities", token) == [
            *before,
            {"message": "written by the application", "handle": "bayko"},
        ]
        (group,) = ask(f"{api}/message_groups", token)
        assert (group["message_group_uuid"], group["user_handle"]) == (GROUP, "andrewbrown")
        sent = ask(f"{api}/messages/{GROUP}", token, {"message": "hello from the application"})
        listed = ask(f"{api}/messages/{GROUP}", token)
        assert (len(listed), listed[0]["message_uuid"]) == (20, sent["message_uuid"])
        for stranger in (other.token("bayko"), token[:-8] + "AAAAAAAA", ""):
            with pytest.raises(urllib.error.HTTPError, match="401"):
                ask(f"{api}/profile", stranger)
    shown = json.loads(one.cruddur("ddb", "get-conversation", "-o", "json", "--limit", "1"))["items"]
    assert (shown[0]["message"], shown[0]["user_handle"]) == ("hello from the application", "bayko")
    elsewhere = json.loads(other.cruddur("ddb", "get-conversation", "-o", "json", "--limit", "1"))["items"]
    assert elsewhere[0]["message"] != "hello from the application"


def test_two_projects_have_nothing_in_common(projects: tuple[Project, Project]) -> None:
    one, other = (project.variables() for project in projects)
    shared = {name for name, value in one.items() if other[name] == value}
    assert shared == {
        "DDB_MESSAGE_TABLE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    }
    assert one["CRUDDUR_HOME"] == str(projects[0].folder / "state" / "stack")


def test_a_second_checkout_on_the_same_stack_is_told_so_until_it_is_set_up(projects: tuple[Project, Project]) -> None:
    project, _ = projects
    for name in ("first", "second"):
        (project.folder / name / ".git").mkdir(parents=True)
    first = project.folder / "first"
    message = (
        f"the embedded stack in {project.folder / 'state' / 'stack'} is also that of {first}; for a stack of its own:"
    )
    again = (("first", False), ("first", False), ("second -n", True), ("second", True), ("second", False))
    for words, is_said in (*again, ("first", False)):
        name, *options = words.split()
        process = project.start("setup", *options, folder=project.folder / name)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert ("is also that of" in err) is (message in err) is is_said, words


def test_all_of_a_stack_is_in_its_folder(projects: tuple[Project, Project]) -> None:
    for engine in json.loads(projects[0].cruddur("local", "status", "-o", "json"))["items"]:
        assert engine["state"] == "running"
        assert Path(engine["data_dir"]).is_relative_to(projects[0].folder)


def test_config_shows_the_addresses_of_the_stack_that_runs(projects: tuple[Project, Project]) -> None:
    one, _ = projects
    env = one.variables()
    items = json.loads(one.cruddur("config", "-o", "json"))["items"]
    shown = {item["setting"]: (item["value"], item["origin"]) for item in items}
    login, _, place = env["CONNECTION_URL"].rpartition("@")
    assert shown["connection_url"] == (f"postgresql://cruddur:***@{place}", "the embedded PostgreSQL")
    assert login.rpartition(":")[2] not in str(items)
    for name in ("dynamodb_endpoint", "cognito_endpoint"):
        assert shown[name] == (env["AWS_ENDPOINT_URL"], "the embedded AWS")
    assert shown["home"] == ("state/stack", f"{one.folder / 'cruddur.toml'}, [local]")


def test_commands_in_that_environment_use_the_same_stack(projects: tuple[Project, Project]) -> None:
    one, other = projects
    env = one.variables()
    assert one.variables() == json.loads(one.cruddur("local", "env", "-o", "json", env=env))
    # In the other project's folder the variables count, as everywhere.
    shown = json.loads(other.cruddur("ddb", "get-conversation", "-o", "json", env=env))
    assert shown["consumed_capacity"]["source"] == "computed"
    assert "remote" not in one.cruddur("setup", env=env)
    assert other.cruddur("cognito", "token", "bayko", env=env).count(".") == 2
    listed = json.loads(other.cruddur("cognito", "list-users", "-o", "json", env=env))["items"]
    assert listed == json.loads(one.cruddur("cognito", "list-users", "-o", "json"))["items"]


def test_the_variables_lead_to_a_stack_that_was_stopped_too(projects: tuple[Project, Project]) -> None:
    one, _ = projects
    env = one.variables()
    one.cruddur("local", "down")
    one.cruddur("db", "ping", env=env)
    assert json.loads(one.cruddur("ddb", "scan", "-o", "json", env=env))["consumed_capacity"]["source"] == "computed"
    assert one.variables() == env


def test_production_never_gets_the_dummy_credentials(projects: tuple[Project, Project]) -> None:
    one, _ = projects
    env = one.variables()
    for command in (["ddb", "list-tables"], ["ddb", "scan"], ["cognito", "list-users"]):
        err = one.cruddur(*command, "--prod", env=env, code=3)
        assert "AWS_ACCESS_KEY_ID has the dummy value of `cruddur local env`" in err
    err = one.cruddur("rds", "status", env=env, code=3)
    assert "dummy" in err


def test_a_shell_and_a_dotenv_file_read_back_the_same(projects: tuple[Project, Project]) -> None:
    one, _ = projects
    found = one.variables()
    printed = 'eval "$(cruddur local env)"; env'
    out = subprocess.run(
        ["sh", "-c", printed], env=one.environ, cwd=one.folder, capture_output=True, text=True, check=True
    ).stdout
    assert dict(line.split("=", 1) for line in out.splitlines()).items() >= found.items()
    dotenv = one.cruddur("local", "env", "-o", "dotenv")
    # As GITHUB_ENV reads it: what is behind the first sign of equality, without quotes.
    assert dict(line.split("=", 1) for line in dotenv.splitlines()) == found


def test_an_own_connection_url_is_kept_and_the_rest_is_the_stacks(
    cruddur: Run, environment: dict[str, str], engines: Engines
) -> None:
    found = parsed(cruddur("local", "env", "-o", "json"))
    assert "CONNECTION_URL" not in found  # it is in the environment already, with its password
    assert (found["AWS_ENDPOINT_URL"], found["DDB_MESSAGE_TABLE"]) == (engines.aws, environment["DDB_MESSAGE_TABLE"])
    hidden = {"CONNECTION_URL": None, "DATABASE_URL": environment["CONNECTION_URL"]}
    assert parsed(cruddur("local", "env", "-o", "json", env=hidden))["CONNECTION_URL"] == environment["CONNECTION_URL"]


def test_special_characters_of_a_url_are_encoded_for_every_reader(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONNECTION_URL")
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:a$b%23c'd%22e%20f@localhost:5432/my%20db?sslmode=disable")
    expected = "postgresql://me:a%24b%23c%27d%22e%20f@localhost:5432/my%20db?sslmode=disable"
    assert f"CONNECTION_URL={expected}\n" in here("local", "env", "-o", "dotenv").out
    assert parsed(here("local", "env", "-o", "json"))["CONNECTION_URL"] == expected


@pytest.mark.parametrize("command", [["env"], ["run", "--prod", "--", "true"], ["up"], ["status"], ["logs"]])
def test_the_embedded_stack_has_no_production(here: Here, command: list[str]) -> None:
    ran = here("local", *command, *([] if "--prod" in command else ["--prod"]))
    assert (ran.code, ran.out) == (2, "")
    program = ["--", "true"] if command[0] == "run" else []
    assert f"next: cruddur local {shlex.join([command[0], *program])}\n" in ran.err


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
)
def test_the_exit_code_of_a_program_is_passed_on(cruddur: Run, script: str, code: int) -> None:
    ran = cruddur("local", "run", "--", "sh", "-c", f"echo out; echo err >&2; {script}")
    assert (ran.code, ran.out, ran.err.splitlines()[-1]) == (code, "out\n", "err")


def test_a_program_gets_its_options_and_the_environment_as_it_was(cruddur: Run) -> None:
    code = "import os, sys; print(sys.argv[1:], os.environ['GITHUB_ACTIONS'], os.environ['AWS_ACCESS_KEY_ID'])"
    script = [sys.executable, "-c", code, "--prod", "-o", "json", "--no-color", "--", "prod"]
    for dashes in ([], ["--"]):
        ran = cruddur("local", "run", *dashes, *script, env={"GITHUB_ACTIONS": "true", "NO_COLOR": None})
        assert ran.out == "['--prod', '-o', 'json', '--no-color', '--', 'prod'] true cruddurlocal\n", ran.err


def test_a_program_that_does_not_exist_is_named(here: Here) -> None:
    ran = here("local", "run", "--", "no-such-program")
    assert ran.code == 2
    assert "no program 'no-such-program'" in ran.err


def test_a_dry_reset_names_its_folders_in_json(here: Here, engines: Engines) -> None:
    ran = here("local", "reset", "--dry-run", "-o", "json")
    shown = json.loads(ran.out)
    assert (ran.code, shown["deleted"], shown["dry_run"]) == (0, 0, True)
    assert {item["result"] for item in shown["items"]} == {"would be deleted"}


def test_the_logs_of_the_engines_are_shown(here: Here, engines: Engines) -> None:
    shown = here("local", "logs", "postgres", "--lines", "3")
    assert shown.code == 0
    assert all(line.startswith("postgres | ") for line in shown.out.splitlines())
    items = parsed(here("local", "logs", "--lines", "1000000", "-o", "json"))["items"]  # other tests write there, too
    assert {item["engine"] for item in items} <= {"postgres", "aws"}
    assert any("ready to accept connections" in item["line"] for item in items)


def test_a_token_is_for_a_person_of_the_demo_pool(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    assert here("setup").code == 0
    item = parsed(here("cognito", "token", "bayko", "-o", "json"))["items"][0]
    assert (item["handle"], item["access_token"].count(".")) == ("bayko", 2)
    ran = here("cognito", "token", "baykoo")
    assert ran.code == 5
    assert "andrewbrown, " in ran.err
    assert "Did you mean 'bayko'?" in ran.err
    monkeypatch.setenv("AWS_COGNITO_USER_POOL_ID", "ca-central-1_Pool")
    ran = here("cognito", "token", "bayko")
    assert (ran.code, ran.out) == (6, "")
    assert "demo pool only" in ran.err


def test_the_variables_of_a_shell_survive_a_reset(this_run: runs.Run) -> None:
    project = Project(this_run.own(f"stale-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}") / "one")
    try:
        project.cruddur("setup")
        stale = project.variables()
        process = project.start("local", "reset", "--yes", env=stale)
        _, err = process.communicate(timeout=120)
        assert (process.returncode, 'eval "$(cruddur local env)"' in err) == (0, True), err
        project.cruddur("setup", env=stale)
        project.cruddur("db", "ping", env=stale)
        fresh = json.loads(project.cruddur("local", "env", "-o", "json", env=stale))
        assert fresh == project.variables()
        assert fresh["CONNECTION_URL"] != stale["CONNECTION_URL"]
    finally:
        project.cruddur("local", "reset", "--yes")
