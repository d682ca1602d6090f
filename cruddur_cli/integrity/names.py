"""Finds rows whose name of a person differs from the database: an old name, or one that a copy made up. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ..dynamodb.schema import Person
from ..dynamodb.transfer import made_up

if TYPE_CHECKING:
    from .model import User
    from .rows import Rows

Named = tuple[str, str | None, str | None]
"""A person as a row names them: uuid, handle, display name."""


def changed(rows: Rows, people: Mapping[str, User]) -> dict[Named, User]:
    """The old names in rows, each with the person in the database.

    Names that an anonymized copy made up are left out: the real names must not be written into such rows.
    """
    return {each: people[each[0]] for each in _others(rows, people) if not made_up.is_person(Person(*each))}


def anonymized(rows: Rows, people: Mapping[str, User]) -> int:
    """How many rows have a name that an anonymized copy made up and that the database does not have."""
    return sum(rows.names[each] for each in _others(rows, people) if made_up.is_person(Person(*each)))


def _others(rows: Rows, people: Mapping[str, User]) -> Iterator[Named]:
    """The names in rows that differ from the database's. Rows without handle and display name are left out."""
    for uuid, handle, name in rows.names:
        person = people.get(uuid)
        if (
            person is not None
            and (handle or name)
            and (handle not in {None, person.handle} or name not in {None, person.display_name or person.handle})
        ):
            yield uuid, handle, name
