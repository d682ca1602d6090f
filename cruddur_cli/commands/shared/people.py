"""Finds the people a command is about: you and the other person, from options, from settings or from the database."""

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
    """The handles of you and of the other person.

    ``guessed`` are those that come from the database and not from a setting.
    """

    mine: str
    other: str
    guessed: tuple[str, ...] = ()


def pair(s: Settings, *, writes: bool = True) -> tuple[Person, Person]:
    """You and the other person. If the command ``writes``, it prints which handles were guessed.

    Raises NotFound, BadInput.
    """
    check(s)
    at = targets.server(s)
    with connections.postgres(s, at=at) as conn:
        return pair_in(s, conn, at, writes=writes)


def pair_if_any(s: Settings) -> tuple[tuple[Person, Person] | None, str | None]:
    """``pair`` and None; or None and the reason, where no handle is set and the database has too few people."""
    try:
        return pair(s), None
    except NotFound as error:
        if error.code != TOO_FEW:
            raise
        return None, error.message


def check(s: Settings) -> None:
    """Raise BadInput where both handles are set to the same person. Sends no request."""
    if _is_set(s, "my_handle") and _is_set(s, "other_handle") and _bare(s.my_handle) == _bare(s.other_handle):
        raise _same_person(s.my_handle, s.other_handle)


def check_pair(s: Settings, conn: Connection[Any], at: Server) -> None:
    """Raise the errors of ``pair_if_any`` for the people of an open database, and NotFound for missing columns."""
    from ...postgres import users

    users.require_columns(conn)
    try:
        pair_handles = handles(s, conn, at)
    except NotFound as error:
        if error.code != TOO_FEW:
            raise
        return
    for handle in (pair_handles.mine, pair_handles.other):
        users.find(conn, handle)


def pair_in(
    s: Settings, conn: Connection[Any], at: Server, *, writes: bool = True, options: tuple[str, str] = OPTIONS
) -> tuple[Person, Person]:
    """``pair``, from an open database. ``options`` are the command's names of the two options.

    Raises NotFound, BadInput.
    """
    pair_handles = handles(s, conn, at)
    if writes:
        _report_guess(s, pair_handles, "You are {mine!r} and the other person is {other!r}", options)
    mine, other = person(conn, pair_handles.mine), person(conn, pair_handles.other)
    if mine.uuid == other.uuid:
        raise _same_person(pair_handles.mine, pair_handles.other)
    return mine, other


def me_in(
    s: Settings, conn: Connection[Any], at: Server, *, writes: bool = True, options: tuple[str, str] = OPTIONS
) -> Person:
    """You, from an open database. If the command ``writes``, it prints a guessed handle. Raises NotFound."""
    pair_handles = handles(s, conn, at, both=False)
    if writes:
        _report_guess(s, pair_handles, "You are {mine!r}", options)
    return person(conn, pair_handles.mine)


def other_than(s: Settings, conn: Connection[Any], at: Server, mine: Person) -> Person:
    """The person that ``mine`` talks to: the other person of the settings, or you where ``mine`` is that person.

    Raises NotFound.
    """
    pair_handles = handles(s, conn, at)
    other = person(conn, pair_handles.other)
    partner = person(conn, pair_handles.mine) if other.uuid == mine.uuid else other
    if pair_handles.guessed:
        output.note(s, f"The other person is {partner.handle!r}; --to or cruddur.toml sets another.")
    return partner


def person(conn: Connection[Any], handle: str) -> Person:
    """The person with this handle, as items name them. Raises NotFound."""
    from ...postgres import users

    user = users.find(conn, handle)
    return Person(user.uuid, user.handle, user.display_name)


def handles(s: Settings, conn: Connection[Any], at: Server, *, both: bool = True) -> Handles:
    """The handles that are set; else the defaults, if the database has them; else the first people of the database.

    On production and on a remote host it does not guess. Without ``both`` it does not look for the other person. Raises
    NotFound where the database has too few people to guess.
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

    people = users.first(conn, number, but=but)
    if len(people) < number:
        known_handles = users.handles(conn)
        raise NotFound(
            f"A conversation needs two people, and {at.label} has only {known_handles[0]!r}."
            if known_handles
            else f"{at.label[:1].upper()}{at.label[1:]} has no users.",
            hint="cruddur db add-user HANDLE" if known_handles else "cruddur db seed",
            code=TOO_FEW,
            fields={"handles": known_handles},
        )
    return people


def _report_guess(s: Settings, pair_handles: Handles, sentence: str, options: tuple[str, str]) -> None:
    """Print which handles were guessed, and which options set others."""
    if len(pair_handles.guessed) > 1:
        reason, advice = "they are the first people of the database", f"{options[0]} and {options[1]} set others"
    elif pair_handles.guessed == (pair_handles.mine,):
        reason, advice = f"{pair_handles.mine!r} is the first person of the database", f"{options[0]} sets another"
    elif pair_handles.guessed:
        reason, advice = (
            f"{pair_handles.other!r} is the first other person of the database",
            f"{options[1]} sets another",
        )
    else:
        return
    output.note(
        s,
        f"{sentence.format(mine=pair_handles.mine, other=pair_handles.other)}: {reason}; {advice},"
        " and so does cruddur.toml.",
    )


def _is_set(s: Settings, name: str) -> bool:
    return s.origins[name] != "default"


def _bare(handle: str) -> str:
    return handle.removeprefix("@")


def _same_person(mine: str, other: str) -> BadInput:
    return BadInput(f"{mine!r} cannot talk to {other!r}: a conversation needs two people.")
