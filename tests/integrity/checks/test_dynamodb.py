"""The checks of the table that no engine of the tests can be broken into."""

from __future__ import annotations

from dataclasses import replace

from cruddur_cli.integrity import rows
from cruddur_cli.integrity.checks import CHECKS
from cruddur_cli.integrity.model import TableFacts, findings
from tests.integrity.facts import FACTS

TABLE = TableFacts(
    label="DynamoDB",
    keys="k",
    expected_keys="k",
    index_keys="i",
    expected_index_keys="i",
    projection="ALL",
    write_capacity=5,
    index_write_capacity=5,
    stream_view=None,
    is_production=None,
    rows=rows.collect([], now=FACTS.now),
)


def test_throttled_requests_are_a_finding_with_a_remedy_that_fits_the_billing() -> None:
    assert findings(CHECKS, replace(FACTS, table=TABLE)) == []
    (found,) = findings(CHECKS, replace(FACTS, table=replace(TABLE, throttled=1)))
    assert (found.check, found.evidence) == ("requests-throttled", "1 request of this command throttled")
    assert found.remedy == "cruddur ddb setup --on-demand"
    on_demand = replace(TABLE, throttled_in_a_day=2, write_capacity=None, index_write_capacity=None)
    (found,) = findings(CHECKS, replace(FACTS, table=on_demand))
    assert found.remedy == "cruddur ddb stats"
