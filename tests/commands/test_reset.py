"""``cruddur ddb reset``: checks before the drop, and the settings of the new table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cruddur_cli.dynamodb import table_settings, tables
from cruddur_cli.dynamodb.client import DynamoDB
from tests.commands.conftest import Here, parsed
from tests.commands.production import TABLE, client, production
from tests.conftest import Ran

__all__ = ["production"]
from tests.dynamodb.rows import everything


def test_a_reset_names_what_cannot_be_kept_and_keeps_the_rest(here: Here, table: DynamoDB) -> None:
    assert here("ddb", "setup", "--on-demand", "--stream").code == 0
    before = table_settings.read(table)
    ran = here("ddb", "reset")
    assert ran.code == 6
    assert f"the stream's ARN {before.stream_arn}: create the event source mapping of a Lambda again" in ran.err
    assert everything(table) != []
    assert here("ddb", "reset", "-n").code == 0
    assert table_settings.read(table) == before
    ran = here("ddb", "reset", "--yes")
    assert ran.code == 0, ran.err
    assert "settings kept: on demand, stream NEW_IMAGE" in ran.err
    after = table_settings.read(table)
    assert (after.create, after.stream_arn == before.stream_arn) == (before.create, False)
    assert len(parsed(here("ddb", "list-conversations", "-o", "json"))["items"]) == 1


@pytest.mark.parametrize("arguments", [("--script", "bad.txt"), ("--my-handle", "nobody")])
def test_a_reset_that_could_not_rebuild_drops_nothing(here: Here, table: DynamoDB, arguments: tuple[str, ...]) -> None:
    assert here("ddb", "setup").code == 0
    before = everything(table)
    Path("bad.txt").write_text("Person 3: hello\n")
    assert here("ddb", "reset", "--yes", *arguments).code != 0
    assert everything(table) == before


def test_on_demand_changes_a_provisioned_table_and_reports_it(here: Here, table: DynamoDB) -> None:
    assert here("ddb", "schema-load").code == 0
    ran = here("ddb", "schema-load", "--on-demand", "-n")
    assert "billing: would change from provisioned, 5 RCU / 5 WCU to on demand" in ran.err
    for command in ("schema-load", "setup"):
        ran = here("ddb", command, "--on-demand")
        assert ran.code == 0, ran.err
        assert ("billing: changed from provisioned" in ran.err) == (command == "schema-load")
        assert tables.describe(table).billing == "on demand"


def test_a_reset_of_a_missing_table_of_production_needs_its_name(
    production: Callable[..., Ran], database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost, but mock data is written, as by ``setup``."""
    monkeypatch.setenv("PROD_CONNECTION_URL", database)
    for answer in ((), ("--yes",), ("--confirm", "wrong")):
        ran = production("ddb", "reset", "--prod", *answer)
        assert (ran.code, f"--confirm {TABLE}" in ran.err) == (6, True), ran.err
    assert client("dynamodb").list_tables()["TableNames"] == []
    assert production("ddb", "reset", "--prod", "--confirm", TABLE).code == 0
