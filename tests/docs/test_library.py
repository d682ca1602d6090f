"""The examples in docs/library.md print what the page shows, on real engines; it names every public name."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

import cruddur_cli
from cruddur_cli import conversations, migrations, sql_files
from tests.conftest import Engines
from tests.docs import pages

PAGE = pages.REPOSITORY / "docs" / "library.md"


def test_the_examples_of_the_library_print_what_the_page_shows(
    engines: Engines, endpoint: str, database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL_DYNAMODB": endpoint,
        "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": engines.aws,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
        "CONNECTION_URL": database,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    examples, printed = pages.blocks(PAGE, "python"), pages.blocks(PAGE, "text")
    assert len(examples) == len(printed) == 5
    known: dict[str, Any] = {}
    for example, expected in zip(examples, printed, strict=True):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(example, str(PAGE), "exec"), known)
        assert out.getvalue() == expected


def test_the_page_names_all_that_is_public() -> None:
    named = set(re.findall(r"\w+", pages.text(PAGE)))
    for package in (cruddur_cli, conversations, migrations, sql_files):
        assert [name for name in package.__all__ if name not in named] == []


@pytest.mark.parametrize("noun", ["tables", "conversations", "scanning", "stats", "backups"])
def test_the_verbs_that_the_page_lists_for_dynamodb_exist(noun: str) -> None:
    _verbs_exist(noun)


@pytest.mark.parametrize("noun", ["users", "database", "migrations", "sql_files", "sessions"])
def test_the_verbs_that_the_page_lists_for_postgresql_exist(noun: str) -> None:
    _verbs_exist(noun)


def _verbs_exist(noun: str) -> None:
    row = re.search(rf"^\| `{noun}` \| (.*) \|$", pages.text(PAGE), re.MULTILINE)
    assert row is not None
    verbs = re.findall(r"`(\w+)`", row[1])
    assert verbs
    assert [verb for verb in verbs if not callable(getattr(getattr(cruddur_cli, noun), verb, None))] == []
