"""What is otherwise than it should be: two descriptions in, their differences out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Difference:
    """One object that two descriptions do not have alike; a side that lacks it is None."""

    object: str
    change: Literal["missing", "extra", "different"]
    expected: str | None
    actual: str | None

    def __str__(self) -> str:
        if self.change == "different":
            return f"{self.object} is {self.actual or 'plain'}, expected {self.expected or 'plain'}"
        return f"{self.object} is {'missing' if self.change == 'missing' else 'not expected'}"


def compare(actual: Mapping[str, str], expected: Mapping[str, str]) -> list[Difference]:
    """The differences, in the order of ``_diff_order``. Both descriptions map an object to its definition."""
    found = []
    for name in sorted({*actual, *expected}, key=_diff_order):
        before, after = actual.get(name), expected.get(name)
        if before is None:
            found.append(Difference(name, "missing", after, None))
        elif after is None:
            found.append(Difference(name, "extra", None, before))
        elif before != after:
            found.append(Difference(name, "different", after, before))
    return found


_PARTS = ("table", "column", "constraint", "trigger", "policy")


def _diff_order(name: str) -> tuple[str, ...]:
    """Where an object stands in a diff: a table before its columns, and those before what they are part of."""
    kind, _, rest = name.partition(" ")
    if kind not in _PARTS:
        return ("~" + kind, rest)
    owner = rest if kind == "table" else owner_of(rest)
    return (owner, str(_PARTS.index(kind)), rest)


def owner_of(name: str) -> str:
    """The table of ``public.users.bio``; a name in quotes may have dots in it."""
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
    """The differences that are neither these objects nor parts of them, such as the indexes of a table."""
    names = set(covered)
    return [each for each in differences if each.object not in names and _table(each) not in names]


def tables_as_wholes(differences: Sequence[Difference]) -> list[Difference]:
    """The differences, of which a table that is missing altogether is one: its columns and indexes are left out, and so
    are the sequences that PostgreSQL names after its columns."""
    missing = {each.object for each in differences if each.change == "missing" and each.object.startswith("table ")}
    sequences = tuple(f"sequence {name.partition(' ')[2]}_" for name in missing)
    rest = [each for each in without_parts(differences, missing) if not each.object.startswith(sequences)]
    return [each for each in differences if each.object in missing or each in rest]


def _table(one: Difference) -> str:
    kind, _, name = one.object.partition(" ")
    if kind == "index":
        return f"table {(one.expected or one.actual or '').partition(' ON ')[2].partition(' ')[0]}"
    return f"table {owner_of(name)}"
