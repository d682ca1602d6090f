"""The settings in effect: each value with its origin, and no password."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands.conftest import Here
from tests.conftest import Run
from tests.output.widths import fits


def test_settings_are_a_table_in_eighty_columns_and_blocks_in_forty(cruddur: Run) -> None:
    url = "postgresql://cruddur:secret@db.example.com:5432/cruddur?sslmode=require"
    lines = fits(cruddur("config", env={"COLUMNS": "80", "CONNECTION_URL": url}).out, 80)
    assert lines[0].split() == ["setting", "value", "origin"]
    assert len(lines) < 45
    assert [line for line in lines if line.startswith("security_group_rule_id ")]
    assert fits(cruddur("config", env={"COLUMNS": "40"}).out, 40)[:3] == ["environment", "  local", "  default"]


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


def test_config_shows_what_an_unset_value_means_in_production(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONNECTION_URL", "AWS_ENDPOINT_URL_DYNAMODB"):
        monkeypatch.delenv(name)

    def shown(*options: str) -> dict[str, str]:
        ran = here("config", "-o", "json", *options)
        return {item["setting"]: item["origin"] for item in json.loads(ran.out)["items"] if item["value"] is None}

    assert "connection_url" not in shown(), "the embedded PostgreSQL runs, so its address is shown"
    monkeypatch.setenv("CRUDDUR_HOME", str(Path.cwd() / "nothing-runs-here"))
    assert shown()["connection_url"] == "not set: the embedded PostgreSQL"
    there = shown("--prod")
    assert there["connection_url"] == "not set: an error, never another database"
    assert there["dynamodb_endpoint"] == there["cognito_endpoint"] == "not set: AWS"
    # Nothing of this machine counts there.
    assert not [origin for origin in there.values() if "embedded" in origin or "demo" in origin]
