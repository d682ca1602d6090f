"""The people in ``public.users``: found by handle, and joined with their Cognito ids."""

from __future__ import annotations

import difflib
import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, NotFound

if TYPE_CHECKING:
    from psycopg import Connection

_SHOWN_HANDLES = 20
_SYNC = """
    UPDATE public.users AS u SET cognito_user_id = i.sub
    FROM unnest(%s::text[], %s::text[]) AS i(handle, sub)
    WHERE u.handle = i.handle AND u.cognito_user_id IS DISTINCT FROM i.sub
    AND (u.cognito_user_id = 'MOCK' OR NOT %s)
    RETURNING u.handle
"""


@dataclass(frozen=True)
class User:
    """One person, as the application knows them."""

    uuid: str
    handle: str
    display_name: str
    email: str
    cognito_user_id: str


@dataclass(frozen=True)
class SyncResult:
    """What became of one person in a sync. ``result`` is one of the contract's words."""

    handle: str | None
    cognito_user_id: str | None
    result: str


def find(conn: Connection[Any], handle: str) -> User:
    """The person with that handle, the oldest where several have it. Raises NotFound with the handles there are."""
    row = conn.execute(
        "SELECT uuid::text, handle, display_name, email, cognito_user_id FROM public.users"
        " WHERE handle = %s ORDER BY created_at, uuid LIMIT 1",
        [handle.removeprefix("@")],
    ).fetchone()
    if row is not None:
        return User(*row)
    raise _unknown(handle, handles(conn))


def handles(conn: Connection[Any]) -> list[str]:
    """Every handle, by name."""
    return [row[0] for row in conn.execute("SELECT DISTINCT handle FROM public.users ORDER BY handle").fetchall()]


def _unknown(handle: str, known: Sequence[str]) -> NotFound:
    if not known:
        return NotFound(
            f"There is no user {handle!r}: the database has no users.", hint="cruddur db seed", code="user_not_found"
        )
    near = difflib.get_close_matches(handle.lower(), [name.lower() for name in known], 1, 0.5)
    meant = next((name for name in known if near and name.lower() == near[0]), None)
    more = f" and {len(known) - _SHOWN_HANDLES} more" if len(known) > _SHOWN_HANDLES else ""
    return NotFound(
        f"There is no user {handle!r}." + (f" Did you mean {meant!r}?" if meant else ""),
        details=f"There are: {', '.join(known[:_SHOWN_HANDLES])}{more}",
        code="user_not_found",
        hint=f"name one of them, or add one: cruddur db add-user {handle}",
        fields={"handles": list(known)},
    )


def stable_uuid(handle: str) -> str:
    """The UUID that a person added here gets: the same in every database, so that their messages find them again."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"cruddur:user:{handle}"))


def near_handle(handle: str, known: Iterable[str]) -> str | None:
    """The handle that differs from this one in case only, if one does."""
    return next((name for name in known if name != handle and name.casefold() == handle.casefold()), None)


def add(
    conn: Connection[Any], handle: str, *, name: str | None = None, email: str | None = None, dry_run: bool = False
) -> tuple[User, bool]:
    """The person with that handle, and whether they were added just now. Raises BadInput for an impossible handle."""
    handle = handle.removeprefix("@")
    if not re.fullmatch(r"[^\s@/#]{1,64}", handle) or not handle.isprintable():
        raise BadInput(f"{handle!r} cannot be a handle: 1 to 64 characters without spaces, '@', '/' and '#'.")
    conn.execute("LOCK TABLE public.users IN SHARE ROW EXCLUSIVE MODE" if not dry_run else "SELECT 1")
    known = handles(conn)
    if handle in known:
        return find(conn, handle), False
    near = near_handle(handle, known)
    if near is not None:
        raise BadInput(
            f"There is {near!r} already, and {handle!r} differs in case only: people would take one for the other.",
            hint=f"name somebody else, or use {near}",
            code="handle_taken",
        )
    user = User(stable_uuid(handle), handle, name or handle, email or f"{handle}@example.com", "MOCK")
    if not dry_run:
        conn.execute(
            "INSERT INTO public.users (uuid, handle, display_name, email, cognito_user_id) VALUES (%s, %s, %s, %s, %s)",
            [user.uuid, user.handle, user.display_name, user.email, user.cognito_user_id],
        )
    return user, True


def sync_cognito_ids(
    conn: Connection[Any],
    identities: Iterable[tuple[str | None, str]],
    *,
    only_mock: bool = False,
    dry_run: bool = False,
) -> list[SyncResult]:
    """Write each identity's sub to the user with its handle, in one statement; identities are (handle, sub).

    Comes back with one result for each identity and one for each user that is still ``MOCK``. A handle that two
    identities or two users have is reported and changed for nobody. Handles are compared as they are written. With
    ``only_mock`` an id that is somebody's already stays.
    """
    everyone = list(identities)
    subs: dict[str, str] = {}
    twice: set[str] = set()
    for handle, sub in everyone:
        if handle is not None and subs.setdefault(handle, sub) != sub:
            twice.add(handle)
    known = {
        handle: (count, cognito_id)
        for handle, count, cognito_id in conn.execute(
            "SELECT handle, count(*), min(cognito_user_id) FROM public.users GROUP BY handle"
        ).fetchall()
    }
    twice |= {handle for handle in subs if known.get(handle, (1, ""))[0] > 1}
    wanted = {handle: sub for handle, sub in subs.items() if handle not in twice}
    if dry_run:
        changed = {
            handle
            for handle, sub in wanted.items()
            if handle in known and known[handle][1] != sub and (known[handle][1] == "MOCK" or not only_mock)
        }
    else:
        values = [list(wanted), list(wanted.values()), only_mock]
        changed = {row[0] for row in conn.execute(_SYNC, values).fetchall()}
    results = [SyncResult(handle, sub, _outcome(handle, known, twice, changed)) for handle, sub in everyone]
    results += [
        SyncResult(handle, None, "still MOCK")
        for handle, (_, cognito_id) in sorted(known.items())
        if cognito_id == "MOCK" and handle not in changed
    ]
    return results


def with_other_ids(conn: Connection[Any], results: Iterable[SyncResult]) -> int:
    """How many of those that a sync left unchanged have another id than the pool says."""
    ids = dict(conn.execute("SELECT handle, cognito_user_id FROM public.users").fetchall())
    return sum(row.result == "unchanged" and ids.get(row.handle or "") != row.cognito_user_id for row in results)


def create_missing(conn: Connection[Any], people: Iterable[tuple[str, str, str | None]]) -> set[str]:
    """Add people of whom only Cognito knows, (handle, sub, e-mail) each, in one statement; the handles that were added.

    The name that is shown is the handle until they change it. Somebody who is there by now is left alone.
    """
    rows = [(stable_uuid(handle), handle, sub, email or f"{handle}@example.com") for handle, sub, email in people]
    added = conn.execute(
        "INSERT INTO public.users (uuid, display_name, handle, email, cognito_user_id)"
        " SELECT i.uuid, i.handle, i.handle, i.email, i.sub"
        " FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[]) AS i(uuid, handle, sub, email)"
        " WHERE NOT EXISTS (SELECT FROM public.users AS u WHERE u.handle = i.handle)"
        " ON CONFLICT DO NOTHING RETURNING handle",
        [[row[column] for row in rows] for column in range(4)],
    )
    return {row[0] for row in added.fetchall()}


def _outcome(handle: str | None, known: Any, twice: set[str], changed: set[str]) -> str:
    if handle is None:
        return "no handle"
    if handle in twice:
        return "duplicate handle"
    if handle not in known:
        return "no such user"
    return "updated" if handle in changed else "unchanged"
