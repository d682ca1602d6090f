"""A database that a test has used is not lent to another test."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.postgres.servers import Spares


def named(databases: Spares, use: Callable[[str], object]) -> tuple[str, str]:
    """The names of the database that is used and of the one that is lent next."""
    with databases.lend("template0") as url:
        used = url.rpartition("/")[2]
        use(url)
    with databases.lend("template0") as url:
        return used, url.rpartition("/")[2]


def test_an_unused_database_is_lent_again(databases: Spares) -> None:
    used, following = named(databases, lambda _: None)
    assert used == following


def test_a_database_that_had_a_session_is_not_lent_again(databases: Spares) -> None:
    for _ in range(20):
        used, following = named(databases, lambda url: psycopg.connect(url).close())
        assert used != following


def test_a_database_with_an_open_session_is_not_lent_again(databases: Spares) -> None:
    sessions: list[object] = []
    used, following = named(databases, lambda url: sessions.append(psycopg.connect(url)))
    assert used != following


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER DATABASE {name} SET search_path = 'x'",
        "COMMENT ON DATABASE {name} IS 'x'",
        "GRANT CONNECT ON DATABASE {name} TO public",
        "DROP DATABASE {name}",
    ],
)
def test_a_database_that_was_altered_from_another_is_not_lent_again(databases: Spares, statement: str) -> None:
    def alter(url: str) -> None:
        base, _, name = url.rpartition("/")
        with psycopg.connect(f"{base}/postgres", autocommit=True) as conn:
            conn.execute(statement.format(name=name).encode())

    used, following = named(databases, alter)
    assert used != following


def test_a_database_after_the_end_of_the_connection_is_not_lent_again(databases: Spares) -> None:
    used, following = named(databases, lambda _: databases.close())
    assert used != following
