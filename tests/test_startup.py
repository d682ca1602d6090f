"""Help costs no SDK, no database driver and no engine: what a fresh interpreter has imported afterwards."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from .conftest import Run

HEAVY = {"boto3", "botocore", "psycopg", "pydantic", "ministack", "hypercorn", "moto", "dateutil", "s3transfer"}
_PROBE = """
import json, sys
from cruddur_cli import cli
code = cli.run(sys.argv[1:])
sys.stderr.write("\\n" + json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def imported(*arguments: str) -> set[str]:
    """The top-level modules that one command line has imported when it is done."""
    done = subprocess.run([sys.executable, "-c", _PROBE, *arguments], capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr
    return set(modules)


@pytest.mark.parametrize(
    "line", ["--help", "ddb --help", "--version", "ddb seed --help", "db --help", "", "cognito", "config -o json"]
)
def test_neither_help_nor_version_nor_config_imports_a_store(line: str) -> None:
    assert imported(*line.split()) & HEAVY == set()


def test_help_is_drawn_without_a_reader_of_markdown() -> None:
    for line in ("--help", "db --help", "ddb seed --help"):
        modules = imported(*line.split())
        assert "rich" in modules
        assert "markdown_it" not in modules


def test_version_and_machine_formats_import_no_rich() -> None:
    assert "rich" not in imported("--version")
    assert "rich" not in imported("config", "-o", "json")


def test_a_conversation_as_json_imports_neither_rich_nor_psycopg_nor_boto3(
    environment: dict[str, str], cruddur: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cruddur("ddb", "setup").code == 0
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    modules = imported("ddb", "get-conversation", "-o", "json")
    assert modules & {"rich", "psycopg", "boto3", "pydantic", "ministack", "s3transfer"} == set()
    assert "botocore" in modules
