"""The command tree: every command is in it once, and only the modules that are needed are loaded."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from cruddur_cli import commands
from cruddur_cli.cli import tree
from cruddur_cli.commands.shared.options import REGISTERED

MODULES = {section.module: section.commands for sections in tree.COMMANDS.values() for section in sections}


@pytest.mark.parametrize("name", MODULES)
def test_the_tree_lists_the_commands_that_a_module_declares(name: str) -> None:
    module = import_module(f"cruddur_cli.commands.{name}")
    assert sorted(MODULES[name]) == sorted(REGISTERED[module.__name__])


def test_every_module_that_declares_a_command_is_in_the_tree() -> None:
    folder = Path(commands.__file__).parent
    declaring = {
        ".".join(path.relative_to(folder).with_suffix("").parts)
        for path in folder.rglob("*.py")
        if re.search(r"^@command\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert declaring == set(MODULES)


def test_a_command_loads_no_other_module_of_its_group() -> None:
    code = (
        "import json, sys; from cruddur_cli.cli import tree; tree.tree('ddb', 'stream', 'tail');"
        "print(json.dumps([name for name in sys.modules if name.startswith('cruddur_cli.commands')]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert "cruddur_cli.commands.ddb.stream" in loaded
    assert not loaded & {"cruddur_cli.commands.ddb.table", "cruddur_cli.commands.db.database"}


def test_flags_are_options_without_a_value() -> None:
    flags = tree.flags()
    assert {"--prod", "-n", "--dry-run", "--no-color", "--follow"} <= flags
    assert not flags & {"--table", "-o", "--limit"}
