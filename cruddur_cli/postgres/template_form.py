"""Whether a Python migration's own ``migrate()`` does nothing but hand its ``migrate_sql()`` to the database."""

from __future__ import annotations

import ast
import inspect
from typing import Any


def is_usual(owner: type, name: str, file: ast.Module) -> bool:
    """Whether ``name`` (``migrate`` or ``rollback``) is missing, or as the application's generator writes it.

    That is one call of ``query_commit`` with the class's own ``migrate_sql()`` and no values. An import, a ``print``, a
    docstring and a name for the SQL do no harm; whatever else it does would be left out here without a word.
    """
    raw = _raw(owner, name)
    if raw is None:
        return True
    first = line(owner, name)
    body = next((found.body for found in ast.walk(file) if _begins(found, name, first)), None)  # type: ignore[attr-defined]
    if body is None:
        return False
    known: set[str] = set()
    calls = 0
    for statement in body:
        if isinstance(statement, ast.Assign) and _is_sql(statement.value, name, known):
            known |= {target.id for target in statement.targets if isinstance(target, ast.Name)}
        elif isinstance(statement, ast.Expr | ast.Return) and _is_commit(statement.value, name, known):
            calls += 1
        elif not _is_harmless(statement):
            return False
    return calls == 1


def line(owner: type, name: str) -> int | None:
    """The line of the file where that function of the class begins."""
    raw = _raw(owner, name)
    return raw.__code__.co_firstlineno if inspect.isfunction(raw) else None


def _raw(owner: type, name: str) -> Any:
    raw = inspect.getattr_static(owner, name, None)
    return raw.__func__ if isinstance(raw, staticmethod | classmethod) else raw


def _begins(node: ast.AST, name: str, first: int | None) -> bool:
    if not isinstance(node, ast.FunctionDef) or node.name != name:
        return False
    return first == min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _called(node: ast.expr | None) -> str | None:
    """The last name of what is called: ``db.query_commit(…)`` is ``query_commit``."""
    if not isinstance(node, ast.Call):
        return None
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else None


def _is_sql(node: ast.expr, name: str, known: set[str]) -> bool:
    return _called(node) == f"{name}_sql" or (isinstance(node, ast.Name) and node.id in known)


def _is_commit(node: ast.expr | None, name: str, known: set[str]) -> bool:
    if not isinstance(node, ast.Call) or _called(node) != "query_commit" or not node.args:
        return False
    values = [*node.args[1:], *(keyword.value for keyword in node.keywords)]
    return _is_sql(node.args[0], name, known) and all(
        (isinstance(value, ast.Dict) and not value.keys) or (isinstance(value, ast.Constant) and value.value is None)
        for value in values
    )


def _is_harmless(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass):
        return True
    return isinstance(statement, ast.Expr) and (
        isinstance(statement.value, ast.Constant)
        or (
            _called(statement.value) == "print"
            and not any(isinstance(node, ast.Call) and node is not statement.value for node in ast.walk(statement))
        )
    )
