"""Databases that are marked as production."""

from __future__ import annotations

import psycopg

from cruddur_cli.postgres import production_marker
from tests import dumps
from tests.commands.conftest import Here


def refused(here: Here, database: str, command: tuple[str, ...]) -> None:
    """Mark the database as production, and assert that the command is refused and changes nothing."""
    with psycopg.connect(database) as conn:
        production_marker.write(conn)
    before = dumps.rows(database)
    ran = here(*command)
    assert (ran.code, ran.out) == (6, ""), ran.err
    assert "is marked as production, and this command was run without --prod" in ran.err
    assert dumps.rows(database) == before


def is_marked(url: str) -> bool:
    with psycopg.connect(url) as conn:
        return production_marker.is_production(conn)
