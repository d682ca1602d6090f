"""Every command in the pages is run, and prints the output that the page shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.commands.production import Run, client, make_table, production
from tests.docs import pages

__all__ = ["production"]
docs = pages.generate()
PLAYED = docs.pages()


def name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", PLAYED, ids=name)
def test_the_commands_of_a_page_print_what_it_shows(path: Path) -> None:
    for target, wanted in docs.page(path).items():
        assert target.read_text(encoding="utf-8") == wanted, f"{target.name}: python docs/generate.py"


def in_production(path: Path) -> list[str]:
    """The lines of a page's ``sh`` blocks that reach production, in order."""
    return [
        line
        for block in pages.blocks(path, "sh")
        for line in block.splitlines()
        if line.startswith("cruddur") and docs.reaches_production(line)
    ]


@pytest.mark.parametrize("path", [path for path in PLAYED if in_production(path)], ids=name)
def test_the_production_commands_of_a_page_succeed(
    path: Path, production: Run, database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_table()
    client("s3").create_bucket(
        Bucket="cruddur-backups", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    monkeypatch.setenv("PROD_CONNECTION_URL", database)
    migrations = tmp_path / "backend-flask" / "db" / "migrations"
    migrations.mkdir(parents=True)
    (migrations / "20261101000000_add_pronouns.sql").write_text("-- migrate:up\nALTER TABLE users ADD pronouns text;\n")
    monkeypatch.chdir(tmp_path)
    for line in in_production(path):
        ran = production(*shlex.split(line.partition(" >")[0], comments=True)[1:])
        # A check that fails on this bare account ran.
        assert ran.code in ((0, 1) if {"audit", "doctor"} & set(line.split()) else (0,)), (line, ran.err)


@pytest.mark.parametrize("path", pages.PAGES, ids=name)
def test_a_command_of_a_page_is_in_a_block_that_is_run(path: Path) -> None:
    if path.name in (*docs.ELSEWHERE, "CONTRIBUTING.md"):
        return
    for kind, block in re.findall(r"^```(\w*)\n(.*?)^```$", pages.text(path), re.DOTALL | re.MULTILINE):
        if kind not in ("sh", "console"):
            assert not re.search(r"^(\$ )?cruddur ", block, re.MULTILINE), block


def test_every_picture_is_drawn_by_a_page() -> None:
    drawn = {f"{found['name']}.svg" for path in PLAYED for found in docs.steps(pages.text(path)) if found["name"]}
    assert drawn == {path.name for path in docs.PICTURES.iterdir()}
    for path in PLAYED:
        for found in docs.steps(pages.text(path)):
            if found["name"]:
                assert f"pictures/{found['name']}.svg)" in pages.text(path)
