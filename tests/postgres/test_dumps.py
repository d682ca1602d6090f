"""A dump of a Cruddur database by pg_dump loads completely into an empty one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from cruddur_cli.errors import Refused
from cruddur_cli.local import binaries
from cruddur_cli.postgres import connection
from cruddur_cli.postgres.sql_files import runner as sql_runner

from ..conftest import Run
from . import servers

Dump = Callable[..., str]
NAMES = "INSERT INTO public.users VALUES (DEFAULT, E'a\\tb\\\\\\n\\\\.\\n☕', 'x', '', 'MOCK')"
WITH_EXTENSION = """
    CREATE EXTENSION "uuid-ossp";
    CREATE TABLE public.users (uuid uuid DEFAULT uuid_generate_v4() PRIMARY KEY, handle text);
    INSERT INTO public.users (handle) VALUES ('andrewbrown'), ('bayko');
"""


@pytest.fixture
def dump(tmp_path: Path) -> Dump:
    """A function that dumps a database with its server's pg_dump, and returns the path of the file."""

    def write(url: str, *options: str, program: Path = servers.BIN / "pg_dump") -> str:
        if not program.exists():
            pytest.skip("no pg_dump beside the server")
        path = tmp_path / "dump.sql"
        subprocess.run([program, *options, "-f", path, url], check=True, timeout=60)
        return str(path)

    return write


@pytest.fixture
def empty(url: str) -> Iterator[str]:
    """Another empty database on the server of ``url``."""
    with servers.database(url) as found:
        yield found


def everything(url: str) -> dict[str, list[str]]:
    with psycopg.connect(url) as conn:
        names = [row[0] for row in conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        return {
            name: [row[0] for row in conn.execute(f"SELECT t::text FROM public.{name} AS t ORDER BY 1".encode())]
            for name in sorted(names)
        }


def test_a_dump_loads_into_an_empty_database(cruddur: Run, url: str, empty: str, dump: Dump) -> None:
    assert cruddur("db", "setup", env={"CONNECTION_URL": url}).code == 0
    with psycopg.connect(url) as conn:
        conn.execute(NAMES.encode())
    with psycopg.connect(url) as conn:
        newer = conn.info.server_version >= 160_000
    program = {"program": Path(binaries.client("pg_dump") or "")} if newer else {}
    file = Path(dump(url, **program))
    prod: dict[str, str | None] = {"PROD_CONNECTION_URL": empty}
    ran = cruddur("db", "schema-load", "--prod", "--file", str(file), env=prod)
    assert ran.code == 0, ran.err
    assert "stamp" not in ran.err
    loaded = everything(empty)
    assert loaded.pop("cruddur_environment")  # written after the file has emptied the search_path
    assert loaded == everything(url)
    assert len(loaded["users"]) == 5


def test_a_loaded_dump_of_production_is_reported_as_marked(cruddur: Run, postgres15: str, dump: Dump) -> None:
    with servers.database(postgres15) as url, servers.database(postgres15) as copy:
        name, environment = url.rpartition("/")[2], {"CONNECTION_URL": copy}
        assert cruddur("db", "setup", "--prod", "--confirm", name, env={"PROD_CONNECTION_URL": url}).code == 0
        ran = cruddur("db", "schema-load", "--file", dump(url), env={**environment})
        assert (ran.code, "cruddur db release-copy" in ran.err) == (0, True), ran.err
        assert cruddur("db", "reset", "--yes", env={**environment}).code == 6
        with psycopg.connect(copy) as conn:
            conn.execute("DELETE FROM public.cruddur_environment")
        assert cruddur("db", "reset", "--yes", env={**environment}).code == 0


def test_a_dump_of_rows_is_a_seed(cruddur: Run, postgres15: str, dump: Dump) -> None:
    with servers.database(postgres15) as url, servers.database(postgres15) as other:
        for each in (url, other):
            assert cruddur("db", "setup", env={"CONNECTION_URL": each}).code == 0
        with psycopg.connect(url) as conn:
            conn.execute(NAMES.encode())
        path = dump(url, "--data-only", "-t", "users", "-t", "activities")
        for written in (1, 0):
            ran = cruddur("db", "seed", "--file", path, "-o", "json", env={"CONNECTION_URL": other})
            assert ran.code == 0, ran.err
            assert json.loads(ran.out)["written"] == written
        assert [len(everything(other)[name]) for name in ("users", "activities")] == [5, 4]


def test_a_dump_with_roles_and_an_extension_loads_on_another_server(
    postgres15: str, empty_database: str, dump: Dump
) -> None:
    at = replace(servers.server(empty_database), embedded=True)
    notes: list[str] = []

    def load(path: str) -> None:
        with connection.opened(at) as conn:
            text = Path(path).read_text(encoding="utf-8")
            sql_runner.run(conn, text, source="dump.sql", server=at, say=notes.append)

    with servers.database(postgres15) as url:
        with psycopg.connect(url) as conn:
            conn.execute(WITH_EXTENSION.encode())
        path = Path(dump(url))
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("PostgreSQL database dump", "my tables"), encoding="utf-8")
        with pytest.raises(Refused, match="role") as refused:
            load(str(path))
        assert refused.value.hint and "--no-owner" in refused.value.hint
        assert everything(empty_database) == {}
        path.write_text(text, encoding="utf-8")
        load(str(path))
        assert everything(empty_database) == everything(url)
        assert len([line for line in notes if "there is no role postgres here: " in line]) == 1
