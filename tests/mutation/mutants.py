"""The mutants of a module: its source with one comparison, condition, number, flag or operator turned round."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_CALLED = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Mutant:
    """One place of a module, by its number and its line: ``before`` becomes ``after``."""

    number: int
    line: int
    before: str
    after: str

    def source(self, original: str) -> str:
        """The module's source with this place changed."""
        tree = ast.parse(original)
        _, turn = list(_places(tree))[self.number]
        turn()
        return ast.unparse(ast.fix_missing_locations(tree))


def of(original: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    found = []
    for number, (node, turn) in enumerate(list(_places(ast.parse(original)))):
        before = ast.unparse(node)
        # Outer places come first, so that each is shown as it stands in the module.
        found.append(Mutant(number, node.lineno, before, ast.unparse(turn())))
    return sorted(found, key=lambda mutant: mutant.line)


def _places(tree: ast.Module) -> Iterator[tuple[ast.expr, Callable[[], ast.expr]]]:
    """Each place that can be turned round, and what turns it round and returns what stands there then."""
    for node in _alive(tree):
        match node:
            case ast.Compare(ops=[op]):
                yield node, _setter(node, "ops", [_COMPARED[type(op)]()])
            case ast.BoolOp():
                yield node, _setter(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
            case ast.BinOp() if type(node.op) in _OPERATORS and not _is_text(node):
                yield node, _setter(node, "op", _OPERATORS[type(node.op)]())
            case ast.Constant(value=bool() as flag):
                yield node, _setter(node, "value", not flag)
            case ast.Constant(value=int() | float() as number):
                yield node, _setter(node, "value", number * 2 if isinstance(number, float) and number else number + 1)
            case ast.Call(func=ast.Name(id=name)) if name in _CALLED:
                yield node, _setter(node, "func", ast.Name(_CALLED[name]))
            case ast.If() | ast.IfExp() | ast.While() if not isinstance(node.test, ast.Compare | ast.Constant):
                yield node.test, _negation(node, "test", None, node.test)
            case ast.comprehension():
                for place, test in enumerate(node.ifs):
                    if not isinstance(test, ast.Compare):
                        yield test, _negation(node, "ifs", place, test)


def _setter(node: ast.expr, field: str, value: object) -> Callable[[], ast.expr]:
    def turn() -> ast.expr:
        setattr(node, field, value)
        return node

    return turn


def _negation(owner: ast.AST, field: str, place: int | None, test: ast.expr) -> Callable[[], ast.expr]:
    """Turns a whole condition round; a comparison is turned round by itself."""
    is_not = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    turned = test.operand if isinstance(test, ast.UnaryOp) and is_not else ast.UnaryOp(ast.Not(), test)

    def turn() -> ast.expr:
        if place is None:
            setattr(owner, field, turned)
        else:
            getattr(owner, field)[place] = turned
        return turned

    return turn


def _is_text(node: ast.BinOp) -> bool:
    """Whether texts are joined or formatted: turned round, that fails by its types and says nothing of the tests."""
    return any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str | bytes))
        for side in (node.left, node.right)
    )


def _alive(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run: no annotation, no decorator, no assertion, and nothing that only type checkers see."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "format_spec"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.Assert):
                continue
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            yield from _alive(child)
