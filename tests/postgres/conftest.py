"""Fixtures with a database on the embedded PostgreSQL and on each PostgreSQL 13 to 18 of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from cruddur_cli.postgres.connection import Server
from cruddur_cli.postgres.migrations import files as migration_files
from cruddur_cli.postgres.migrations.files import Migration

from ..conftest import Engines
from . import servers


@pytest.fixture(scope="session")
def postgres15(postgres_server: Callable[[int], str]) -> str:
    """The URL of the maintenance database of a PostgreSQL 15."""
    return postgres_server(15)


@pytest.fixture(params=["embedded", *map(str, filter(servers.programs, servers.MAJORS))])
def url(request: pytest.FixtureRequest, engines: Engines, postgres_server: Callable[[int], str]) -> Iterator[str]:
    """The URL of an empty database, on each available server in turn."""
    base = engines.database_url("postgres") if request.param == "embedded" else postgres_server(int(request.param))
    with servers.database(base) as found:
        yield found


@pytest.fixture
def at(url: str) -> Server:
    """The same database as a ``Server``."""
    return servers.server(url)


@pytest.fixture
def watchful(url: str) -> None:
    """Skip servers that do not end a statement whose client is gone."""
    with psycopg.connect(url) as conn:
        if conn.info.server_version < 140_000:
            pytest.skip("PostgreSQL 13 does not look after its clients during a statement")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder of migrations."""
    found = tmp_path / "migrations"
    found.mkdir()
    return found


class Folder:
    """Writes migrations into a folder, and reads them back in order."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, version: str, name: str, up: str, down: str = "") -> None:
        text = f"-- migrate:up\n{up}\n\n-- migrate:down\n{down}\n"
        (self.path / f"{version}_{name}.sql").write_text(text, encoding="utf-8")

    def migrations(self) -> list[Migration]:
        return migration_files.find(self.path)


@pytest.fixture
def files(folder: Path) -> Folder:
    return Folder(folder)
