"""The output of a command: data on stdout, everything else on stderr."""

from __future__ import annotations

import json

import pytest

from cruddur_cli import output
from cruddur_cli.dynamodb.capacity.meter import Meter
from cruddur_cli.errors import Refused
from cruddur_cli.settings import load
from tests.conftest import Run


def test_data_goes_to_stdout_and_everything_else_to_stderr(cruddur: Run) -> None:
    ran = cruddur("setup", "-o", "json")
    assert ran.code == 0
    assert json.loads(ran.out)["count"] == 1
    assert "database" in ran.err
    ran = cruddur("ddb", "scan", "-o", "jsonl")
    assert [json.loads(line)["pk"][:4] for line in ran.out.splitlines()].count("GRP#") == 2
    assert json.loads(ran.err)["consumed_capacity"]["requests"] >= 1
    assert cruddur("setup", "-q").err == ""


def test_capacity_is_printed_after_everything_else(cruddur: Run) -> None:
    cruddur("setup", "-q")
    for line in (["setup"], ["ddb", "setup"], ["ddb", "diff"], ["ddb", "stats"], ["ddb", "scan", "--limit", "1"]):
        ran = cruddur(*line)
        assert ran.err.rstrip().splitlines()[-1].startswith("consumed capacity: "), line
        assert ran.err.count("consumed capacity: ") == 1


def test_capacity_is_printed_before_the_error_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Refused), output.capacity_last():
        output.used(load(), Meter("t", computed=False))
        output.note(load(), "told")
        raise Refused("No.")
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == ["told", "consumed capacity"]
