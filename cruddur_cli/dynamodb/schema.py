"""The schema of the table: its keys, its index, and the attributes of message rows and group rows. Pure.

The application reads and writes the same rows, so the schema cannot change here alone. Every attribute is declared
once, in ``ATTRIBUTES``. Reading, writing, moving, exporting, copying and checking use that table, so that a new
attribute needs no other change in this package.
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
    """A person in a conversation, with the uuid and names that are stored in the rows."""

    uuid: str
    handle: str | None
    display_name: str | None


@dataclass(frozen=True)
class Message:
    """One message; the user is its sender. ``created_at`` is None if the row's sort key is not a time."""

    message_uuid: str
    user_uuid: str
    user_handle: str | None
    user_display_name: str | None
    message: str
    created_at: datetime | None


@dataclass(frozen=True)
class MessageGroup:
    """A conversation as one of its two people sees it; the user is the other person.

    ``message`` is the last message, and ``last_message_at`` its time: None if the row's sort key is not a time.
    """

    message_group_uuid: str
    user_uuid: str
    user_handle: str | None
    user_display_name: str | None
    message: str
    last_message_at: datetime | None


# ---------------------------------------------------------------------------------------------------------------------
# The attributes.


class Of(Enum):
    """The thing that an attribute of a row describes."""

    KEY = "the row's own key"
    CONVERSATION = "the id of the conversation"
    MESSAGE = "the message, or of a group row the last one"
    OTHER = "the other person of a group row"


class From(NamedTuple):
    """The source of an attribute: the thing it describes, and the field of ``Message`` or ``Person`` with its value."""

    of: Of
    field: str = ""


class Copied(Enum):
    """How an anonymized copy treats an attribute."""

    ID = "kept if it is a hexadecimal number; otherwise the row is skipped"
    TIME = "kept if it is a time; otherwise the row is skipped"
    WORDS = "replaced by other words"
    HANDLE = "replaced by another handle"
    DISPLAY_NAME = "replaced by another name"


class Attribute(NamedTuple):
    """One attribute of the rows.

    ``copied`` says how an anonymized copy treats it. ``in_message`` and ``in_group`` are its sources in the two kinds
    of row; None if that kind of row does not have it. ``csv`` says whether it has a column in CSV. A row with an
    attribute that has no column cannot be exported as CSV.
    """

    name: str
    copied: Copied
    in_message: From | None
    in_group: From | None
    type: Literal["S", "N"] = "S"
    csv: bool = True

    @property
    def indexed(self) -> bool:
        """Whether the index contains it: the projection is ALL, and only group rows have the index's partition key."""
        return self.in_group is not None


KEY, CONVERSATION = From(Of.KEY), From(Of.CONVERSATION)


def _of_message(field: str) -> From:
    return From(Of.MESSAGE, field)


def _of_other(field: str) -> From:
    return From(Of.OTHER, field)


ATTRIBUTES = (
    #         name                  in a copy             in a message's row                 in a group row
    Attribute("pk",                  Copied.ID,           KEY,                               KEY),
    Attribute("sk",                  Copied.TIME,         KEY,                               KEY),
    Attribute("message_group_uuid",  Copied.ID,           None,                              CONVERSATION),
    Attribute("message_uuid",        Copied.ID,           _of_message("message_uuid"),       None),
    Attribute("message",             Copied.WORDS,        _of_message("message"),            _of_message("message")),
    Attribute("user_uuid",           Copied.ID,           _of_message("user_uuid"),          _of_other("uuid")),
    Attribute("user_display_name",   Copied.DISPLAY_NAME, _of_message("user_display_name"),  _of_other("display_name")),
    Attribute("user_handle",         Copied.HANDLE,       _of_message("user_handle"),        _of_other("handle")),
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
    """The parts of a secondary index that decide its cost: its keys, and the attributes of its entries.

    ``included`` are the attributes that the projection ``INCLUDE`` adds. Every entry has the keys of the table and of
    the index ("Attribute projections" in "Using Global Secondary Indexes in DynamoDB").
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
    """The parameters of a query that reads the group rows of one conversation from the index."""
    return {
        "IndexName": INDEX,
        "KeyConditionExpression": f"{GROUPS.partition_key} = :group",
        "ExpressionAttributeValues": {":group": {"S": group}},
    }


# ---------------------------------------------------------------------------------------------------------------------
# Writing.


def message_item(group: str, message: Message) -> Item:
    """The item of one message in the conversation ``group``. The message must have a time."""
    assert message.created_at is not None
    key = {"pk": {"S": MESSAGE_PREFIX + group}, "sk": {"S": sort_key(message.created_at)}}
    return {**key, **_values(MESSAGE_ROW, Of.MESSAGE, message)}


def group_item(owner: str, group: str, other: Person, last: Item, sk: str) -> Item:
    """The group row of the person with the uuid ``owner``, with the sort key ``sk``.

    ``last`` is the result of ``last_message_attributes``.
    """
    key = {"pk": {"S": GROUP_PREFIX + owner}, "sk": {"S": sk}}
    about = {name: {"S": group} for name, source in GROUP_ROW.items() if source.of is Of.CONVERSATION}
    return {**key, **about, **last, **_values(GROUP_ROW, Of.OTHER, other)}


def last_message_attributes(message: Message) -> Item:
    """The attributes of a group row that come from the last message. They are the same for both people."""
    return _values(GROUP_ROW, Of.MESSAGE, message)


def last_message_attributes_of_row(row: Mapping[str, Any]) -> Item:
    """The attributes that come from the last message, taken from one of the conversation's group rows."""
    return {name: row[name] for name, source in GROUP_ROW.items() if source.of is Of.MESSAGE and name in row}


def undeclared(row: Mapping[str, Any]) -> Item:
    """The attributes of a row that are not in ``ATTRIBUTES``: another application added them, and a move keeps them."""
    return {name: value for name, value in row.items() if name not in BY_NAME}


def _values(row: Mapping[str, From], of: Of, record: Message | Person) -> Item:
    """The attributes of a row that come from a record. A field that is None gives no attribute."""
    values = ((name, getattr(record, source.field)) for name, source in row.items() if source.of is of)
    return {name: {BY_NAME[name].type: value if type(value) is str else str(value)} for name, value in values
            if value is not None}  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Reading.


def read_message(item: Mapping[str, Any]) -> Message:
    """The message of an item. A missing attribute becomes None, or an empty text in a field that cannot be None."""
    return Message(created_at=instant(_text(item, "sk") or ""), **_read(_MESSAGE, item))


def read_group(item: Mapping[str, Any]) -> MessageGroup:
    """The message group of a group row. Missing attributes are read as in ``read_message``."""
    return MessageGroup(last_message_at=instant(_text(item, "sk") or ""), **_read(_GROUP, item))


def read_other(row: Mapping[str, Any]) -> Person:
    """The other person of a group row; their uuid is empty if the row has none."""
    return Person(**_read(_OTHER, row))


def sender(message: Message) -> Person:
    """The sender of a message, with every field that group rows store of the other person."""
    return Person(**{
        source.field: getattr(message, MESSAGE_ROW[name].field)
        for name, source in GROUP_ROW.items() if source.of is Of.OTHER
    })  # fmt: skip


def completed(person: Person, known: Person | None) -> Person:
    """``person``, with each empty field filled from ``known``, another record of the same person."""
    if known is None:
        return person
    names = [field.name for field in fields(Person)]
    return Person(**{name: getattr(person, name) or getattr(known, name) for name in names})


def written_by(sender: Person, text: str, *, message_uuid: str, at: datetime | None) -> Message:
    """A message from ``sender``, with all fields that a message stores of its sender."""
    who = {
        MESSAGE_ROW[name].field: getattr(sender, source.field)
        for name, source in GROUP_ROW.items()
        if source.of is Of.OTHER
    }
    return Message(message_uuid=message_uuid, message=text, created_at=at, **who)


def _reading(record: type, names: Mapping[str, str], *, but: str = "") -> list[tuple[str, str, str, str | None]]:
    """How to read each field of a record: its name, its attribute, the attribute's type, and the value if missing.

    The field ``but`` is left out. A field without an attribute raises KeyError when this module is loaded.
    """
    return [
        (field.name, names[field.name], BY_NAME[names[field.name]].type, None if "None" in str(field.type) else "")
        for field in fields(record)
        if field.name != but
    ]


_MESSAGE = _reading(Message, {source.field: name for name, source in MESSAGE_ROW.items()}, but="created_at")
_GROUP = _reading(MessageGroup, {name: name for name in GROUP_ROW}, but="last_message_at")
_OTHER = _reading(Person, {source.field: name for name, source in GROUP_ROW.items() if source.of is Of.OTHER})


def _read(reading: list[tuple[str, str, str, str | None]], item: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field, name, kind, missing in reading:
        value = item.get(name)
        values[field] = missing if value is None else value.get(kind, missing)
    return values


def _text(item: Mapping[str, Any], name: str) -> str | None:
    text: str | None = item.get(name, {}).get("S")
    return text
