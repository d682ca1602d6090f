"""The findings of ``doctor`` about this machine: each problem alone gives one finding."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cruddur_cli import times
from cruddur_cli.local import home as homes
from tests.commands.conftest import Here
from tests.commands.production import Run, make_table, production
from tests.conftest import Engines
from tests.integrity.doctored import World, world

__all__ = ["production", "world"]


def _checks(ran: Any) -> list[str]:
    assert ran.code in {0, 1}, ran.err
    return [item["check"] for item in json.loads(ran.out)["items"]]


def test_variables_that_contradict_each_other_are_a_finding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:secret@localhost/another")
    found = world.found()
    assert list(found) == ["variables-contradict"]
    assert "CONNECTION_URL and DATABASE_URL" in found["variables-contradict"]["evidence"]
    assert "secret" not in json.dumps(found)


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"])
def test_another_endpoint_for_the_same_store_is_a_finding(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    found = world.found()
    assert list(found) == ["variables-contradict"]
    assert name in found["variables-contradict"]["evidence"]


def test_two_spellings_of_one_address_are_no_finding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    url = world.environment["AWS_ENDPOINT_URL_DYNAMODB"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", url.replace("127.0.0.1", "localhost") + "/")
    database = world.environment["CONNECTION_URL"]
    monkeypatch.setenv("DATABASE_URL", database.replace("postgresql://", "postgres://"))
    assert world.found() == {}


def test_a_variable_that_hides_a_value_of_cruddur_toml_is_a_finding(world: World) -> None:
    Path("cruddur.toml").write_text('connection_url = "postgresql://user:secret@localhost/another"\n')
    found = world.found()
    assert list(found) == ["variables-contradict"]
    assert "connection_url in cruddur.toml" in found["variables-contradict"]["evidence"]
    assert "secret" not in json.dumps(found)
    Path("cruddur.toml").write_text(f'connection_url = "{world.environment["CONNECTION_URL"]}"\n')
    assert world.found() == {}


def test_an_old_python_is_a_finding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 9, "final", 0))
    found = world.found()
    assert list(found) == ["python-version"]
    assert "3.10.9" in found["python-version"]["evidence"]


def test_a_disk_that_is_nearly_full_is_a_finding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    assert list(world.found()) == ["disk-full"]


# Clocks.


@pytest.mark.parametrize(("minutes", "words"), [(5, "behind"), (-5, "ahead")])
def test_a_clock_that_differs_from_the_servers_is_a_finding(
    world: World, monkeypatch: pytest.MonkeyPatch, minutes: int, words: str
) -> None:
    read = times.of_this_machine
    monkeypatch.setattr(times, "of_this_machine", lambda: read() + timedelta(minutes=minutes))
    found = world.found()
    assert list(found) == ["clock-differs"]
    assert found["clock-differs"]["evidence"].count(f" {words}") == 2, "PostgreSQL and DynamoDB"


def test_half_a_minute_between_two_clocks_is_no_finding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    read = times.of_this_machine
    monkeypatch.setattr(times, "of_this_machine", lambda: read() + timedelta(seconds=30))
    assert world.found() == {}


# Hosts.


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the names of this machine resolve."""
    ask = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **more: Any) -> Any:
        if host not in {"localhost", "127.0.0.1", "::1", None}:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ask(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"])
def test_a_host_that_does_not_resolve_is_named_where_its_store_does_not_answer(
    world: World, monkeypatch: pytest.MonkeyPatch, unknown: None, name: str
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB")
    monkeypatch.setenv(name, "http://dynamodb-local:9")
    found = world.found()
    assert list(found) == ["host-unresolved"]
    assert f"{name} names the host dynamodb-local" in found["host-unresolved"]["evidence"]
    assert "localhost does not answer" in found["host-unresolved"]["evidence"]


def test_a_database_host_that_does_not_resolve_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch, unknown: None
) -> None:
    monkeypatch.setenv("CONNECTION_URL", "postgresql://user:secret@database.invalid:5432/cruddur")
    found = world.found()
    assert list(found) == ["host-unresolved"]
    assert "CONNECTION_URL names the host database.invalid" in found["host-unresolved"]["evidence"]
    assert "secret" not in json.dumps(found)


def test_a_host_of_production_that_does_not_resolve_is_named(
    production: Run, monkeypatch: pytest.MonkeyPatch, unknown: None
) -> None:
    make_table(items=0)
    monkeypatch.setenv("PROD_CONNECTION_URL", "postgresql://user:secret@db:5432/cruddur")
    ran = production("doctor", "--prod", "-o", "json")
    assert _checks(ran) == ["host-unresolved", "table-not-marked"]
    assert "secret" not in ran.out + ran.err
    assert "PROD_CONNECTION_URL names the host db, which does not resolve here" in ran.out
    assert "localhost" not in ran.out


def test_a_name_of_compose_that_leads_to_this_machine_is_no_finding(
    world: World, monkeypatch: pytest.MonkeyPatch, unknown: None
) -> None:
    url = world.environment["AWS_ENDPOINT_URL_DYNAMODB"]
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", url.replace("127.0.0.1", "dynamodb-local"))
    ran = world.here("doctor", "-o", "json")
    assert _checks(ran) == []
    assert "names the host dynamodb-local, which does not resolve here: localhost is used" in ran.err


# The embedded stack.


@pytest.fixture
def stopped(
    here: Here, engines: Engines, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., dict[str, dict[str, Any]]]:
    """The findings of doctor if the embedded stack is needed and not running."""
    for name in ("CONNECTION_URL", "AWS_ENDPOINT_URL_DYNAMODB"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("CRUDDUR_HOME", str(tmp_path / "stopped"))

    def found() -> dict[str, dict[str, Any]]:
        ran = here("doctor", "-o", "json")
        assert ran.code == 1, ran.err
        return {item["check"]: item for item in json.loads(ran.out)["items"]}

    return found


def test_a_configured_folder_that_does_not_exist_is_reported(
    stopped: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    found = stopped()
    assert list(found) == ["engine-stopped"]
    assert f"its folder {tmp_path / 'stopped'} does not exist yet" in found["engine-stopped"]["evidence"]
    (tmp_path / "stopped").mkdir()
    assert "does not exist" not in stopped()["engine-stopped"]["evidence"]


def test_engines_that_are_not_installed_are_named_with_the_install_command(
    stopped: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if "pgserver" in name else find(name))
    found = stopped()
    assert set(found) == {"extra-missing", "engine-stopped"}
    assert "PostgreSQL" in found["extra-missing"]["evidence"]
    assert "[local]" in found["extra-missing"]["remedy"]
    assert "PostgreSQL" not in found["engine-stopped"]["evidence"]


def test_a_port_that_another_program_uses_is_named(stopped: Callable[[], dict[str, Any]], tmp_path: Path) -> None:
    home = tmp_path / "stopped"
    home.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        homes.write(home / homes.MARKER, {"engines": ["postgres", "aws"]})
        homes.write(home / "ports.json", {"postgres": port})
        found = stopped()
    assert set(found) == {"port-taken", "engine-stopped"}
    assert f"port {port} of the embedded PostgreSQL" in found["port-taken"]["evidence"]
    assert found["engine-stopped"]["evidence"].startswith("the embedded AWS does not run")
    assert list(stopped()) == ["engine-stopped"]


def test_an_engine_that_does_not_answer_is_not_taken_for_another_program(
    stopped: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    home = tmp_path / "stopped"
    (home / "aws").mkdir(parents=True)
    homes.write(home / homes.MARKER, {"engines": ["aws"]})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        homes.write(home / "ports.json", {"aws": silent.getsockname()[1]})
        lives = homes.hold(home / "aws" / "alive")
        assert lives is not None
        found = stopped()
        os.close(lives)
    assert set(found) == {"engine-silent", "engine-stopped"}
    assert found["engine-silent"]["evidence"] == "the embedded AWS runs but does not answer"
    assert found["engine-stopped"]["evidence"].startswith("the embedded PostgreSQL does not run")


def _is_a_file(home: Path) -> str:
    home.write_text("")
    return "it is not a folder"


def _is_below_a_file(home: Path) -> str:
    home.parent.joinpath("file").write_text("")
    os.environ["CRUDDUR_HOME"] = str(home.parent / "file" / "stack")
    return f"{home.parent / 'file'} is not a folder"


def _has_other_files(home: Path) -> str:
    home.mkdir()
    (home / "README.md").write_text("")
    return "is not a state directory of cruddur"


@pytest.mark.parametrize("break_it", [_is_a_file, _is_below_a_file, _has_other_files])
def test_a_folder_that_cannot_be_used_is_found_alone(
    stopped: Callable[[], dict[str, Any]], tmp_path: Path, break_it: Callable[[Path], str]
) -> None:
    words = break_it(tmp_path / "stopped")
    found = stopped()
    assert list(found) == ["home-unusable"]
    assert words in found["home-unusable"]["evidence"]


def test_a_folder_of_another_user_is_found_alone(
    stopped: Callable[[], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stopped").mkdir()
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    found = stopped()
    assert list(found) == ["home-unusable"]
    assert "belongs to another user" in found["home-unusable"]["evidence"]


def test_a_folder_that_cannot_be_written_is_found_alone(
    stopped: Callable[[], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    found = stopped()
    assert list(found) == ["home-unusable"]
    assert f"you cannot create it in {tmp_path}" in found["home-unusable"]["evidence"]


def test_a_relative_folder_is_a_finding(world: World, engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRUDDUR_HOME", os.path.relpath(engines.home))
    found = world.found()
    assert list(found) == ["home-relative"]
    assert found["home-relative"]["remedy"] == f"export CRUDDUR_HOME={engines.home}"


# Credentials.


def test_missing_credentials_are_found_once(production: Run, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROD_CONNECTION_URL", database)
    monkeypatch.setenv("AWS_COGNITO_USER_POOL_ID", "eu-central-1_pool")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    ran = production("doctor", "--prod", "-o", "json")
    assert _checks(ran) == ["credentials-missing", "database-not-marked"]


@pytest.mark.parametrize(("minutes", "words"), [(-5, "expired at"), (9, "expire in 9 minutes"), (60, "")])
def test_credentials_that_expire_are_found(
    production: Run, database: str, monkeypatch: pytest.MonkeyPatch, minutes: int, words: str
) -> None:
    make_table(items=0)
    monkeypatch.setenv("PROD_CONNECTION_URL", database)
    moment = times.now() + timedelta(minutes=minutes)
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", moment.isoformat())
    if minutes <= 0:  # the SDK itself refuses those that have expired
        ran = production("doctor", "--prod", "-o", "json")
        assert "credentials-expire" in _checks(ran)
    else:
        ran = production("doctor", "--prod", "-o", "json")
        assert _checks(ran) == [*["credentials-expire"] * bool(words), "database-not-marked", "table-not-marked"]
    assert words in ran.out


def test_credentials_do_not_matter_where_nothing_of_aws_is_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "old")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "old")
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "2020-01-01T00:00:00Z")
    assert world.found() == {}
