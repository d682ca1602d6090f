"""Which rows name a person otherwise than the database does: by an old name, or by one that a copy made up. Pure."""

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
    """The names in rows that are not the person's any more, each with the person as the database has them.

    Without those that an anonymized copy made up: the real names do not belong into such rows.
    """
    return {each: people[each[0]] for each in _others(rows, people) if not made_up.is_person(Person(*each))}


def anonymized(rows: Rows, people: Mapping[str, User]) -> int:
    """How many rows an anonymized copy gave a name that is not the one in the database."""
    return sum(rows.names[each] for each in _others(rows, people) if made_up.is_person(Person(*each)))


def _others(rows: Rows, people: Mapping[str, User]) -> Iterator[Named]:
    """The names in rows that are not the database's. A row without any name has no old one."""
    for uuid, handle, name in rows.names:
        person = people.get(uuid)
        if (
            person is not None
            and (handle or name)
            and (handle not in {None, person.handle} or name not in {None, person.display_name or person.handle})
        ):
            yield uuid, handle, name
