"""Every script of the application has a row in docs/from-the-scripts.md."""

from __future__ import annotations

import re

import pytest

from cruddur_cli.cli import tree

from . import pages

# Of the application's own repository, and of its forks.
SCRIPTS = [
    "bin/cognito/list-users",
    "bin/db/cdb",
    "bin/db/connect",
    "bin/db/create",
    "bin/db/datetime-test",
    "bin/db/drop",
    "bin/db/kill-all",
    "bin/db/migrate",
    "bin/db/rollback",
    "bin/db/schema-load",
    "bin/db/seed",
    "bin/db/sessions",
    "bin/db/setup",
    "bin/db/test",
    "bin/db/update_cognito_user_ids",
    "bin/ddb/drop",
    "bin/ddb/list-tables",
    "bin/ddb/patterns/get-conversation",
    "bin/ddb/patterns/list-conversations",
    "bin/ddb/scan",
    "bin/ddb/schema-load",
    "bin/ddb/seed",
    "bin/ddb/setup",
    "bin/generate/migration",
    "bin/prepare",
    "bin/rds/update-sg-rule",
]
ROWS = {
    cells[1].strip(" `"): cells[3]
    for line in pages.text(pages.REPOSITORY / "docs" / "from-the-scripts.md").splitlines()
    if len(cells := line.split("|")) == 6
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_has_a_row_that_names_a_command(script: str) -> None:
    named = re.findall(r"`cruddur ([a-z -]+?)(?: [\[A-Z-].*?)?`", ROWS[script])
    assert named
    assert all(tuple(command.split()) in set(tree.paths()) for command in named), named
