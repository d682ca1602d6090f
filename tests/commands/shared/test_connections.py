"""The line that a command prints about the store that it opens, and the question that it asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from cruddur_cli.commands.shared import targets
from cruddur_cli.local import addresses
from tests.commands.conftest import Here
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
