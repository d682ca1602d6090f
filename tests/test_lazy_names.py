"""Packages have names that are imported when they are used; mypy sees the same names."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import cruddur_cli
from cruddur_cli import conversations, migrations, sql_files
from cruddur_cli.lazy_names import lazily

PACKAGES = [cruddur_cli, conversations, migrations, sql_files]


def seen_by_mypy(package: ModuleType) -> dict[str, object]:
    """Each name that the block for type checkers imports, and what it stands for."""
    tree = ast.parse(Path(str(package.__file__)).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    found: dict[str, object] = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        module = import_module(f"{package.__name__}.{node.module}")
        for each in node.names:
            inner = getattr(module, each.name, None) or import_module(f"{module.__name__}.{each.name}")
            found[each.asname or each.name] = inner
    return found


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: str(package.__name__))
def test_mypy_sees_exactly_the_names_that_exist(package: ModuleType) -> None:
    expected = seen_by_mypy(package)
    assert sorted(package.__all__) == sorted(expected)
    assert {name: getattr(package, name) for name in package.__all__} == expected


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'cruddur_cli' has no attribute 'opne_dynamodb'"):
        lazily("cruddur_cli", {})("opne_dynamodb")
    with pytest.raises(ImportError, match="opne_dynamodb"):
        exec("from cruddur_cli import opne_dynamodb")


def test_importing_the_library_imports_no_store_and_no_sdk() -> None:
    probe = "import cruddur_cli, json, sys; print(json.dumps([name for name in sys.modules if 'cruddur' in name]))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert sorted(json.loads(done.stdout)) == ["cruddur_cli", "cruddur_cli.lazy_names"]


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(str(cruddur_cli.__file__)).parent / "py.typed").exists()
