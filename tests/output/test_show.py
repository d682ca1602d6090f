"""What a command shows: data on stdout, everything else on stderr."""

from __future__ import annotations

import json

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
