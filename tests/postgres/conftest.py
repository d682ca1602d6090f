"""The embedded PostgreSQL and, where the machine has it, a real PostgreSQL 15 with uuid-ossp."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cruddur_cli.postgres import migration_files
from cruddur_cli.postgres.connection import Server
from cruddur_cli.postgres.migration_files import Migration

from ..conftest import Engines
from . import servers


@pytest.fixture(scope="session")
def postgres15() -> Iterator[str]:
    """The URL of the maintenance database of a PostgreSQL 15."""
    if not (servers.BIN / "initdb").exists():
        pytest.skip("no PostgreSQL 15 on this machine")
    with servers.started() as url:
        yield url


@pytest.fixture(params=["embedded", "15"])
def url(request: pytest.FixtureRequest, engines: Engines) -> Iterator[str]:
    """The URL of an empty database on each server there is in turn."""
    base = engines.database_url("postgres") if request.param == "embedded" else request.getfixturevalue("postgres15")
    with servers.database(base) as found:
        yield found


@pytest.fixture
def at(url: str) -> Server:
    """The same database, as the library takes it."""
    return servers.server(url)


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

    def found(self) -> list[Migration]:
        return migration_files.find(self.path)


@pytest.fixture
def files(folder: Path) -> Folder:
    return Folder(folder)
