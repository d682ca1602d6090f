"""Brings rows of one table into another, without the people in them: other names and other words, the same keys.

Keys and ids stay, as rows find each other by them; so they have to be times and hexadecimal numbers, which say nothing
of anybody. Not UUIDs: some tables have ids that are not quite. The same rows give the same ones each time.
"""

from __future__ import annotations

import pickle
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from ...times import instant
from .. import scanning, schema
from ..client import DynamoDB
from ..conversations import queries
from ..schema import ATTRIBUTES, BY_NAME, GROUP_ROW, GROUPS, MESSAGE_ROW, Copied, Item, in_group
from . import attribute_values, made_up
from .input_files import Place, Placed

# More rows than an import holds at a time, so that each is known until it is compared.
_REMEMBERED = 20_000
_ID = re.compile(r"[0-9a-fA-F-]{8,64}")
_IDS = [each.name for each in ATTRIBUTES if each.copied is Copied.ID and each.name != "pk"]
_TIMES = [each.name for each in ATTRIBUTES if each.copied is Copied.TIME]


def anonymized(item: Mapping[str, Any]) -> tuple[Item | None, list[str]]:
    """The row with other people in it, and the names of attributes that were left out, which may hold personal data.

    None for a row of no known entity, and for one whose keys or ids may identify a person. A message and the group
    rows that show it as the last one keep the same text. What becomes of an attribute is declared with it.
    """
    if not is_known(item) or not _is_neutral(item):
        return None, []
    kind, _, owner = _text(item, "pk").partition("#")
    row, group = (MESSAGE_ROW, owner) if kind == "MSG" else (GROUP_ROW, _text(item, GROUPS.partition_key))
    handle, display_name = made_up.person(_text(item, "user_uuid") or _text(item, "user_handle"))
    changed: Item = {}
    # In the order that they had, so that a file of them looks like one of the originals.
    for name, value in item.items():
        declared = BY_NAME.get(name)
        if declared is None or declared.type not in value:
            continue
        old = value[declared.type]
        match declared.copied:
            case Copied.ID | Copied.TIME:
                new = old
            case Copied.HANDLE:
                new = handle if old else ""
            case Copied.DISPLAY_NAME:
                new = display_name if old else ""
            case Copied.WORDS:
                # By what is said, not by the attribute's name: both rows say the same of one message.
                said = row[name].field if name in row else name
                new = made_up.text(f"{group} {_text(item, 'sk')}{'' if said == 'message' else f' {said}'}", len(old))
        changed[name] = {declared.type: new}
    return changed, [name for name in item if name not in changed]


def is_known(item: Mapping[str, Any]) -> bool:
    """Whether a row is a message or a message group."""
    return _text(item, "pk").startswith(("MSG#", "GRP#"))


def _is_neutral(item: Mapping[str, Any]) -> bool:
    """Whether keys and ids are times and numbers: a table may hold an address where an id should be."""
    ids = [_text(item, name) for name in _IDS if _text(item, name)]
    times = [_text(item, name) for name in _TIMES if name == "sk" or _text(item, name)]
    ids.append(_text(item, "pk").partition("#")[2])
    return all(map(_ID.fullmatch, ids)) and all(instant(each) is not None for each in times)


def _text(item: Mapping[str, Any], name: str) -> str:
    found = item.get(name, {}).get("S", "")
    return found if isinstance(found, str) else ""


@dataclass
class LeftOut:
    """What was not copied, because it may contain personal data: rows of no known entity, rows by what their
    keys and ids are not, and attributes by their names."""

    unknown: int = 0
    telling: int = 0
    attributes: Counter[str] = field(default_factory=Counter)


def everything(dynamodb: DynamoDB, plan: scanning.ScanPlan) -> Iterator[Item]:
    """Every row of the table."""
    for page in scanning.pages(dynamodb, plan=plan):
        yield from page


def conversations(dynamodb: DynamoDB, user_uuid: str) -> Iterator[Item]:
    """A person's group rows, then of each conversation the other people's rows and the messages."""
    groups: dict[str, None] = {}
    for page in queries.query(dynamodb, **queries.partition(f"GRP#{user_uuid}")):
        for item in page:
            groups[item.get(GROUPS.partition_key, {}).get("S", "")] = None
            yield item
    for group in groups:
        if not group:
            continue
        for page in queries.query(dynamodb, **in_group(group)):
            yield from (item for item in page if item["pk"]["S"] != f"GRP#{user_uuid}")
        for page in queries.query(dynamodb, **queries.partition(f"MSG#{group}")):
            yield from page


@dataclass(frozen=True)
class CopiedRow:
    """One row as it is written here, and the digest of what it is there."""

    item: Item
    original: bytes


def copied(items: Iterable[Item], left_out: LeftOut, *, verbatim: bool = False) -> Iterator[CopiedRow]:
    """The rows with other people's names and words in them; what is not known is counted in ``left_out``.

    ``verbatim`` leaves all of them as they are.
    """
    for item in items:
        digest = _digest(item)
        if verbatim:
            yield CopiedRow(item, digest)
            continue
        changed, unknown = anonymized(item)
        left_out.attributes.update(unknown)
        if changed is not None:
            yield CopiedRow(changed, digest)
        elif is_known(item):
            left_out.telling += 1
        else:
            left_out.unknown += 1


def _digest(item: Item) -> bytes:
    text = repr(sorted((name, sorted(value.items())) for name, value in item.items()))
    return blake2b(text.encode("utf-8", "surrogatepass")).digest()


class Spool:
    """Rows that were read and are not written yet, in a file of this process alone: it has no name, and ends with it.

    They wait there until the local rows under their keys are compared: production is read once.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="cruddur-copy-")  # noqa: SIM115  # closed by close()

    def fill(self, rows: Iterable[CopiedRow], *, advance: Callable[[int], None]) -> None:
        """Keep the rows. What was read before an error stays."""
        for row in rows:
            pickle.dump((row.item, row.original), self._file, protocol=pickle.HIGHEST_PROTOCOL)
            advance(1)

    def rows(self) -> Iterator[CopiedRow]:
        """The rows, from the first."""
        self._file.seek(0)
        while True:
            try:
                yield CopiedRow(*pickle.load(self._file))
            except EOFError:
                return

    def close(self) -> None:
        """Free the file."""
        self._file.close()


class Overwritten:
    """Counts the local rows that a copy would write over: those of earlier copies, those that are the same in
    production, and the others, which are foreign."""

    def __init__(self) -> None:
        self.earlier = self.same = self.foreign = 0
        self._originals: dict[tuple[str, str], bytes] = {}

    def expect(self, rows: Iterable[CopiedRow]) -> Iterator[Item]:
        """The rows' items, each remembered until it was compared."""
        for row in rows:
            self._originals[attribute_values.key(row.item)] = row.original
            if len(self._originals) > _REMEMBERED:
                self._originals.pop(next(iter(self._originals)))
            yield row.item

    def see(self, old: Item, new: Item) -> None:
        """A local row differs from what would be written in its place."""
        if made_up.is_person(schema.read_other(old)):
            self.earlier += 1
        elif _digest(old) == self._originals.get(attribute_values.key(new)):
            self.same += 1
        else:
            self.foreign += 1


class People:
    """The people whom the rows of a copy name: their UUIDs, with the handle and the name that the rows give them."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, str] | None] = {}

    def noted(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items; whom they name is kept."""
        for item in items:
            who = schema.read_other(item)
            if who.uuid:
                self._found[who.uuid] = (who.handle, who.display_name or who.handle) if who.handle else None
            kind, _, owner = item["pk"].get("S", "").partition("#")
            if kind == "GRP" and owner:
                self._found.setdefault(owner, None)
            yield item

    def profiles(self) -> list[tuple[str, str, str]]:
        """UUID, handle and display name of each; those whom no row names get the name that a copy makes up."""
        return [(uuid, *(named or made_up.person(uuid))) for uuid, named in sorted(self._found.items())]


def placed(items: Iterable[Item]) -> Iterator[Placed]:
    """Rows as an import takes them: they stand in no file, so that their place is their number."""
    for number, item in enumerate(items, 1):
        yield Place(0, number), item, _weight(item)


def _weight(item: Item) -> int:
    """About how many bytes an item is: enough to end a group of large ones."""
    return sum(len(value["S"]) if "S" in value else 100 for value in item.values())
