"""Names of tests are sentences that a line of a report can hold."""

from __future__ import annotations

import ast
from pathlib import Path


def test_names_of_tests_have_at_most_80_characters() -> None:
    long = [
        f"{path.name}: {node.name}"
        for path in sorted(Path(__file__).parent.rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test_") and len(node.name) > 80
    ]
    assert long == []
