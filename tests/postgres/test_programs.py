"""pg_dump on a real server: the file that it writes, and the errors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cruddur_cli.errors import BadInput, NotConfigured, Protected, Refused
from cruddur_cli.local import binaries
from cruddur_cli.postgres import connection, programs
from cruddur_cli.postgres.connection import Server

PG_DUMP = binaries.client("pg_dump") or ""


def server(url: str) -> Server:
    parameters = connection.parse_url(url, origin="the test")
    return Server(
        parameters=parameters,
        host=str(parameters["host"]),
        port=int(parameters.get("port") or 5432),
        database=str(parameters["dbname"]),
        user=str(parameters["user"]),
        label="the test's database",
    )


def program(folder: Path, name: str, lines: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return str(path)


def test_a_dump_has_rows_and_only_its_owner_can_read_it(database: str, tmp_path: Path) -> None:
    path = tmp_path / "below" / "cruddur.sql"
    size = programs.dump(server(database), path, programs=[PG_DUMP])
    text = path.read_text()
    assert size == path.stat().st_size
    assert "andrewbrown" in text
    assert "OWNER TO" not in text
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["cruddur.sql"]


def test_the_next_pg_dump_is_tried_if_one_is_older_than_the_server(database: str, tmp_path: Path) -> None:
    older = program(tmp_path, "old", "echo 'pg_dump: error: aborting because of server version mismatch' >&2; exit 1")
    programs.dump(server(database), tmp_path / "a.sql", programs=[older, PG_DUMP])
    with pytest.raises(Refused, match="version mismatch") as caught:
        programs.dump(server(database), tmp_path / "b.sql", programs=[older])
    assert caught.value.hint == "install the pg_dump of the server's version"
    assert not (tmp_path / "b.sql").exists()


def test_a_failed_dump_leaves_no_file_and_shows_the_message(database: str, tmp_path: Path) -> None:
    folder = tmp_path / "dumps"
    with pytest.raises(Refused, match="does not exist"):
        programs.dump(server(database).on("nowhere"), folder / "a.sql", programs=[PG_DUMP])
    assert list(folder.iterdir()) == []


def test_a_file_that_exists_is_never_overwritten(database: str, tmp_path: Path) -> None:
    path = tmp_path / "a.sql"
    path.write_text("mine")
    with pytest.raises(Protected, match="exists already"):
        programs.dump(server(database), path, programs=[PG_DUMP])
    assert path.read_text() == "mine"


def test_a_missing_pg_dump_and_a_wrong_folder_are_errors(database: str, tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match="pg_dump is not installed"):
        programs.dump(server(database), tmp_path / "a.sql", programs=[])
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput):
        programs.dump(server(database), tmp_path / "file" / "a.sql", programs=[PG_DUMP])


def test_the_password_is_in_no_argument(database: str, tmp_path: Path) -> None:
    seen = tmp_path / "arguments"
    spy = program(tmp_path, "spy", f'echo "$@" > {seen}; echo "$PGPASSWORD" >> {seen}; exit 1')
    at = server(database)
    with pytest.raises(Refused):
        programs.dump(at, tmp_path / "a.sql", programs=[spy])
    arguments, password = seen.read_text().splitlines()
    assert password == str(at.parameters["password"])
    assert password not in arguments
    assert os.environ.get("PGPASSWORD") is None
