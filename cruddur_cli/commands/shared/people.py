"""Who a command is about: you and the other person, as options and settings name them, or as the database does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ... import output
from ...dynamodb.conversations.model import Person
from ...errors import BadInput, NotFound
from ...settings import Settings
from . import connections, targets

if TYPE_CHECKING:
    from psycopg import Connection

    from ...postgres.connection import Server

TOO_FEW = "too_few_people"
OPTIONS = ("--my-handle", "--other-handle")


@dataclass(frozen=True)
class Handles:
    """The handles of you and of the other person; ``taken`` are those that the database gave, not a setting."""

    mine: str
    other: str
    taken: tuple[str, ...] = ()


def pair(s: Settings, *, writes: bool = True) -> tuple[Person, Person]:
    """You and the other person; where the command ``writes``, a guess is said. Raises NotFound, BadInput."""
    check(s)
    at = targets.server(s)
    with connections.postgres(s, at=at) as conn:
        return pair_in(s, conn, at, writes=writes)


def pair_if_any(s: Settings) -> tuple[tuple[Person, Person] | None, str | None]:
    """``pair``; or why there is none, where no handle is set and the database has too few people."""
    try:
        return pair(s), None
    except NotFound as error:
        if error.code != TOO_FEW:
            raise
        return None, error.message


def check(s: Settings) -> None:
    """Raise BadInput where both handles are set, and are the same one. Asks no store."""
    if _is_set(s, "my_handle") and _is_set(s, "other_handle") and _bare(s.my_handle) == _bare(s.other_handle):
        raise _alone(s.my_handle, s.other_handle)


def check_pair(s: Settings, conn: Connection[Any], at: Server) -> None:
    """Raise what ``pair_if_any`` would raise for the people of a database that is open, and for columns that lack."""
    from ...postgres import users

    users.require_columns(conn)
    try:
        chosen = handles(s, conn, at)
    except NotFound as error:
        if error.code != TOO_FEW:
            raise
        return
    for handle in (chosen.mine, chosen.other):
        users.find(conn, handle)


def pair_in(
    s: Settings, conn: Connection[Any], at: Server, *, writes: bool = True, options: tuple[str, str] = OPTIONS
) -> tuple[Person, Person]:
    """``pair``, from a database that is open; ``options`` of the command name the two. Raises NotFound, BadInput."""
    chosen = handles(s, conn, at)
    if writes:
        _say(s, chosen, "You are {mine!r} and the other person is {other!r}", options)
    mine, other = person(conn, chosen.mine), person(conn, chosen.other)
    if mine.uuid == other.uuid:
        raise _alone(chosen.mine, chosen.other)
    return mine, other


def me_in(
    s: Settings, conn: Connection[Any], at: Server, *, writes: bool = True, options: tuple[str, str] = OPTIONS
) -> Person:
    """You, from a database that is open; where the command ``writes``, a guess is said. Raises NotFound."""
    chosen = handles(s, conn, at, both=False)
    if writes:
        _say(s, chosen, "You are {mine!r}", options)
    return person(conn, chosen.mine)


def other_than(s: Settings, conn: Connection[Any], at: Server, mine: Person) -> Person:
    """The other person of the settings; you, where that is ``mine``. Raises NotFound."""
    chosen = handles(s, conn, at)
    other = person(conn, chosen.other)
    found = person(conn, chosen.mine) if other.uuid == mine.uuid else other
    if chosen.taken:
        output.note(s, f"The other person is {found.handle!r}; --to or cruddur.toml sets another.")
    return found


def person(conn: Connection[Any], handle: str) -> Person:
    """The person with that handle, as rows name them. Raises NotFound."""
    from ...postgres import users

    found = users.find(conn, handle)
    return Person(found.uuid, found.handle, found.display_name)


def handles(s: Settings, conn: Connection[Any], at: Server, *, both: bool = True) -> Handles:
    """Whose handles count: those that are set; else the defaults where the database has them; else its first people.

    On production, or on a remote host, only what is set or a default counts. Without ``both`` nothing
    is looked up for the other person. Raises NotFound where a person is missing to whom a handle would be given.
    """
    from ...postgres import users

    mine, other = s.my_handle, s.other_handle
    if s.prod or targets.is_foreign(at) or (_is_set(s, "my_handle") and not both):
        return Handles(mine, other)
    if not _is_set(s, "my_handle") and not users.is_known(conn, mine):
        if _is_set(s, "other_handle") or not both:
            (mine,) = _first(conn, 1, at, but=_bare(other) if _is_set(s, "other_handle") else None)
            return Handles(mine, other, (mine,))
        mine, other = _first(conn, 2, at)
        return Handles(mine, other, (mine, other))
    if both and not _is_set(s, "other_handle") and (_bare(mine) == other or not users.is_known(conn, other)):
        (other,) = _first(conn, 1, at, but=_bare(mine))
        return Handles(mine, other, (other,))
    return Handles(mine, other)


def _first(conn: Connection[Any], number: int, at: Server, *, but: str | None = None) -> list[str]:
    from ...postgres import users

    found = users.first(conn, number, but=but)
    if len(found) < number:
        there = users.handles(conn)
        raise NotFound(
            f"A conversation needs two people, and {at.label} has only {there[0]!r}."
            if there
            else f"{at.label[:1].upper()}{at.label[1:]} has no users.",
            hint="cruddur db add-user HANDLE" if there else "cruddur db seed",
            code=TOO_FEW,
            fields={"handles": there},
        )
    return found


def _say(s: Settings, chosen: Handles, both: str, options: tuple[str, str]) -> None:
    """Say whom the database gave, and what sets others."""
    if len(chosen.taken) > 1:
        why, how = "they are the first people of the database", f"{options[0]} and {options[1]} set others"
    elif chosen.taken == (chosen.mine,):
        why, how = f"{chosen.mine!r} is the first person of the database", f"{options[0]} sets another"
    elif chosen.taken:
        why, how = f"{chosen.other!r} is the first other person of the database", f"{options[1]} sets another"
    else:
        return
    output.note(s, f"{both.format(mine=chosen.mine, other=chosen.other)}: {why}; {how}, or cruddur.toml.")


def _is_set(s: Settings, name: str) -> bool:
    return s.origins[name] != "default"


def _bare(handle: str) -> str:
    return handle.removeprefix("@")


def _alone(mine: str, other: str) -> BadInput:
    return BadInput(f"{mine!r} cannot talk to {other!r}: a conversation needs two people.")
