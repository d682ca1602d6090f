"""The generated tables are current, and the links, settings and commands in the pages exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cruddur_cli import settings
from tests.docs import pages

docs = pages.generate()
README = pages.text(docs.README)


def test_the_readme_begins_with_the_two_commands() -> None:
    assert pages.blocks(docs.README, "sh")[0].splitlines() == [
        "pip install '.[local]' && cruddur setup",
        "pip install '.[test]' && pytest",
    ]


def test_a_difference_other_than_a_time_a_port_or_an_id_counts() -> None:
    page = "```console\n$ cruddur x\nstarted on 127.0.0.1:4711 at 2026-11-20 10:00\n```\n"
    assert docs.with_output(page, lambda _: "started on 127.0.0.1:99 at 2027-01-01 23:59\n") == page
    assert docs.with_output(page, lambda _: "stopped on 127.0.0.1:99 at 2027-01-01 23:59\n") != page


def test_the_settings_table_has_every_setting() -> None:
    written = pages.text(docs.CONFIGURATION)
    assert written == docs.filled(docs.CONFIGURATION, {"settings": docs.settings_table()}), "python docs/generate.py"


def test_the_page_about_the_audit_has_every_check_and_permission() -> None:
    assert pages.text(docs.AUDIT) == docs.filled(docs.AUDIT, docs.audit_parts()), "python docs/generate.py"


def test_the_figures_are_those_that_were_saved() -> None:
    saved = docs.results.saved()
    assert pages.text(docs.PERFORMANCE) == docs.filled(docs.PERFORMANCE, saved), "python docs/generate.py"
    peers = (
        "python -c pass",
        "script with boto3",
        "batches with botocore",
        "scan with botocore",
        "single PutItem",
        "aws dynamodb scan",
        "psql",
    )
    assert [peer for peer in peers if peer not in saved["ratios"]] == []


@pytest.mark.parametrize("prod", [False, True])
@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: str(page.name))
def test_the_examples_of_cruddur_toml_can_be_used(page: Path, prod: bool, tmp_path: Path) -> None:
    for block in pages.blocks(page, "toml"):
        (tmp_path / settings.FILE_NAME).write_text(block, encoding="utf-8")
        found = settings.load({"prod": prod}, environ={}, folder=tmp_path)
        assert found.my_handle == "londo"
        assert (found.connection_url is None) == prod
        assert (found.table == settings.load(environ={}, folder=tmp_path / "nowhere").table) != prod


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: str(page.name))
def test_the_target_of_every_link_exists(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", pages.text(page)):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: str(page.name))
def test_commands_that_a_page_names_are_commands_there_are(page: Path) -> None:
    known = {" ".join(words) for words, _ in docs.commands()}
    groups = {words.split()[1] for words in known if len(words.split()) == 3}
    for named in re.findall(r"`(cruddur(?: [a-z][a-z-]*)+)", pages.text(page)):
        words = named.split()
        assert " ".join(words[: 3 if words[1] in groups else 2]) in known, named


def test_check_says_what_is_stale(tmp_path: Path) -> None:
    """Runs the program on a copy whose command reference was changed by hand."""
    copy = tmp_path / "copy"
    (copy / "docs").mkdir(parents=True)
    (copy / "benchmarks").mkdir()
    results = Path(docs.results.__file__)
    for path in (
        docs.COMMANDS,
        docs.CONFIGURATION,
        docs.AUDIT,
        docs.PERFORMANCE,
        pages.GENERATE,
        results,
        docs.results.LAST,
    ):
        (copy / path.parent.name / path.name).write_bytes(path.read_bytes())
    (copy / "README.md").write_text("# nothing to run\n")
    (copy / "docs" / "commands.md").write_text("by hand\n")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(copy / "docs" / "generate.py"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    stale = run("--check")
    assert (stale.returncode, stale.stdout) == (1, "commands.md is stale: python docs/generate.py\n")
    assert run().returncode == 0
    assert run("--check").returncode == 0
