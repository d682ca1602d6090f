"""Compares two descriptions of a schema or a table, and returns their differences. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Difference:
    """One object that differs between the expected and the actual description. A side without the object is None."""

    object: str
    change: Literal["missing", "extra", "different"]
    expected: str | None
    actual: str | None

    def __str__(self) -> str:
        if self.change == "different":
            return f"{self.object} is {self.actual or 'plain'}, expected {self.expected or 'plain'}"
        return f"{self.object} is {'missing' if self.change == 'missing' else 'not expected'}"


def compare(actual: Mapping[str, str], expected: Mapping[str, str]) -> list[Difference]:
    """The differences, a table before its columns. Both descriptions map an object's name to its definition."""
    differences = []
    for name in sorted({*actual, *expected}, key=_diff_order):
        before, after = actual.get(name), expected.get(name)
        if before is None:
            differences.append(Difference(name, "missing", after, None))
        elif after is None:
            differences.append(Difference(name, "extra", None, before))
        elif before != after:
            differences.append(Difference(name, "different", after, before))
    return differences


_PARTS = ("table", "column", "constraint", "trigger", "policy")


def _diff_order(name: str) -> tuple[str, ...]:
    """The sort key of an object: a table before its parts; objects of other kinds last."""
    kind, _, rest = name.partition(" ")
    if kind not in _PARTS:
        return ("~" + kind, rest)
    owner = rest if kind == "table" else owner_of(rest)
    return (owner, str(_PARTS.index(kind)), rest)


def owner_of(name: str) -> str:
    """The table of a part: ``public.users`` for ``public.users.bio``. A name in quotes may contain dots."""
    return name[: _last_dot(name)]


def _last_dot(name: str) -> int:
    in_quotes = False
    for position in reversed(range(len(name))):
        if name[position] == '"':
            in_quotes = not in_quotes
        elif name[position] == "." and not in_quotes:
            return position
    return len(name)


def without_parts(differences: Iterable[Difference], covered: Iterable[str]) -> list[Difference]:
    """The differences without the objects ``covered`` and their parts, such as the indexes of a table."""
    names = set(covered)
    return [each for each in differences if each.object not in names and _table(each) not in names]


def tables_as_wholes(differences: Sequence[Difference]) -> list[Difference]:
    """The differences with one for each missing table, without its columns, indexes and sequences.

    A sequence belongs to the table with whose name PostgreSQL begins the sequence's.
    """
    missing = {each.object for each in differences if each.change == "missing" and each.object.startswith("table ")}
    sequences = tuple(f"sequence {name.partition(' ')[2]}_" for name in missing)
    rest = [each for each in without_parts(differences, missing) if not each.object.startswith(sequences)]
    return [each for each in differences if each.object in missing or each in rest]


def _table(one: Difference) -> str:
    kind, _, name = one.object.partition(" ")
    if kind == "index":
        return f"table {(one.expected or one.actual or '').partition(' ON ')[2].partition(' ')[0]}"
    return f"table {owner_of(name)}"
