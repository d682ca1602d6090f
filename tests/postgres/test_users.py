"""People are added once, found by handle, and get their Cognito ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from cruddur_cli.errors import BadInput, NotFound
from cruddur_cli.postgres import users
from cruddur_cli.postgres.users import Profile, SyncResult, User

MIRA = "69f9cb8e-a528-527e-9423-2105bb97eba8"


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection[Any]]:
    """The seeded people, in a transaction that is not committed."""
    with psycopg.connect(database) as opened:
        yield opened
        opened.rollback()


@pytest.fixture
def three(conn: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Zoe, then Ann and Bob at the same moment."""
    conn.execute("DELETE FROM activities")
    conn.execute("DELETE FROM users")
    insert(conn, "zoe", "2023-01-01")
    insert(conn, "bob", "2023-01-02")
    insert(conn, "ann", "2023-01-02")
    return conn


def insert(conn: psycopg.Connection[Any], handle: str, created: str, *, uuid: str | None = None) -> None:
    conn.execute(
        "INSERT INTO users (uuid, display_name, handle, email, cognito_user_id, created_at)"
        " VALUES (coalesce(%s::uuid, gen_random_uuid()), %s, %s, 'e', 'MOCK', %s)",
        [uuid, handle.title(), handle, created],
    )


def row(conn: psycopg.Connection[Any], handle: str) -> tuple[Any, ...] | None:
    query = "SELECT uuid::text, handle, display_name, email, cognito_user_id FROM users WHERE handle = %s"
    return conn.execute(query, [handle]).fetchone()


def test_every_person_is_read_with_the_cognito_id_whatever_its_column_is_called(conn: psycopg.Connection[Any]) -> None:
    conn.execute("UPDATE users SET cognito_user_id = 'id of ' || handle")
    assert {user.handle: user.cognito_user_id for user in users.read_all(conn)}["bayko"] == "id of bayko"
    conn.execute("ALTER TABLE users RENAME cognito_user_id TO cognito_user_uuid")
    assert {user.handle: user.cognito_user_id for user in users.read_all(conn)}["bayko"] == "id of bayko"
    conn.execute("ALTER TABLE users DROP cognito_user_uuid")
    assert {user.cognito_user_id for user in users.read_all(conn)} == {""}


def test_a_person_without_name_and_email_gets_those_of_the_handle(conn: psycopg.Connection[Any]) -> None:
    user, added = users.add(conn, "@mira")
    assert added is True
    assert user == User(users.stable_uuid("mira"), "mira", "mira", "mira@example.com", "MOCK")
    assert row(conn, "mira") == (user.uuid, "mira", "mira", "mira@example.com", "MOCK")


def test_a_person_has_the_name_and_the_email_that_were_given(conn: psycopg.Connection[Any]) -> None:
    user, added = users.add(conn, "mira", name="Mira Lund", email="mira@cruddur.test")
    assert (added, user.display_name, user.email) == (True, "Mira Lund", "mira@cruddur.test")
    assert row(conn, "mira") == (user.uuid, "mira", "Mira Lund", "mira@cruddur.test", "MOCK")


@pytest.mark.parametrize(
    "email", ["", "mira", "mira@", "@cruddur.test", "mi ra@cruddur.test", "mira@cruddur@test", "a@b\x07", "a\n@b",
              f"{'m' * 242}@cruddur.test"],
)  # fmt: skip
def test_what_is_no_email_address_is_refused(conn: psycopg.Connection[Any], email: str) -> None:
    for handle in ("mira", "bayko"):
        with pytest.raises(BadInput, match="is not an e-mail address"):
            users.add(conn, handle, email=email)
    assert "mira" not in users.handles(conn)


@pytest.mark.parametrize("email", ["a@b", "mira+test@cruddur.test", "mïra@crüddur.test", f"{'m' * 241}@cruddur.test"])
def test_unusual_email_addresses_are_stored(conn: psycopg.Connection[Any], email: str) -> None:
    assert users.add(conn, "mira", email=email)[0].email == email


def test_a_person_who_exists_is_not_changed_and_not_counted_as_added(conn: psycopg.Connection[Any]) -> None:
    first, _ = users.add(conn, "mira", name="Mira Lund")
    again, added = users.add(conn, "mira", name="Another", email="another@example.com")
    assert (again, added) == (first, False)
    assert row(conn, "mira") == (first.uuid, "mira", "Mira Lund", "mira@example.com", "MOCK")


def test_a_dry_run_returns_the_person_and_stores_nothing(conn: psycopg.Connection[Any]) -> None:
    user, added = users.add(conn, "mira", dry_run=True)
    assert (user.handle, added) == ("mira", True)
    assert row(conn, "mira") is None


def test_a_uuid_does_not_change_between_versions() -> None:
    """Messages are stored under it."""
    assert users.stable_uuid("mira") == MIRA


def test_a_person_takes_back_the_uuid_that_a_copy_renamed(conn: psycopg.Connection[Any]) -> None:
    insert(conn, "person-1", "2023-01-01", uuid=MIRA)
    user, added = users.add(conn, "mira", name="Mira Lund")
    assert added
    assert row(conn, "person-1") is None
    assert row(conn, "mira") == (MIRA, "mira", "Mira Lund", "mira@example.com", "MOCK") == (user.uuid, *row_of(user))


def row_of(user: User) -> tuple[str, str, str, str]:
    return user.handle, user.display_name, user.email, user.cognito_user_id


@pytest.mark.parametrize("handle", ["", "@", "a b", "a/b", "a#b", "a@b", "x" * 65, "a\x07b"])
def test_an_impossible_handle_is_refused(conn: psycopg.Connection[Any], handle: str) -> None:
    with pytest.raises(BadInput, match="cannot be a handle"):
        users.add(conn, handle)


def test_a_handle_has_up_to_64_characters(conn: psycopg.Connection[Any]) -> None:
    user, added = users.add(conn, "x" * 64)
    assert (user.handle, added) == ("x" * 64, True)


def test_the_oldest_of_two_with_one_handle_is_found(three: psycopg.Connection[Any]) -> None:
    """The older person has the larger UUID, so the time decides."""
    old, new = "ffffffff-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000000"
    insert(three, "mira", "2023-02-02", uuid=new)
    insert(three, "mira", "2023-02-01", uuid=old)
    assert users.find(three, "@mira") == Profile(old, "mira", "Mira")
    user, added = users.add(three, "mira")
    assert (user.uuid, added) == (old, False)


def test_the_first_people_are_those_created_first_then_by_handle(three: psycopg.Connection[Any]) -> None:
    assert users.first(three, 2) == ["zoe", "ann"]
    assert users.first(three, 3, but="zoe") == ["ann", "bob"]
    assert users.handles(three) == ["ann", "bob", "zoe"]


def test_people_are_known_by_handle_and_by_uuid(three: psycopg.Connection[Any]) -> None:
    insert(three, "mira", "2023-02-01", uuid=MIRA)
    assert users.is_known(three, "@mira")
    assert not users.is_known(three, "nobody")
    assert users.present(three, [MIRA.upper(), "no uuid"]) == {MIRA}


def test_an_unknown_handle_is_an_error_with_a_suggestion_and_all_handles(three: psycopg.Connection[Any]) -> None:
    with pytest.raises(NotFound) as caught:
        users.find(three, "Zo")
    error = caught.value
    assert error.message == "There is no user 'Zo'. Did you mean 'zoe'?"
    assert error.details == "There are: ann, bob, zoe"
    assert error.fields["handles"] == ["ann", "bob", "zoe"]
    with pytest.raises(NotFound) as caught:
        users.find(three, "quite-another")
    assert caught.value.message == "There is no user 'quite-another'."


@pytest.mark.parametrize(("count", "more"), [(20, ""), (21, " and 1 more")])
def test_the_error_for_an_unknown_handle_lists_at_most_20(
    three: psycopg.Connection[Any], count: int, more: str
) -> None:
    for number in range(3, count):
        insert(three, f"person{number:02}", "2024-01-01")
    with pytest.raises(NotFound) as caught:
        users.find(three, "q")
    shown = ["ann", "bob", *(f"person{number:02}" for number in range(3, count)), "zoe"][:20]
    assert caught.value.details == f"There are: {', '.join(shown)}{more}"


def test_a_handle_that_differs_in_case_only_is_near() -> None:
    assert users.near_handle("Mira", ["zoe", "mira"]) == "mira"
    assert users.near_handle("mira", ["mira", "zoe"]) is None


def copied(conn: psycopg.Connection[Any], *, dry_run: bool) -> tuple[int, list[str]]:
    people = [
        (MIRA.upper(), "mira", "Mira Lund"),
        (MIRA, "again", "The same UUID"),
        ("no uuid", "nobody", "Nobody"),
        ("11111111-2222-4333-8444-555555555555", "zoe", "Another Zoe"),
        ("11111111-2222-4333-8444-666666666666", "mira", "Another Mira"),
    ]
    return users.add_copied(conn, people, dry_run=dry_run)


def test_people_of_a_copy_are_added_to_the_existing_ones(three: psycopg.Connection[Any]) -> None:
    zoe = row(three, "zoe")
    assert copied(three, dry_run=True) == (1, ["zoe", "mira"])
    assert users.handles(three) == ["ann", "bob", "zoe"]
    assert copied(three, dry_run=False) == (1, ["zoe", "mira"])
    assert users.handles(three) == ["ann", "bob", "mira", "zoe"]
    assert row(three, "mira") == (MIRA, "mira", "Mira Lund", "mira@example.com", "MOCK")
    assert row(three, "zoe") == zoe
    assert copied(three, dry_run=False) == (0, ["zoe", "mira"])


def synced(conn: psycopg.Connection[Any], **how: bool) -> list[tuple[str | None, str]]:
    """Ann has her id, Bob has another one, Zoe has none; Mira exists only in Cognito, and two identities are Kim."""
    identities = [("ann", "a"), ("bob", "b"), ("zoe", "z"), ("mira", "m"), (None, "n"), ("kim", "1"), ("kim", "2")]
    results = users.sync_cognito_ids(conn, identities, **how)
    assert [(found.handle, found.cognito_user_id) for found in results[: len(identities)]] == identities
    return [(found.handle, found.result) for found in results]


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("only_mock", [True, False])
def test_each_identity_of_a_sync_has_its_result(three: psycopg.Connection[Any], dry_run: bool, only_mock: bool) -> None:
    insert(three, "kim", "2024-01-01")
    three.execute("UPDATE users SET cognito_user_id = 'a' WHERE handle = 'ann'")
    three.execute("UPDATE users SET cognito_user_id = 'other' WHERE handle = 'bob'")
    assert synced(three, dry_run=dry_run, only_mock=only_mock) == [
        ("ann", "unchanged"),
        ("bob", "unchanged" if only_mock else "updated"),
        ("zoe", "updated"),
        ("mira", "no such user"),
        (None, "no handle"),
        ("kim", "duplicate handle"),
        ("kim", "duplicate handle"),
        ("kim", "still MOCK"),
    ]
    stored = dict(three.execute("SELECT handle, cognito_user_id FROM users").fetchall())
    bob = "other" if dry_run or only_mock else "b"
    assert stored == {"ann": "a", "bob": bob, "zoe": "MOCK" if dry_run else "z", "kim": "MOCK"}


def test_two_people_with_one_handle_get_no_id(three: psycopg.Connection[Any]) -> None:
    insert(three, "zoe", "2024-01-01")
    results = users.sync_cognito_ids(three, [("zoe", "z"), ("ann", "a")])
    assert [(found.handle, found.result) for found in results] == [
        ("zoe", "duplicate handle"),
        ("ann", "updated"),
        ("bob", "still MOCK"),
        ("zoe", "still MOCK"),
    ]


def test_ids_that_differ_from_the_pool_are_counted(three: psycopg.Connection[Any]) -> None:
    three.execute("UPDATE users SET cognito_user_id = 'other' WHERE handle = 'bob'")
    results = [SyncResult("bob", "b", "unchanged"), SyncResult("ann", "MOCK", "unchanged"), SyncResult("zoe", "z", "x")]
    assert users.with_other_ids(three, results) == 1


def test_a_table_without_a_column_for_the_cognito_id_is_told_with_its_columns(conn: psycopg.Connection[Any]) -> None:
    conn.execute("ALTER TABLE users DROP cognito_user_id")
    with pytest.raises(NotFound, match=r"public\.users has no column cognito_user_id") as caught:
        users.with_other_ids(conn, [])
    assert str(caught.value.details) == f"Its columns: {', '.join(sorted(users.column_names(conn)))}"
    conn.execute("DROP TABLE users CASCADE")
    with pytest.raises(NotFound) as caught:
        users.with_other_ids(conn, [])
    assert str(caught.value.details) == "Its columns: none, as there is no such table"


def test_the_table_is_locked_while_a_person_is_added_and_not_by_a_dry_run(conn: psycopg.Connection[Any]) -> None:
    query = "SELECT count(*) FROM pg_locks WHERE relation = 'users'::regclass AND mode = 'ShareRowExclusiveLock'"
    for dry_run in (True, False):
        users.add(conn, "mira", dry_run=dry_run)
        assert conn.execute(query.encode()).fetchone() == (0 if dry_run else 1,)


def test_a_uuid_is_given_to_a_person_if_it_is_one_and_free(conn: psycopg.Connection[Any]) -> None:
    user, _ = users.add(conn, "mira", uuid=MIRA.upper())
    assert user.uuid == MIRA
    with pytest.raises(BadInput, match=f"mira has the UUID {MIRA}") as caught:
        users.add(conn, "another", uuid=MIRA)
    assert caught.value.code == "uuid_taken"
    with pytest.raises(BadInput, match="'no uuid' is not a UUID"):
        users.add(conn, "another", uuid="no uuid")
    assert row(conn, "another") is None
