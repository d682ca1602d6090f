"""The line that a command prints about the store that it opens, and the question that it asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cruddur_cli.aws import user_pool
from cruddur_cli.aws_client.client import Endpoint
from cruddur_cli.commands.shared import connections, local_databases, targets
from cruddur_cli.dynamodb import tables
from cruddur_cli.errors import NotConfigured, NotFound
from cruddur_cli.local import addresses
from cruddur_cli.postgres import production_marker
from cruddur_cli.postgres.connection import Server
from cruddur_cli.settings import Settings, load
from tests.commands.conftest import Here
from tests.conftest import NOWHERE
from tests.recorders import recorder


def test_a_command_asks_the_server_it_was_told_and_no_other(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    with recorder("dynamodb") as (named, asked), recorder("dynamodb") as (other, others):
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", named)
        monkeypatch.setenv("AWS_ENDPOINT_URL", other)
        monkeypatch.setenv("CRUDDUR_LOCAL_DYNAMODB", other)
        ran = here("ddb", "list-tables", "-o", "jsonl")
        assert ran.out == '{"table_name": "recorded"}\n'
        assert (asked, others) == (["ListTables"], [])


def test_a_dynamodb_at_a_public_address_is_printed_and_needs_its_name(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "_is_public", lambda host: host == "127.0.0.1")
    monkeypatch.setattr(addresses, "is_aws", lambda url: False)
    monkeypatch.setattr(targets, "_ASKED", {})
    monkeypatch.setattr(targets, "_is_rds", lambda at: False)
    assert here("ddb", "schema-load", "-q").err.startswith("remote: table ")
    assert "remote: table " in here("ddb", "scan", "-q").err
    ran = here("ddb", "drop", "--yes", "-q")
    assert ran.code == 6
    assert "--confirm" in ran.err


def test_an_endpoint_of_production_is_printed_for_reads_too(
    here: Here, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = environment["AWS_ENDPOINT_URL_DYNAMODB"]
    file = tmp_path / "home" / "cruddur.toml"
    file.write_text(f'[prod]\ndynamodb_endpoint = "{aws}"\n')
    for name, value in {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "me", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    err = here("ddb", "list-tables", "--prod", "-q").err
    assert err.startswith("production: ")
    assert str(file) in err


# What is said and checked when a store is opened. No request is sent.


def settings(**options: Any) -> Settings:
    return load(options, environ={"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}, folder=Path("/"))


def dynamodb_at(url: str | None = NOWHERE, **more: Any) -> Endpoint:
    return Endpoint("dynamodb", url, **{"region": "eu-west-1", "label": "DynamoDB there", **more})


@pytest.mark.parametrize(
    ("options", "at", "changes", "said"),
    [
        ({}, dynamodb_at(), False, ""),
        ({}, dynamodb_at(), True, "local: table cruddur-messages in eu-west-1, DynamoDB there"),
        ({}, dynamodb_at(region=None), True, "local: table cruddur-messages, DynamoDB there"),
        (
            {},
            dynamodb_at(embedded=True),
            True,
            f"local: table cruddur-messages in eu-west-1, DynamoDB there at {NOWHERE}",
        ),
        ({}, dynamodb_at("http://8.8.8.8"), False, "remote: table cruddur-messages in eu-west-1, DynamoDB there"),
        ({"prod": True}, dynamodb_at(None, own=True), False, ""),
        (
            {"prod": True},
            dynamodb_at(None, own=True),
            True,
            "production: table cruddur-messages in eu-west-1, DynamoDB there",
        ),
        (
            {"prod": True},
            dynamodb_at("http://127.0.0.1:9", own=True),
            False,
            "production: table cruddur-messages in eu-west-1, DynamoDB there (default)",
        ),
    ],
)
def test_the_table_that_a_command_acts_on_is_printed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
    at: Endpoint,
    changes: bool,
    said: str,
) -> None:
    monkeypatch.setattr(tables, "refuse_production", lambda opened: None)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("COLUMNS", "300")
    with connections.dynamodb(settings(**options), changes=changes, at=at) as opened:
        assert (opened.table, opened.at) == ("cruddur-messages", at)
    assert capsys.readouterr().err.strip() == said


@pytest.mark.parametrize(
    ("options", "changes", "is_checked"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"dry_run": True}, True, False),
        ({"prod": True}, True, False),
    ],
)
def test_a_store_is_checked_for_the_mark_of_production_before_it_is_changed(
    database: str, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], changes: bool, is_checked: bool
) -> None:
    checked: list[str] = []
    forgotten: list[Settings] = []
    monkeypatch.setattr(tables, "refuse_production", lambda opened: checked.append("table"))
    monkeypatch.setattr(production_marker, "refuse", lambda conn, label: checked.append(label))
    monkeypatch.setattr(local_databases, "forget_handles", forgotten.append)
    monkeypatch.setattr(local_databases, "remember_own", lambda *_: None)
    s, at = settings(**options), replace(Server.at(database), label="the database")
    with connections.dynamodb(s, changes=changes, at=dynamodb_at(region="us-east-1")):
        pass
    with connections.postgres(s, changes=changes, at=at) as conn:
        assert conn.execute("SELECT current_database()").fetchone() == (at.database,)
    assert checked == (["table", "the database"] if is_checked else [])
    assert forgotten == ([s] if changes and not s.dry_run else [])


def test_a_database_is_printed_before_it_is_changed_and_not_where_it_is_read(
    database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(local_databases, "remember_own", lambda *_: None)
    at = replace(Server.at(database), label="the database")
    with connections.postgres(settings(), at=at):
        assert capsys.readouterr().err == ""
    with connections.postgres(settings(), changes=True, at=at):
        assert capsys.readouterr().err.strip() == f"local: the database as {at.user}"


def test_a_mark_of_production_is_looked_for_only_without_prod_and_by_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[bool, bool]] = []

    @contextmanager
    def postgres(s: Settings, *, changes: bool = False, at: Server) -> Iterator[None]:
        opened.append((changes, at.read_only))
        yield None

    monkeypatch.setattr(connections, "postgres", postgres)
    monkeypatch.setattr(production_marker, "refuse", lambda conn, label: None)
    at = Server.at("postgresql://me@127.0.0.1:9/mine")
    connections.refuse_stamped(settings(prod=True), at)
    assert opened == []
    connections.refuse_stamped(settings(), at)
    assert opened == [(False, True)]


@pytest.mark.parametrize("explain", [True, False])
def test_requests_are_explained_where_that_is_wanted(monkeypatch: pytest.MonkeyPatch, explain: bool) -> None:
    explained: list[str] = []
    monkeypatch.setattr(connections, "_explain", lambda model, **_: explained.append(model.name))
    with connections.dynamodb(settings(explain=explain), at=dynamodb_at()) as opened:
        opened.client.meta.events.emit("provide-client-params.dynamodb.Query", model=SimpleNamespace(name="Query"))
    assert explained == (["Query"] if explain else [])


@pytest.mark.parametrize(
    ("pool", "embedded", "demo", "found"),
    [
        ("eu-west-1_own", False, "demo", "eu-west-1_own"),
        ("eu-west-1_own", True, "demo", "demo"),
        (None, True, "demo", "demo"),
        (None, False, "demo", "demo"),
        (None, True, None, None),
    ],
)
def test_the_pool_is_the_named_one_and_in_the_embedded_cognito_the_demo_pool(
    monkeypatch: pytest.MonkeyPatch, pool: str | None, embedded: bool, demo: str | None, found: str | None
) -> None:
    monkeypatch.setattr(user_pool, "require_pool", lambda client, at: demo)
    at = Endpoint("cognito-idp", NOWHERE, "us-east-1", embedded=embedded)
    s = replace(settings(), user_pool_id=pool)
    if found is None:
        with pytest.raises(NotFound, match="There is no user pool"), connections.cognito(s, at=at):
            pass
        return
    with connections.cognito(s, at=at) as cognito:
        assert (cognito.pool, cognito.at) == (found, at)


def test_production_needs_its_pool_and_prints_its_own_endpoint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("COLUMNS", "300")
    prod = settings(prod=True)
    for url, said in ((None, ""), (NOWHERE, "production: Cognito there (default)")):
        at = Endpoint("cognito-idp", url, "us-east-1", "Cognito there", own=True)
        with (
            pytest.raises(NotConfigured, match="AWS_COGNITO_USER_POOL_ID is not set"),
            connections.cognito(prod, at=at),
        ):
            pass
        with connections.cognito(replace(prod, user_pool_id="p"), at=at) as cognito:
            assert cognito.pool == "p"
        assert capsys.readouterr().err.strip() == said
    with connections.cognito(replace(settings(), user_pool_id="p"), at=Endpoint("cognito-idp", NOWHERE, "us-east-1")):
        assert capsys.readouterr().err == ""
