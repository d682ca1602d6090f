"""Who answers on a port, before it is taken for a store."""

from __future__ import annotations

import pytest

from cruddur_cli import probe
from cruddur_cli.errors import CannotConnect
from tests import faults


def test_who_speaks_dynamodb_is_told_from_who_does_not(endpoint: str) -> None:
    asked = ("dynamodb", "DynamoDB_20120810.ListTables", "{}", "TableNames")
    assert probe.answers(endpoint, *asked)
    assert not probe.answers(endpoint, *asked[:3], "SomethingElse")
    assert not probe.answers(faults.refused_url(), *asked)
    with faults.silent_server() as url, pytest.raises(CannotConnect, match="does not answer"):
        probe.answers(url, *asked, timeout_s=0.1)
