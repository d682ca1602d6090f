"""What the table looks like: its keys, its index, and both rows with their attributes, each declared once.

Fixed by the application, which reads and writes the same rows. Reading, writing, moving, exporting, copying and
checking follow from ``ATTRIBUTES``: an attribute that is added there needs no other change in this package. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import Enum
from typing import Any, Literal, NamedTuple

from ..times import instant, sort_key

Item = dict[str, Any]


# ---------------------------------------------------------------------------------------------------------------------
# The records.


@dataclass(frozen=True)
class Person:
    """A person in a conversation, as the rows name them."""

    uuid: str
    handle: str | None
    display_name: str | None


@dataclass(frozen=True)
class Message:
    """One message; the user is its sender. ``created_at`` is None where the row's sort key is no time."""

    message_uuid: str
    user_uuid: str
    user_handle: str | None
    user_display_name: str | None
    message: str
    created_at: datetime | None


@dataclass(frozen=True)
class MessageGroup:
    """A conversation as one of its two people sees it; the user is the other one."""

    message_group_uuid: str
    user_uuid: str
    user_handle: str | None
    user_display_name: str | None
    message: str
    last_message_at: datetime | None


# ---------------------------------------------------------------------------------------------------------------------
# The attributes.


class Of(Enum):
    """What an attribute of a row is about."""

    KEY = "the row's own key"
    CONVERSATION = "the id of the conversation"
    MESSAGE = "the message, or of a group row the last one"
    OTHER = "the other person of a group row"


class From(NamedTuple):
    """Where a value comes from: of what, and the name of the field of ``Message`` or ``Person`` that holds it."""

    of: Of
    field: str = ""


class Copied(Enum):
    """What an anonymized copy makes of an attribute."""

    ID = "kept if it is a hexadecimal number; otherwise the row is skipped"
    TIME = "kept if it is a time; otherwise the row is skipped"
    WORDS = "replaced by other words"
    HANDLE = "replaced by another handle"
    DISPLAY_NAME = "replaced by another name"


class Attribute(NamedTuple):
    """One attribute: what a copy makes of it, and where a message's row and a group row have it from (None: neither).

    ``csv`` says whether it has a column in CSV; a row that has an attribute without one cannot be exported as CSV.
    """

    name: str
    copied: Copied
    in_message: From | None
    in_group: From | None
    type: Literal["S", "N"] = "S"
    csv: bool = True

    @property
    def indexed(self) -> bool:
        """Whether the index holds it: its projection is ALL, and only group rows have its partition key."""
        return self.in_group is not None


KEY, CONVERSATION = From(Of.KEY), From(Of.CONVERSATION)


def _said(field: str) -> From:
    return From(Of.MESSAGE, field)


def _other(field: str) -> From:
    return From(Of.OTHER, field)


ATTRIBUTES = (
    #         name                  in a copy             in a message's row           in a group row
    Attribute("pk",                  Copied.ID,           KEY,                         KEY),
    Attribute("sk",                  Copied.TIME,         KEY,                         KEY),
    Attribute("message_group_uuid",  Copied.ID,           None,                        CONVERSATION),
    Attribute("message_uuid",        Copied.ID,           _said("message_uuid"),       None),
    Attribute("message",             Copied.WORDS,        _said("message"),            _said("message")),
    Attribute("user_uuid",           Copied.ID,           _said("user_uuid"),          _other("uuid")),
    Attribute("user_display_name",   Copied.DISPLAY_NAME, _said("user_display_name"),  _other("display_name")),
    Attribute("user_handle",         Copied.HANDLE,       _said("user_handle"),        _other("handle")),
)  # fmt: skip
BY_NAME = {each.name: each for each in ATTRIBUTES}
COLUMNS = tuple(each.name for each in ATTRIBUTES if each.csv)
MESSAGE_ROW = {each.name: each.in_message for each in ATTRIBUTES if each.in_message}
GROUP_ROW = {each.name: each.in_group for each in ATTRIBUTES if each.in_group}
MESSAGE_PREFIX = "MSG#"
GROUP_PREFIX = "GRP#"


# ---------------------------------------------------------------------------------------------------------------------
# Keys and index.


@dataclass(frozen=True)
class Index:
    """A secondary index as far as its cost depends on it: its keys, and which attributes its entries hold.

    ``included`` are the attributes that ``INCLUDE`` adds; the keys of table and index are in every entry ("Attribute
    projections" in "Using Global Secondary Indexes in DynamoDB").
    """

    name: str
    partition_key: str
    sort_key: str | None = None
    projection: Literal["ALL", "KEYS_ONLY", "INCLUDE"] = "ALL"
    included: tuple[str, ...] = ()
    table_keys: tuple[str, ...] = ("pk", "sk")


INDEX = "message-group-sk-index"
GROUPS = Index(INDEX, "message_group_uuid", "sk")
KEYS = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
INDEX_KEYS = [{"AttributeName": GROUPS.partition_key, "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
KEY_TYPES = [
    {"AttributeName": name, "AttributeType": BY_NAME[name].type}
    for name in dict.fromkeys(key["AttributeName"] for key in (*KEYS, *INDEX_KEYS))
]


def in_group(group: str) -> Item:
    """What a query of the index needs to read the group rows of one conversation."""
    return {
        "IndexName": INDEX,
        "KeyConditionExpression": f"{GROUPS.partition_key} = :group",
        "ExpressionAttributeValues": {":group": {"S": group}},
    }


# ---------------------------------------------------------------------------------------------------------------------
# Writing.


def message_item(group: str, message: Message) -> Item:
    """The item of one message."""
    assert message.created_at is not None
    key = {"pk": {"S": MESSAGE_PREFIX + group}, "sk": {"S": sort_key(message.created_at)}}
    return {**key, **_values(MESSAGE_ROW, Of.MESSAGE, message)}


def group_item(owner: str, group: str, other: Person, last: Item, sk: str) -> Item:
    """The item of a conversation as the person with the uuid ``owner`` sees it; ``last`` comes from ``last_said``."""
    key = {"pk": {"S": GROUP_PREFIX + owner}, "sk": {"S": sk}}
    about = {name: {"S": group} for name, source in GROUP_ROW.items() if source.of is Of.CONVERSATION}
    return {**key, **about, **last, **_values(GROUP_ROW, Of.OTHER, other)}


def last_said(message: Message) -> Item:
    """The attributes of a group row that come from its last message: the same for both people."""
    return _values(GROUP_ROW, Of.MESSAGE, message)


def last_said_in(row: Mapping[str, Any]) -> Item:
    """The same, taken from a group row of the conversation: what the rows of both people have in common."""
    return {name: row[name] for name, source in GROUP_ROW.items() if source.of is Of.MESSAGE and name in row}


def undeclared(row: Mapping[str, Any]) -> Item:
    """The attributes that another application gave a row; a row that is moved keeps them."""
    return {name: value for name, value in row.items() if name not in BY_NAME}


def _values(row: Mapping[str, From], of: Of, record: Message | Person) -> Item:
    """The attributes that a record gives; a field that is None makes no attribute."""
    found = ((name, getattr(record, source.field)) for name, source in row.items() if source.of is of)
    return {name: {BY_NAME[name].type: value if type(value) is str else str(value)} for name, value in found
            if value is not None}  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Reading.


def read_message(item: Mapping[str, Any]) -> Message:
    """A message from its item; attributes that are missing there are None, or empty texts where there must be one."""
    return Message(created_at=instant(_text(item, "sk") or ""), **_read(_MESSAGE, item))


def read_group(item: Mapping[str, Any]) -> MessageGroup:
    """A message group from its item, as ``read_message``."""
    return MessageGroup(last_message_at=instant(_text(item, "sk") or ""), **_read(_GROUP, item))


def read_other(row: Mapping[str, Any]) -> Person:
    """The other person, as a group row names them; their uuid is empty where the row lacks it."""
    return Person(**_read(_OTHER, row))


def sender(message: Message) -> Person:
    """Who wrote a message: what a group row has of its other person, a message has of its sender."""
    return Person(**{
        source.field: getattr(message, MESSAGE_ROW[name].field)
        for name, source in GROUP_ROW.items() if source.of is Of.OTHER
    })  # fmt: skip


def completed(person: Person, known: Person | None) -> Person:
    """A person with what another source knows of them, where they lack it themselves."""
    if known is None:
        return person
    names = [field.name for field in fields(Person)]
    return Person(**{name: getattr(person, name) or getattr(known, name) for name in names})


def written_by(sender: Person, text: str, *, message_uuid: str, at: datetime | None) -> Message:
    """A message by a person, with everything that it says about them."""
    who = {
        MESSAGE_ROW[name].field: getattr(sender, source.field)
        for name, source in GROUP_ROW.items()
        if source.of is Of.OTHER
    }
    return Message(message_uuid=message_uuid, message=text, created_at=at, **who)


def _reading(record: type, names: Mapping[str, str], *, but: str = "") -> list[tuple[str, str, str, str | None]]:
    """For each field of a record: its name, the attribute that it is read from, that one's type, and what stands for a
    missing one. A field without an attribute is an error here, as soon as this module is loaded."""
    return [
        (field.name, names[field.name], BY_NAME[names[field.name]].type, None if "None" in str(field.type) else "")
        for field in fields(record)
        if field.name != but
    ]


_MESSAGE = _reading(Message, {source.field: name for name, source in MESSAGE_ROW.items()}, but="created_at")
_GROUP = _reading(MessageGroup, {name: name for name in GROUP_ROW}, but="last_message_at")
_OTHER = _reading(Person, {source.field: name for name, source in GROUP_ROW.items() if source.of is Of.OTHER})


def _read(reading: list[tuple[str, str, str, str | None]], item: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field, name, kind, missing in reading:
        value = item.get(name)
        found[field] = missing if value is None else value.get(kind, missing)
    return found


def _text(item: Mapping[str, Any], name: str) -> str | None:
    found: str | None = item.get(name, {}).get("S")
    return found
