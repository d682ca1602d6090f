"""The estimate of a command and its limits, compared with the consumption that the meter reports."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cruddur_cli.commands.shared import capacity_guard
from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.transfer import anonymized_copy
from tests.conftest import Run
from tests.dynamodb.rows import ME, OTHER, group_row, message_row, write


def figure(text: str, unit: str) -> float:
    found = re.search(rf"estimate:.*?([\d,.]+) {unit}", text)
    assert found, text
    return float(found[1].replace(",", ""))


def test_a_dry_run_of_a_seed_estimates_what_the_seed_consumes(cruddur: Run) -> None:
    assert cruddur("ddb", "schema-load").code == 0
    told = figure(cruddur("ddb", "seed", "--messages", "300", "--dry-run").err, "WCU")
    used = json.loads(cruddur("ddb", "seed", "--messages", "300", "-o", "json").out)["consumed_capacity"]["write_units"]
    assert used - 10 <= told <= used  # creating the group rows takes a claim besides


def test_an_explained_scan_says_what_the_whole_table_costs(cruddur: Run) -> None:
    cruddur("ddb", "setup", "-q")
    assert figure(cruddur("ddb", "scan", "--explain", "-o", "jsonl").err, "RCU") > 0


def test_a_command_stops_before_the_limit_and_reports_the_items_done(cruddur: Run) -> None:
    cruddur("ddb", "schema-load", "-q")
    ran = cruddur("ddb", "seed", "--messages", "300", "--max-units", "120", "-o", "json")
    error = json.loads(ran.err.splitlines()[-1])["error"]
    assert (ran.code, ran.out, error["code"]) == (1, "", "max_units")
    assert error["used_units"] <= 120
    stored = len(cruddur("ddb", "scan", "-o", "jsonl").out.splitlines())
    assert 0 < stored <= 120
    assert f" {stored} items are done, of about 302." in error["message"]
    again = cruddur("ddb", "seed", "--messages", "300", "-o", "json")
    assert (again.code, json.loads(again.out)["written"]) == (0, 302 - stored)


@pytest.mark.parametrize("option", ["--max-units", "--rate"])
@pytest.mark.parametrize("units", ["0", "-3", "many", "nan", "inf", "-inf", "1e999"])
def test_an_invalid_limit_is_refused(cruddur: Run, option: str, units: str) -> None:
    ran = cruddur("ddb", "scan", option, units, "-o", "json")
    assert (ran.code, ran.out) == (2, "")
    assert option in ran.err
    assert "NaN" not in ran.err


def test_a_rate_slows_a_scan_and_loses_nothing(cruddur: Run) -> None:
    cruddur("ddb", "setup", "-q")
    plain = cruddur("ddb", "scan", "-o", "jsonl").out
    paced = cruddur("ddb", "scan", "-o", "jsonl", "--rate", "20").out
    assert sorted(paced.splitlines()) == sorted(plain.splitlines())


@pytest.mark.parametrize(("groups", "messages"), [(0, 0), (30, 1), (2, 100)])
def test_one_persons_conversations_use_at_most_the_estimate(dynamodb: DynamoDB, groups: int, messages: int) -> None:
    for group in map(str, range(groups)):
        rows = [group_row(one, other, group, "last", group=group) for one, other in ((ME, OTHER), (OTHER, ME))]
        write(dynamodb, rows)
        write(dynamodb, (message_row(f"{n:03}", "x" * 200, group=group) for n in range(messages)))
    told = capacity_guard.of_person(tables.description(dynamodb)).read_units
    before = dynamodb.meter.total().read_units
    assert len(list(anonymized_copy.conversations(dynamodb, ME.uuid))) == groups * (2 + messages)
    assert dynamodb.meter.total().read_units - before <= told


def planned(text: str, unit: str) -> float:
    found = re.search(rf"^A real run would use (?:.* )?([\d,.]+) {unit}", text, re.MULTILINE)
    assert found, text
    return float(found[1].replace(",", ""))


def test_a_dry_run_of_a_seed_prints_at_its_end_what_a_real_run_uses(cruddur: Run) -> None:
    """Whatever is there: more messages, which go, or the very same, which cost nothing."""
    cruddur("ddb", "schema-load", "-q")
    cruddur("ddb", "seed", "--messages", "300", "-q")
    for messages in ("40", "40", "120"):
        stderr = cruddur("ddb", "seed", "--messages", messages, "--dry-run").err
        assert "if nothing is seeded yet" in stderr
        used = json.loads(cruddur("ddb", "seed", "--messages", messages, "-o", "json").out)["consumed_capacity"]
        assert used["write_units"] - 10 <= planned(stderr, "WCU") <= used["write_units"]


def test_an_import_estimates_comparing_and_its_dry_run_prints_the_result(cruddur: Run, tmp_path: Path) -> None:
    cruddur("ddb", "schema-load", "-q")
    cruddur("ddb", "seed", "--messages", "300", "-q")
    path = tmp_path / "r.jsonl"
    cruddur("ddb", "export", str(path), "-q")
    stderr = cruddur("ddb", "import", str(path), "--dry-run").err
    used = json.loads(cruddur("ddb", "import", str(path), "-o", "json").out)["consumed_capacity"]
    assert used["write_units"] == planned(stderr, "WCU") == 0
    assert planned(stderr, "RCU") == used["read_units"]
    pattern = r"WCU for about 302 items .* if the table has none of them, plus up to (\d+) RCU to compare"
    found = re.search(pattern, stderr)
    assert found, stderr
    assert used["read_units"] - 1 <= int(found[1]) <= used["read_units"]
    path.write_text(path.read_text().replace('"Andrew Brown"', '"A. Brown"'))
    stderr = cruddur("ddb", "import", str(path), "--dry-run").err
    used = json.loads(cruddur("ddb", "import", str(path), "-o", "json").out)["consumed_capacity"]
    assert planned(stderr, "WCU") == used["write_units"] > 50
