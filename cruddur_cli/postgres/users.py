"""Finds and adds the people in ``public.users``, and stores their Cognito ids."""

from __future__ import annotations

import difflib
import re
import shlex
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, NotFound

if TYPE_CHECKING:
    from psycopg import Connection

_SHOWN_HANDLES = 20
# What no address lacks. 254 is the longest path of SMTP without its brackets (RFC 5321, 4.5.3.1.3).
_EMAIL = re.compile(r"(?=.{3,254}$)[^\s@]+@[^\s@]+")
# The first is the name in the application, the second the name in some of its copies.
_ID_COLUMNS = ("cognito_user_id", "cognito_user_uuid")
_SYNC = """
    UPDATE public.users AS u SET {id} = i.sub
    FROM unnest(%s::text[], %s::text[]) AS i(handle, sub)
    WHERE u.handle = i.handle AND u.{id} IS DISTINCT FROM i.sub
    AND (u.{id} = 'MOCK' OR NOT %s)
    RETURNING u.handle
"""


@dataclass(frozen=True)
class Profile:
    """A person as messages name them."""

    uuid: str
    handle: str
    display_name: str


@dataclass(frozen=True)
class User:
    """One row of ``public.users``."""

    uuid: str
    handle: str
    display_name: str
    email: str
    cognito_user_id: str


@dataclass(frozen=True)
class SyncResult:
    """The result of a sync for one person; ``result`` is a word that JSON output shows, such as ``updated``."""

    handle: str | None
    cognito_user_id: str | None
    result: str


def find(conn: Connection[Any], handle: str) -> Profile:
    """The person with that handle; of several, the oldest. Raises NotFound, which lists the existing handles.

    Reads only the columns of a ``Profile``: an application may have named the others differently. Raises BadInput for
    an empty handle.
    """
    if not handle.removeprefix("@").strip():
        raise BadInput("The handle is empty.", hint="name a person by a handle, such as bayko")
    columns = column_names(conn)
    name = "coalesce(display_name, handle)" if "display_name" in columns else "handle"
    oldest = "created_at, uuid" if "created_at" in columns else "uuid"
    query = f"SELECT uuid::text, handle, {name} FROM public.users WHERE handle = %s ORDER BY {oldest} LIMIT 1"
    row = conn.execute(query.encode(), [handle.removeprefix("@")]).fetchone()
    if row is None:
        raise _unknown(handle, handles(conn))
    return Profile(*row)


def first(conn: Connection[Any], number: int, *, but: str | None = None) -> list[str]:
    """The first ``number`` handles by time of creation, then by handle; ``but`` is left out."""
    created = "min(created_at), " if "created_at" in column_names(conn) else ""
    query = (
        "SELECT handle FROM public.users WHERE handle IS DISTINCT FROM %s AND handle IS NOT NULL GROUP BY handle"
        f' ORDER BY {created}handle COLLATE "C" LIMIT %s'
    )
    return [row[0] for row in conn.execute(query.encode(), [but, number]).fetchall()]


def is_known(conn: Connection[Any], handle: str) -> bool:
    """Whether a person has that handle."""
    query = "SELECT EXISTS (SELECT FROM public.users WHERE handle = %s)"
    row = conn.execute(query, [handle.removeprefix("@")]).fetchone()
    return bool(row and row[0])


def present(conn: Connection[Any], uuids: Iterable[str]) -> set[str]:
    """Those of the UUIDs that people in the database have, in lower case; a text that is no UUID is left out."""
    query = "SELECT uuid::text FROM public.users WHERE uuid::text = ANY(%s)"
    return {row[0] for row in conn.execute(query, [[text.lower() for text in uuids]]).fetchall()}


def column_names(conn: Connection[Any]) -> set[str]:
    """The names of the columns of ``public.users``."""
    query = (
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('public.users') AND attnum > 0"
        " AND NOT attisdropped"
    )
    return {row[0] for row in conn.execute(query).fetchall()}


def _id_column(conn: Connection[Any]) -> str:
    """The name of the column with a person's Cognito id. Raises NotFound if the table has none."""
    columns = column_names(conn)
    for name in _ID_COLUMNS:
        if name in columns:
            return name
    raise NotFound(
        f"public.users has no column {_ID_COLUMNS[0]}.",
        details=f"Its columns: {', '.join(sorted(columns)) or 'none, as there is no such table'}",
        code="column_missing",
    )


def require_columns(conn: Connection[Any]) -> None:
    """Raise NotFound if ``public.users`` exists without ``uuid`` or ``handle``, by which messages name people."""
    columns = column_names(conn)
    for name in ("uuid", "handle"):
        if columns and name not in columns:
            raise NotFound(
                f"public.users has no column {name}, and every message names its people by it.",
                details=f"Its columns: {', '.join(sorted(columns))}",
                hint="`cruddur db setup` sets up the database alone",
                code="column_missing",
            )


def everyone(conn: Connection[Any]) -> list[tuple[str, str, str]]:
    """Handle, display name and e-mail of every person, sorted by handle; of several with a handle, the oldest.

    If the table has no column for display name or e-mail, they are made from the handle.
    """
    columns = column_names(conn)
    name = "display_name" if "display_name" in columns else "handle"
    email = "email" if "email" in columns else "handle || '@example.com'"
    order = ", ".join(column for column in ("handle", "created_at", "uuid") if column in columns)
    query = f"SELECT DISTINCT ON (handle) handle, {name}, {email} FROM public.users ORDER BY {order}"
    return [tuple(row) for row in conn.execute(query.encode()).fetchall()]


def read_all(conn: Connection[Any]) -> list[User]:
    """Every person, sorted by handle; a field whose column the table lacks is empty."""
    columns = column_names(conn)
    wanted = ["uuid::text", "handle", "display_name", "email"]
    selected = [name if name.partition(":")[0] in columns else "''" for name in wanted]
    id_column = next((name for name in _ID_COLUMNS if name in columns), "''")
    query = f"SELECT {', '.join(selected)}, coalesce({id_column}, '') FROM public.users ORDER BY 2, 1"
    return [User(*row) for row in conn.execute(query.encode()).fetchall()]


def handles(conn: Connection[Any]) -> list[str]:
    """All handles, sorted."""
    return [row[0] for row in conn.execute("SELECT DISTINCT handle FROM public.users ORDER BY handle").fetchall()]


def _unknown(handle: str, known: Sequence[str]) -> NotFound:
    if not known:
        return NotFound(
            f"There is no user {handle!r}: the database has no users.", hint="cruddur db seed", code="user_not_found"
        )
    near = difflib.get_close_matches(handle.lower(), [name.lower() for name in known], cutoff=0.5)
    suggestion = next((name for name in known if near and name.lower() == near[0]), None)
    more = f" and {len(known) - _SHOWN_HANDLES} more" if len(known) > _SHOWN_HANDLES else ""
    return NotFound(
        f"There is no user {handle!r}." + (f" Did you mean {suggestion!r}?" if suggestion else ""),
        details=f"There are: {', '.join(known[:_SHOWN_HANDLES])}{more}",
        code="user_not_found",
        hint=f"name one of them, or add one: cruddur db add-user {shlex.quote(handle)}",
        fields={"handles": list(known)},
    )


def stable_uuid(handle: str) -> str:
    """The UUID derived from a handle, the same in every database, so that messages still belong to the person."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"cruddur:user:{handle}"))


def near_handle(handle: str, known: Iterable[str]) -> str | None:
    """The known handle that differs from this one only in case; None without one."""
    return next((name for name in known if name != handle and name.casefold() == handle.casefold()), None)


def add(
    conn: Connection[Any],
    handle: str,
    *,
    name: str | None = None,
    email: str | None = None,
    uuid: str | None = None,
    dry_run: bool = False,
) -> tuple[User, bool]:
    """The person with that handle, added if there is none; and whether they were added.

    ``uuid`` is derived from the handle by default. A person who got that UUID from a copy is renamed instead. Raises
    BadInput for an impossible handle, e-mail address or UUID, for a UUID that a person has, and for a handle that
    differs from an existing one only in case.
    """
    handle = handle.removeprefix("@")
    if not re.fullmatch(r"[^\s@/#]{1,64}", handle) or not handle.isprintable():
        raise BadInput(f"{handle!r} cannot be a handle: 1 to 64 characters without spaces, '@', '/' and '#'.")
    if email is not None and not (_EMAIL.fullmatch(email) and email.isprintable()):
        raise BadInput(f"{email!r} is not an e-mail address, such as {handle}@example.com.")
    conn.execute("LOCK TABLE public.users IN SHARE ROW EXCLUSIVE MODE" if not dry_run else "SELECT 1")
    known = handles(conn)
    if handle in known:
        return _read(conn, handle), False
    near = near_handle(handle, known)
    if near is not None:
        raise BadInput(
            f"There is {near!r} already, and {handle!r} differs only in case: people would confuse them.",
            hint=f"choose another handle, or use {near}",
            code="handle_taken",
        )
    user = User(
        stable_uuid(handle) if uuid is None else _free_uuid(conn, uuid),
        handle,
        name or handle,
        email or f"{handle}@example.com",
        "MOCK",
    )
    if not dry_run and not _rename_copied(conn, user):
        row = {"uuid": user.uuid, **_profile_columns(conn, user), _id_column(conn): user.cognito_user_id}
        conn.execute(
            f"INSERT INTO public.users ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})",
            list(row.values()),
        )
    return user, True


def _profile_columns(conn: Connection[Any], user: User) -> dict[str, str]:
    """A person's handle, display name and e-mail, by column; without the columns that the table lacks."""
    values = {"handle": user.handle, "display_name": user.display_name, "email": user.email}
    columns = column_names(conn)
    return {name: value for name, value in values.items() if name in columns}


def _free_uuid(conn: Connection[Any], text: str) -> str:
    """The UUID as PostgreSQL writes it. Raises BadInput for a text that is no UUID, and if a person has it."""
    try:
        wanted = str(uuid.UUID(text))
    except ValueError as error:
        raise BadInput(
            f"{text!r} is not a UUID.", hint="leave --uuid out: a handle always gets the same UUID"
        ) from error
    row = conn.execute("SELECT handle FROM public.users WHERE uuid::text = %s", [wanted]).fetchone()
    if row:
        raise BadInput(f"{row[0]} has the UUID {wanted}.", hint="leave --uuid out", code="uuid_taken")
    return wanted


def _rename_copied(conn: Connection[Any], user: User) -> bool:
    """Give the person with that UUID the user's handle, if a copy added them under another; whether there was one."""
    columns = _profile_columns(conn, user)
    done = conn.execute(
        f"UPDATE public.users SET {', '.join(f'{name} = %s' for name in columns)} WHERE uuid = %s::uuid"
        f" AND {_id_column(conn)} = 'MOCK'",
        [*columns.values(), user.uuid],
    )
    return done.rowcount > 0


def add_copied(
    conn: Connection[Any], people: Iterable[tuple[str, str, str]], *, dry_run: bool
) -> tuple[int, list[str]]:
    """Add the people of a copy, (UUID, handle, display name) each; the number added, and the handles already taken.

    Existing people are not changed. A person whose handle is taken is not added. A text that is no UUID is skipped,
    because no person can have it here.
    """
    known = {row[0] for row in conn.execute("SELECT uuid::text FROM public.users").fetchall()}
    taken = set(handles(conn))
    new: dict[str, tuple[str, str, str]] = {}
    skipped: list[str] = []
    for text, handle, name in people:
        try:
            number = str(uuid.UUID(text))
        except ValueError:
            continue
        if number in known or number in new:
            continue
        if handle in taken:
            skipped.append(handle)
            continue
        taken.add(handle)
        new[number] = number, handle, name
    if new and not dry_run:
        columns, values = f"uuid, handle, {_id_column(conn)}", "i.uuid, i.handle, 'MOCK'"
        for column, value in (("display_name", "i.name"), ("email", "i.handle || '@example.com'")):
            if column in column_names(conn):
                columns, values = f"{columns}, {column}", f"{values}, {value}"
        conn.execute(
            f"INSERT INTO public.users ({columns}) SELECT {values}"
            " FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS i(uuid, handle, name) ON CONFLICT DO NOTHING",
            [[row[place] for row in new.values()] for place in range(3)],
        )
    return len(new), skipped


def _read(conn: Connection[Any], handle: str) -> User:
    columns = column_names(conn)
    oldest = "created_at, uuid" if "created_at" in columns else "uuid"
    name, email = (column if column in columns else "''" for column in ("display_name", "email"))
    row = conn.execute(
        f"SELECT uuid::text, handle, {name}, {email}, {_id_column(conn)} FROM public.users"
        f" WHERE handle = %s ORDER BY {oldest} LIMIT 1",
        [handle],
    ).fetchone()
    assert row is not None
    return User(*row)


def sync_cognito_ids(
    conn: Connection[Any],
    identities: Iterable[tuple[str | None, str]],
    *,
    only_mock: bool = False,
    dry_run: bool = False,
) -> list[SyncResult]:
    """Write each identity's sub to the user with its handle, in one statement; identities are (handle, sub).

    Returns one result for each identity, and one for each user whose id is still ``MOCK``. A handle that two
    identities or two users have is reported and not written. Handles that differ in case are different. With
    ``only_mock`` an id other than ``MOCK`` is not changed.
    """
    pairs = list(identities)
    column = _id_column(conn)
    subs: dict[str, str] = {}
    duplicates: set[str] = set()
    for handle, sub in pairs:
        if handle is not None and subs.setdefault(handle, sub) != sub:
            duplicates.add(handle)
    known = {
        handle: (count, cognito_id)
        for handle, count, cognito_id in conn.execute(
            f"SELECT handle, count(*), min({column}) FROM public.users GROUP BY handle".encode()
        ).fetchall()
    }
    duplicates |= {handle for handle in subs if known.get(handle, (1, ""))[0] > 1}
    wanted = {handle: sub for handle, sub in subs.items() if handle not in duplicates}
    if dry_run:
        changed = {
            handle
            for handle, sub in wanted.items()
            if handle in known and known[handle][1] != sub and (known[handle][1] == "MOCK" or not only_mock)
        }
    else:
        values = [list(wanted), list(wanted.values()), only_mock]
        changed = {row[0] for row in conn.execute(_SYNC.format(id=column).encode(), values).fetchall()}
    results = [SyncResult(handle, sub, _outcome(handle, known, duplicates, changed)) for handle, sub in pairs]
    results += [
        SyncResult(handle, None, "still MOCK")
        for handle, (_, cognito_id) in sorted(known.items())
        if cognito_id == "MOCK" and handle not in changed
    ]
    return results


def with_other_ids(conn: Connection[Any], results: Iterable[SyncResult]) -> int:
    """How many of the ``unchanged`` results have another id in the database than in the user pool."""
    ids = dict(conn.execute(f"SELECT handle, {_id_column(conn)} FROM public.users".encode()).fetchall())
    return sum(row.result == "unchanged" and ids.get(row.handle or "") != row.cognito_user_id for row in results)


def create_missing(conn: Connection[Any], people: Iterable[tuple[str, str, str | None]]) -> set[str]:
    """Add people who exist only in Cognito, (handle, sub, e-mail) each, in one statement; the handles added.

    Their display name is the handle until they change it. A person whom another session has added is not changed.
    """
    rows = [(stable_uuid(handle), handle, sub, email or f"{handle}@example.com") for handle, sub, email in people]
    columns = column_names(conn)
    optional = {"display_name": "i.handle", "email": "i.email"}
    more = {column: value for column, value in optional.items() if column in columns}
    added = conn.execute(
        f"INSERT INTO public.users ({', '.join(['uuid', 'handle', _id_column(conn), *more])})"
        f" SELECT {', '.join(['i.uuid', 'i.handle', 'i.sub', *more.values()])}"
        " FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[]) AS i(uuid, handle, sub, email)"
        " WHERE NOT EXISTS (SELECT FROM public.users AS u WHERE u.handle = i.handle)"
        " ON CONFLICT DO NOTHING RETURNING handle",
        [[row[column] for row in rows] for column in range(4)],
    )
    return {row[0] for row in added.fetchall()}


def _outcome(handle: str | None, known: Any, duplicates: set[str], changed: set[str]) -> str:
    if handle is None:
        return "no handle"
    if handle in duplicates:
        return "duplicate handle"
    if handle not in known:
        return "no such user"
    return "updated" if handle in changed else "unchanged"
