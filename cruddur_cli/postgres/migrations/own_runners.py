"""Checks that a Python migration's own ``migrate()`` or ``rollback()`` only runs the SQL of its class.

``cruddur`` runs that SQL itself and does not call the function. If the function did anything else, that work would be
skipped silently. So every statement of the function must be one that is known to change nothing in the database.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .stand_ins import called

_Function = ast.FunctionDef | ast.AsyncFunctionDef
# Functions that print the SQL or examine it, and do not run it.
_SHOWS = re.compile(r"(?i)p?print\w*|log|debug|info|warn|warning|error|critical|exception|echo|show_\w*|write")
_LOOKS = re.compile(r"(?i)explain|validate|check|dry|parse|mogrify|render|template")
# Calls around a statement: for a connection, a cursor, a transaction, or a span of a trace.
_AROUND = re.compile(
    r"commit|rollback|close|flush|connect|connection|cursor|acquire|release|begin|transaction|session|atomic|getconn"
    r"|putconn|dispose|init|get_\w*(conn|connection|pool|db|session|cursor|engine)|start_\w*span|time|perf_counter"
)
_TRACES = re.compile(r"(?i)log|trac|span|tim|retr|transact|atomic|metric|profil|monitor|xray|capture|segment|override")
_WRAPS = {"SQL", "text", "dedent", "strip"}


class _OtherWork(Exception):
    """A statement does other work than running the SQL; ``line`` is its line."""

    def __init__(self, node: ast.AST) -> None:
        super().__init__()
        self.line: int | None = getattr(node, "lineno", None)


def find_other_work(owner: type, name: str, file: ast.Module) -> int | None:
    """The line where ``name`` (``migrate`` or ``rollback``) of a class begins, if it does more than run its SQL.

    None if the class has no such function, or if the function makes exactly one call with ``migrate_sql()`` and no
    values: ``db.query_commit(X.migrate_sql(), {})``, ``db.query_insert(sql)``, ``cur.execute(self.migrate_sql())``.
    """
    raw: Any = inspect.getattr_static(owner, name, None)
    if raw is None:
        return None
    function = _definition(owner, name, raw, file)
    if function is None:
        raw = getattr(raw, "__func__", raw)
        return raw.__code__.co_firstlineno if inspect.isfunction(raw) else 1
    first = min([function.lineno, *(one.lineno for one in function.decorator_list)])
    own = {cls.__name__ for cls in owner.__mro__}
    foreign = {node.name for node in ast.walk(file) if isinstance(node, ast.ClassDef)} - own
    try:
        known = _Names(f"{name}_sql", file, foreign)
        return None if known.hands_on(function) == 1 else first
    except _OtherWork:
        return first


def _definition(owner: type, name: str, raw: Any, file: ast.Module) -> _Function | None:
    """The function in the file's syntax tree, found by its first line, or by name if a decorator replaced it."""
    functions = [node for node in ast.walk(file) if isinstance(node, _Function)]
    function = getattr(raw, "__func__", raw)  # of a static or a class method
    if inspect.isfunction(function):
        first = function.__code__.co_firstlineno
        return next((one for one in functions if first == _first(one)), None)
    classes = [node for node in ast.walk(file) if isinstance(node, ast.ClassDef) and node.name == owner.__name__]
    inside = [one for node in classes for one in node.body if isinstance(one, _Function) and one.name == name]
    return inside[-1] if inside and all(_is_tracing(one) for one in inside[-1].decorator_list) else None


def _first(node: _Function) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _is_tracing(decorator: ast.expr) -> bool:
    name = ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)
    return name in {"staticmethod", "classmethod"} or _TRACES.search(name) is not None


@dataclass
class _Names:
    """The kinds of names in one function: the SQL, an empty list of values, or a tool such as a connection."""

    sql_function: str
    file: ast.Module
    foreign: set[str]
    sql: set[str] = field(default_factory=set)
    empty: set[str] = field(default_factory=set)
    tools: set[str] = field(default_factory=set)
    depth: int = 0

    def hands_on(self, function: _Function) -> int:
        """How many calls of a function run the SQL. Raises _OtherWork."""
        arguments = function.args
        parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        for node in ast.walk(self.file):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self.tools |= {(one.asname or one.name).partition(".")[0] for one in node.names}
        self.tools |= {one.arg for one in parameters} - self.sql
        return self._block(function.body)

    def _block(self, body: Sequence[ast.stmt], *, handles: bool = False) -> int:
        return sum(self._statement(statement, handles=handles) for statement in body)

    def _statement(self, node: ast.stmt, *, handles: bool) -> int:
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Global() | ast.Nonlocal() | ast.Return(value=None):
                return 0
            case ast.Raise() if handles:
                return 0
            case ast.Expr(value=value) if not (called(value) or "")[:1].isupper():  # a class is called for its effect
                return self._value(value)
            case ast.Return(value=ast.expr() as value):
                return self._value(value)
            case ast.Assign(targets=targets, value=value) if all(isinstance(one, ast.Name) for one in targets):
                return self._assign([one.id for one in targets if isinstance(one, ast.Name)], value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                return self._assign([name], value)
        return self._compound(node)

    def _compound(self, node: ast.stmt) -> int:
        match node:
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                count = 0
                for item in items:
                    count += self._value(item.context_expr)
                    if isinstance(item.optional_vars, ast.Name):
                        self.tools.add(item.optional_vars.id)
                return count + self._block(body)
            case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=finalbody):
                count = self._block(body) + self._block(orelse)
                after = [self._block(one.body, handles=True) for one in handlers] + [self._block(finalbody)]
                if not any(after):
                    return count
            case ast.If(test=test, body=body, orelse=orelse):
                self._value(test)
                if not self._block(body) + self._block(orelse):
                    return 0
            case ast.For() | ast.AsyncFor():
                return self._each(node)
        raise _OtherWork(node)

    def _assign(self, names: Sequence[str], value: ast.expr) -> int:
        self.sql -= set(names)
        self.empty -= set(names)
        if self._is_sql(value):
            self.sql |= set(names)
            return 0
        if self._is_empty(value):
            self.empty |= set(names)
            return 0
        count = self._value(value)
        if isinstance(value, ast.Call | ast.Attribute | ast.Await):
            self.tools |= set(names)
        return count

    def _each(self, node: ast.For | ast.AsyncFor) -> int:
        """How many calls run the SQL in a loop over its statements. Raises _OtherWork for any other loop."""
        pieces = node.iter
        if called(pieces) == "split" and isinstance(pieces, ast.Call) and isinstance(pieces.func, ast.Attribute):
            pieces = pieces.func.value
        if not self._is_sql(pieces) or not isinstance(node.target, ast.Name) or node.orelse:
            raise _OtherWork(node)
        piece = node.target.id
        body = node.body
        if len(body) == 1 and isinstance(body[0], ast.If) and not body[0].orelse:  # if piece.strip():
            if {one.id for one in ast.walk(body[0].test) if isinstance(one, ast.Name)} != {piece}:
                raise _OtherWork(node)
            body = body[0].body
        inner = _Names(self.sql_function, self.file, self.foreign, {piece}, set(self.empty), set(self.tools))
        return inner._block(body)

    def _value(self, node: ast.expr) -> int:
        """How many calls in an expression run the SQL. Raises _OtherWork if the expression does something else."""
        if isinstance(node, ast.Await):
            return self._value(node.value)
        if isinstance(node, ast.Call):
            return self._call(node)
        if any(isinstance(one, ast.Call | ast.NamedExpr | ast.Yield | ast.Await) for one in ast.walk(node)):
            raise _OtherWork(node)
        return 0

    def _call(self, node: ast.Call) -> int:
        name = called(node) or ""
        values = [*node.args, *(keyword.value for keyword in node.keywords)]
        if _SHOWS.fullmatch(name):
            for one in ast.walk(node):
                if isinstance(one, ast.Call) and one is not node and not self._is_sql(one):
                    raise _OtherWork(node)
            return 0
        count = self._chain(node)
        with_sql = [one for one in values if self._is_sql(one)]
        others = [one for one in values if not self._is_sql(one)]
        if len(with_sql) == 1 and all(self._is_empty(one) or self._is_tool(one) for one in others):
            if _LOOKS.search(name):
                raise _OtherWork(node)
            return count + self._runner(node, name)
        is_around = _AROUND.fullmatch(name) is not None or name[:1].isupper()
        if with_sql or not is_around or not all(self._is_plain(one) for one in others):
            raise _OtherWork(node)
        return count

    def _chain(self, node: ast.Call) -> int:
        """How many calls before the last one run the SQL: ``connection()`` in ``pool.connection().execute()``."""
        before = node.func.value if isinstance(node.func, ast.Attribute) else None
        while isinstance(before, ast.Attribute):
            before = before.value
        return self._value(before) if isinstance(before, ast.Call | ast.Await) else 0

    def _runner(self, node: ast.Call, name: str) -> int:
        """How many calls run the SQL in a call that gets it: 1, or those in the called function of this file."""
        on = node.func.value if isinstance(node.func, ast.Attribute) else node.func
        is_own = isinstance(on, ast.Name) and on.id not in self._imported()
        local = [one for one in ast.walk(self.file) if isinstance(one, _Function) and one.name == name]
        if not is_own or not local:
            return 1
        if len(local) > 1 or self.depth > 3:
            raise _OtherWork(node)
        function = local[0]
        names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
        is_bound = isinstance(node.func, ast.Attribute) and bool(names) and names[0] in {"self", "cls"}
        parameters = dict(zip(names[is_bound:], node.args, strict=False))
        parameters |= {one.arg: one.value for one in node.keywords if one.arg}
        inner = _Names(self.sql_function, self.file, self.foreign, depth=self.depth + 1)
        inner.sql = {parameter for parameter, value in parameters.items() if self._is_sql(value)}
        inner.empty = {parameter for parameter, value in parameters.items() if self._is_empty(value)}
        inner.empty |= set(names) - {"self", "cls"} - set(parameters)  # the defaults of the others are checked below
        if any(not self._is_empty(one) for one in function.args.defaults):
            raise _OtherWork(node)
        return inner.hands_on(function)

    def _imported(self) -> set[str]:
        imports = [node for node in ast.walk(self.file) if isinstance(node, ast.Import | ast.ImportFrom)]
        return {(one.asname or one.name).partition(".")[0] for node in imports for one in node.names}

    def _is_sql(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return node.id in self.sql
        if not isinstance(node, ast.Call):
            return False
        name = called(node)
        if name == self.sql_function:
            owner = node.func.value if isinstance(node.func, ast.Attribute) else None
            is_foreign = isinstance(owner, ast.Name) and owner.id in self.foreign
            return not is_foreign and all(isinstance(one, ast.Name) for one in node.args) and not node.keywords
        if name == "strip" and isinstance(node.func, ast.Attribute) and not node.args:
            return self._is_sql(node.func.value)
        return name in _WRAPS and len(node.args) == 1 and not node.keywords and self._is_sql(node.args[0])

    def _is_empty(self, node: ast.expr) -> bool:
        """Whether an argument has no values for the SQL: ``{}``, ``None``, ``True``, or one word such as a label."""
        match node:
            case ast.Dict(keys=values) | ast.List(elts=values) | ast.Tuple(elts=values):
                return not values
            case ast.Constant(value=value):
                return not isinstance(value, str | bytes) or (isinstance(value, str) and not re.search(r"\s|;", value))
            case ast.Call(func=ast.Name(id="dict" | "list" | "tuple"), args=[], keywords=[]):
                return True
            case ast.Name(id=name):
                return name in self.empty
        return False

    def _is_tool(self, node: ast.expr) -> bool:
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name) and node.id in self.tools

    def _is_plain(self, node: ast.expr) -> bool:
        return self._is_empty(node) or self._is_tool(node)
