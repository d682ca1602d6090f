"""Copy rows of one table for another, anonymized: names and texts are replaced, keys and ids are kept.

Keys and ids connect the rows, so they are kept. A row is copied only if they are times and hexadecimal numbers, which
cannot identify a person. They need not be valid UUIDs, because some tables have other ids. The same row always gives
the same copy.
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

# An import holds fewer rows at a time, so that each row is still remembered when it is compared.
_REMEMBERED = 20_000
_ID = re.compile(r"[0-9a-fA-F-]{8,64}")
_IDS = [each.name for each in ATTRIBUTES if each.copied is Copied.ID and each.name != "pk"]
_TIMES = [each.name for each in ATTRIBUTES if each.copied is Copied.TIME]


def anonymized(item: Mapping[str, Any]) -> tuple[Item | None, list[str]]:
    """The anonymized row, and the names of the attributes that were left out because they may contain personal data.

    The row is None if it is neither a message nor a group row, or if its keys or ids may identify a person. A message
    and the group rows that show it get the same text. ``ATTRIBUTES`` declares how each attribute is anonymized.
    """
    if not is_known(item) or not _has_neutral_ids(item):
        return None, []
    kind, _, owner = _text(item, "pk").partition("#")
    row, group = (MESSAGE_ROW, owner) if kind == "MSG" else (GROUP_ROW, _text(item, GROUPS.partition_key))
    handle, display_name = made_up.person(_text(item, "user_uuid") or _text(item, "user_handle"))
    changed: Item = {}
    # The attributes keep their order, so that a file of copies looks like a file of originals.
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
                # The text depends on the message's field, not on the attribute, so that both kinds of row get the same.
                source = row[name].field if name in row else name
                suffix = "" if source == "message" else f" {source}"
                new = made_up.text(f"{group} {_text(item, 'sk')}{suffix}", len(old))
        changed[name] = {declared.type: new}
    return changed, [name for name in item if name not in changed]


def is_known(item: Mapping[str, Any]) -> bool:
    """Whether a row is a message or a message group."""
    return _text(item, "pk").startswith(("MSG#", "GRP#"))


def _has_neutral_ids(item: Mapping[str, Any]) -> bool:
    """Whether keys and ids are times and hexadecimal numbers, and not, for example, e-mail addresses."""
    ids = [_text(item, name) for name in _IDS if _text(item, name)]
    times = [_text(item, name) for name in _TIMES if name in item]
    ids.append(_text(item, "pk").partition("#")[2])
    return all(map(_ID.fullmatch, ids)) and all(instant(each) is not None for each in times)


def _text(item: Mapping[str, Any], name: str) -> str:
    text = item.get(name, {}).get("S", "")
    return text if isinstance(text, str) else ""


@dataclass
class LeftOut:
    """The number of rows and attributes that were not copied because they may contain personal data.

    ``unknown`` counts rows that are neither messages nor group rows, ``unusual`` rows whose keys or ids may identify a
    person, ``attributes`` the attributes of copied rows by name.
    """

    unknown: int = 0
    unusual: int = 0
    attributes: Counter[str] = field(default_factory=Counter)


def everything(dynamodb: DynamoDB, plan: scanning.ScanPlan) -> Iterator[Item]:
    """Yield every row of the table."""
    for page in scanning.pages(dynamodb, plan=plan):
        yield from page


def conversations(dynamodb: DynamoDB, user_uuid: str) -> Iterator[Item]:
    """Yield a person's group rows, and then the other people's rows and the messages of each conversation."""
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
    """One row to write to the local table, and the digest of its original."""

    item: Item
    original: bytes


def copied(items: Iterable[Item], left_out: LeftOut, *, verbatim: bool = False) -> Iterator[CopiedRow]:
    """Yield the anonymized rows; count in ``left_out`` what is not copied. With ``verbatim``, rows are not changed."""
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
            left_out.unusual += 1
        else:
            left_out.unknown += 1


def _digest(item: Item) -> bytes:
    text = repr(sorted((name, sorted(value.items())) for name, value in item.items()))
    return blake2b(text.encode("utf-8", "surrogatepass")).digest()


class Spool:
    """Rows that were read and are not written yet, in a temporary file without a name.

    They are compared with the local rows before they are written, so that production is read only once. The file ends
    with the process.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="cruddur-copy-")  # noqa: SIM115  # closed by close()

    def fill(self, rows: Iterable[CopiedRow], *, advance: Callable[[int], None]) -> None:
        """Add rows. Those that were read before an error are kept."""
        for row in rows:
            pickle.dump((row.item, row.original), self._file, protocol=pickle.HIGHEST_PROTOCOL)
            advance(1)

    def rows(self) -> Iterator[CopiedRow]:
        """Yield the rows, from the first one on."""
        self._file.seek(0)
        while True:
            try:
                yield CopiedRow(*pickle.load(self._file))
            except EOFError:
                return

    def close(self) -> None:
        """Close and delete the file."""
        self._file.close()


class Overwritten:
    """Counts the local rows that a copy would overwrite.

    ``earlier`` are rows of earlier copies, ``same`` those that are equal to the original in production, ``foreign`` all
    others.
    """

    def __init__(self) -> None:
        self.earlier = self.same = self.foreign = 0
        self._originals: dict[tuple[str, str], bytes] = {}

    def expect(self, rows: Iterable[CopiedRow]) -> Iterator[Item]:
        """Yield the items of the rows, and remember the digest of each original until its row is compared."""
        for row in rows:
            self._originals[attribute_values.key(row.item)] = row.original
            if len(self._originals) > _REMEMBERED:
                self._originals.pop(next(iter(self._originals)))
            yield row.item

    def see(self, old: Item, new: Item) -> None:
        """Count a local row ``old`` that differs from the row ``new`` that would replace it."""
        if made_up.is_person(schema.read_other(old)):
            self.earlier += 1
        elif _digest(old) == self._originals.get(attribute_values.key(new)):
            self.same += 1
        else:
            self.foreign += 1


class People:
    """The people in the rows of a copy: their UUIDs, with the handles and names in the rows."""

    def __init__(self) -> None:
        self._names: dict[str, tuple[str, str] | None] = {}

    def noted(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, and note the people in them."""
        for item in items:
            who = schema.read_other(item)
            if who.uuid:
                self._names[who.uuid] = (who.handle, who.display_name or who.handle) if who.handle else None
            kind, _, owner = item["pk"].get("S", "").partition("#")
            if kind == "GRP" and owner:
                self._names.setdefault(owner, None)
            yield item

    def profiles(self) -> list[tuple[str, str, str]]:
        """The UUID, handle and display name of each person. One without a name in the rows gets an invented name."""
        return [(uuid, *(named or made_up.person(uuid))) for uuid, named in sorted(self._names.items())]


def placed(items: Iterable[Item]) -> Iterator[Placed]:
    """Yield the rows in the form of an import. They are in no file, so their number is the line of their place."""
    for number, item in enumerate(items, 1):
        yield Place(0, number), item, _approximate_size(item)


def _approximate_size(item: Item) -> int:
    """The approximate bytes of an item, which limit the size of an import's portion."""
    return sum(len(value["S"]) if "S" in value else 100 for value in item.values())
