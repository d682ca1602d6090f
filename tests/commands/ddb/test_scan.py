"""``cruddur ddb scan``, ``stats`` and ``describe-table``: selections, the cost of a sample, and a table's two sizes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cruddur_cli.dynamodb import scanning
from tests.commands.conftest import Here, parsed


@pytest.fixture
def engine(here: Here, endpoint: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Here:
    """The commands, on each engine in turn."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
    return here


def read_units(body: Any) -> float:
    return float(body["consumed_capacity"]["read_units"])


@pytest.mark.parametrize("count", [30, 400])
def test_a_sample_never_costs_more_than_reading_all(engine: Here, count: int) -> None:
    assert engine("ddb", "setup", "--messages", str(count)).code == 0
    whole = read_units(parsed(engine("ddb", "stats", "-o", "json")))
    for number in (1, 5, 29, 100, 399, 402, 100_000):
        body = parsed(engine("ddb", "stats", "--sample", str(number), "-o", "json"))
        assert read_units(body) <= whole, number
        items = sum(row["items"] for row in body["items"])
        assert items <= number or not body["sample"]
        assert body["sample"] or items == count + 2
    assert "would cost as much" in engine("ddb", "stats", "--sample", "100000").err
    assert engine("ddb", "drop", "--yes").code == 0


def test_the_parts_of_a_sample_fit_into_the_price_of_the_table() -> None:
    assert scanning.sample_parts(100, items=124, size=30_000) == 2
    assert scanning.sample_parts(10, items=124, size=30_000) == 7
    assert scanning.sample_parts(10_000, items=1_000_000, size=300_000_000) == 100
    assert scanning.sample_parts(10, items=0, size=0) == 1
    assert scanning.sample_parts(500, items=500, size=100) == 0
    assert scanning.sample_parts(400, items=500, size=4000) == 0


def test_two_sizes_of_one_table_are_explained(engine: Here) -> None:
    assert engine("ddb", "setup").code == 0
    described = engine("ddb", "describe-table", "-o", "json")
    assert "cruddur ddb stats reads the table and counts them now" in described.err
    ran = engine("ddb", "stats", "-o", "json")
    size = sum(row["bytes"] for row in parsed(ran)["items"])
    assert ("this command counts them by DynamoDB's rules" in ran.err) == (
        parsed(described)["items"][0]["bytes"] != size
    )
    assert engine("ddb", "drop", "--yes").code == 0


def test_a_partition_an_entity_and_attributes_are_selected(engine: Here) -> None:
    assert engine("ddb", "setup", "--messages", "30").code == 0

    def found(*options: str) -> Any:
        return parsed(engine("ddb", "scan", *options, "-o", "json"))

    whole = found()
    assert whole["count"] == 32
    groups = found("--entity", "group")
    assert {item["pk"][:4] for item in groups["items"]} == {"GRP#"}
    assert read_units(groups) == read_units(whole)
    assert found("--entity", "message")["count"] == 30
    bayko = found("--entity", "message", "--where", "user_handle=bayko")
    assert bayko["items"] == [
        item for item in whole["items"] if item["pk"][:4] == "MSG#" and item["user_handle"] == "bayko"
    ]
    one = bayko["items"][0]
    both = found("--where", f"message_uuid={one['message_uuid']}", "--where", "user_handle=bayko")
    assert both["items"] == [one]
    pk = groups["items"][0]["pk"]
    by_pk = found("--where", f"pk={pk}", "--entity", "group")["items"]
    assert found("--pk", pk)["items"] == groups["items"][:1] == by_pk
    assert found("--pk", one["pk"], "--limit", "5")["count"] == 5
    key = found("--pk", one["pk"], "--where", f"sk={one['sk']}")
    assert (key["items"], read_units(key)) == ([one], 0.5)
    asked = engine("ddb", "scan", "--pk", one["pk"], "--where", f"sk={one['sk']}", "--explain").err
    assert f"Query  pk = {one['pk']!r} AND sk = {one['sk']!r}, at most 500, " in asked
    assert "estimate: at most " in asked
    lines = engine("ddb", "scan", "--where", "user_handle=bayko", "--entity", "message", "-o", "jsonl").out
    assert [json.loads(line) for line in lines.splitlines()] == bayko["items"]
    none = engine("ddb", "scan", "--where", "user_handle=nobody")
    assert (none.code, none.out) == (0, "")
    assert " matches.\n" in none.err
    nested = engine("ddb", "scan", "--where", "tags.colour=red")
    assert nested.out == ""
    assert "--where compares whole attributes, and does not look into lists and maps.\n" in nested.err
    assert engine("ddb", "drop", "--yes").code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--where", "user_handle"), "is not NAME=VALUE"),
        (("--where", "=x"), "is not NAME=VALUE"),
        (("--where", "a=1", "--where", "a=2"), "--where names a twice, with '1' and '2'"),
        (("--pk", "MSG#g", "--where", "pk=MSG#h"), "twice, with"),
        (("--pk", "MSG#g", "--entity", "group"), "begins with GRP#"),
        (("--pk", ""), "is empty"),
        (("--where", "sk="), "is empty"),
        (("--pk", "MSG#g", "--segments", "4"), "--segments is for"),
        (("--entity", "user"), "'message', 'group'"),
    ],
)
def test_a_selection_that_matches_no_possible_item_is_refused(
    here: Here, options: tuple[str, ...], message: str
) -> None:
    ran = here("ddb", "scan", *options)
    assert (ran.code, ran.out) == (2, "")
    assert message in " ".join(ran.err.split())
