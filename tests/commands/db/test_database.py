"""``cruddur db``: creating, loading and seeding a database, the questions before, and the errors."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from cruddur_cli.postgres.sql_files import runner
from tests import dumps
from tests.commands.conftest import Here
from tests.commands.marked import is_marked
from tests.conftest import Engines
from tests.terminals import in_terminal

if TYPE_CHECKING:
    from psycopg import Connection

ANDREW = "8b1d22bf-cedf-4fbb-b137-63dc54b4770d"


def named(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


@pytest.fixture
def no_database(engines: Engines, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a database that does not exist yet."""
    import psycopg

    name = f"{named(database)}_new"
    yield engines.database_url(name)
    with psycopg.connect(engines.database_url("postgres"), autocommit=True) as conn:
        conn.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())


def run(url: str, sql: str, *values: object) -> list[tuple[object, ...]]:
    import psycopg

    with psycopg.connect(url) as conn:
        cursor = conn.execute(sql.encode(), values)
        return cursor.fetchall() if cursor.description else []


def test_create_creates_the_database_once(here: Here, no_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTION_URL", no_database)
    assert "would be created" in here("db", "create", "--dry-run").err
    assert here("db", "ping").code == 5
    assert "created" in here("db", "create").err
    again = here("db", "create")
    assert (again.code, again.out) == (0, "")
    assert "exists already" in again.err


def test_six_that_create_at_once_all_succeed(no_database: str, environment: dict[str, str]) -> None:
    environment["CONNECTION_URL"] = no_database
    gated = "import sys, psycopg; from cruddur_cli.cli import main as cli, tree; "
    six = [
        subprocess.Popen(
            [sys.executable, "-c", gated + "print(flush=True); sys.stdin.read(1); cli.main()", "db", "create"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(6)
    ]
    for process in six:
        assert process.stdout is not None
        process.stdout.readline()  # imported, and at the gate
    for process in six:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[1].decode() for process in six]
    assert [process.returncode for process in six] == [0] * 6, said
    assert sum(": created" in text for text in said) == 1
    assert sum("exists already" in text for text in said) == 5


@pytest.mark.parametrize("name", ["cruddur dev", "Crüddur", "a'b\"c", "select", "100%"])
def test_a_database_of_any_name_is_made_and_used(
    here: Here, engines: Engines, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from urllib.parse import quote

    import psycopg
    from psycopg import sql

    monkeypatch.setenv("CONNECTION_URL", engines.database_url(quote(name)))
    try:
        assert here("db", "setup").code == 0
        assert json.loads(here("db", "ping", "-o", "json").out)["items"][0]["database"] == name
    finally:
        with psycopg.connect(engines.database_url("postgres"), autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def test_a_file_that_is_not_sql_is_refused_with_its_kind(here: Here, database: str, tmp_path: Path) -> None:
    path = tmp_path / "a dump"
    for content, said, hint in (
        (gzip.compress(b"SELECT 1;"), "is compressed by gzip", f"gunzip -c '{path}' | cruddur db COMMAND --file -"),
        (b"PGDMP\x01\x0f\x00", "is an archive", f"pg_restore -f - '{path}' | cruddur db COMMAND --file -"),
        (b"toc.dat\0\0\0", "is an archive", "pg_restore"),
        (b"-- nothing\n;\n", "contains no SQL statement", ""),
    ):
        path.write_bytes(content)
        for command in ("schema-load", "seed"):
            ran = here("db", command, "--file", str(path))
            assert ran.code == 2
            assert said in ran.err
            assert hint.replace("COMMAND", command) in ran.err
    assert here("db", "schema-load", "--file", "/dev/null").code == 2
    assert len(run(database, "SELECT handle FROM users")) == 4


@pytest.mark.parametrize("end", ["", "--\n-- PostgreSQL database dump complete\n--\n"])
def test_a_dump_without_its_end_is_reported(here: Here, tmp_path: Path, end: str) -> None:
    path = tmp_path / "dump.sql"
    path.write_text(f"--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE public.more (i int);\n{end}")
    ran = here("db", "schema-load", "-n", "--file", str(path))
    assert ran.code == 0
    assert ("its end may be missing" in ran.err) == (not end)


def test_schema_load_over_rows_is_refused_without_a_terminal_and_counts_them(here: Here, database: str) -> None:
    before = dumps.rows(database)
    ran = here("db", "schema-load")
    assert ran.code == 6
    assert "4 activities, 4 users" in ran.err
    assert "--yes" in ran.err
    assert here("db", "schema-load", "--dry-run").code == 0
    assert dumps.rows(database) == before
    assert here("db", "schema-load", "--yes").code == 0
    assert dumps.rows(database)["users"] == []


@pytest.mark.parametrize("answer", [("--yes",), ("--confirm", "NAME")])
def test_with_yes_a_schema_is_loaded_once_and_reports_what_is_lost(
    here: Here, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: tuple[str, ...]
) -> None:
    loaded: list[str] = []
    load = runner.run

    def counted(conn: Connection[Any], text: str, **more: Any) -> int:
        loaded.append(text)
        return load(conn, text, **more)

    monkeypatch.setattr(runner, "run", counted)
    file = tmp_path / "schema.sql"
    file.write_text(
        "DROP TABLE activities; CREATE TABLE activities (number serial); INSERT INTO activities DEFAULT VALUES;"
    )
    ran = here("db", "schema-load", "--file", str(file), *(word.replace("NAME", named(database)) for word in answer))
    assert ran.code == 0
    assert len(loaded) == 1
    assert "will be destroyed: 4 activities." in ran.err
    assert "does not drop users: they are not changed" in ran.err
    assert run(database, "SELECT number FROM activities") == [(1,)]
    before = dumps.rows(database)
    ran = here("db", "schema-load", "--file", str(file), "--yes", "--confirm", "another")
    assert (ran.code, dumps.rows(database)) == (6, before)


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 0), ("n\n", 6, 4), ("\n", 6, 4), ("\x04", 6, 4)])
def test_on_a_terminal_schema_load_asks(
    environment: dict[str, str], database: str, answer: str, code: int, left: int, tmp_path: Path
) -> None:
    ran = in_terminal(environment, "db", "schema-load", cwd=tmp_path / "home", typed=answer)
    assert "[y/N]" in ran.out
    assert ran.code == code
    assert len(dumps.rows(database)["users"]) == left


def test_a_schema_with_an_error_half_way_changes_nothing_and_points_at_it(
    here: Here, database: str, tmp_path: Path
) -> None:
    file = tmp_path / "broken.sql"
    file.write_bytes("\ufeffDROP TABLE users;\r\nCREATE TABLE é (id int);\r\nCREATE TABEL x (id int);\r\n".encode())
    before = dumps.rows(database)
    ran = here("db", "schema-load", "--yes", "--file", str(file))
    assert ran.code == 5
    lines = ran.err.splitlines()
    assert any(f"{file}, line 3" in line for line in lines)
    at = next(number for number, line in enumerate(lines) if "CREATE TABEL" in line and "|" in line)
    assert lines[at + 1].index("^") == lines[at].index("TABEL")
    assert "Traceback" not in ran.err
    assert dumps.rows(database) == before


def test_seeding_again_adds_nothing_and_touches_no_row(here: Here, database: str) -> None:
    assert here("db", "setup").code == 0  # which writes Cognito ids where the demo pool exists
    before = dumps.rows(database)
    ran = here("db", "seed", "-o", "json")
    assert (ran.code, json.loads(ran.out)["written"]) == (0, 0)
    assert here("db", "setup").code == 0
    assert dumps.rows(database) == before


def test_the_seeded_people_have_the_same_ids_after_drop_and_setup(here: Here, database: str) -> None:
    people = run(database, "SELECT handle, uuid::text FROM users ORDER BY 1")
    assert ("andrewbrown", ANDREW) in people
    assert here("db", "drop", "--yes").code == 0
    assert here("db", "setup").code == 0
    assert run(database, "SELECT handle, uuid::text FROM users ORDER BY 1") == people


def test_a_person_who_has_the_handle_already_keeps_their_id(here: Here, database: str) -> None:
    own = "11111111-2222-3333-4444-555555555555"
    run(database, "DELETE FROM activities")
    run(database, "UPDATE users SET uuid = %s, cognito_user_id = 'real' WHERE handle = 'andrewbrown'", own)
    assert here("db", "seed").code == 0
    found = run(database, "SELECT uuid::text, cognito_user_id FROM users WHERE handle = 'andrewbrown'")
    assert found == [(own, "real")]
    assert run(database, "SELECT count(*) FROM activities WHERE user_uuid = %s", own) == [(1,)]


def test_a_person_whose_handle_differs_in_case_only_is_not_added(here: Here, database: str) -> None:
    before = dumps.rows(database)
    ran = here("db", "add-user", "Bayko")
    assert ran.code == 2
    assert "'bayko'" in ran.err
    assert dumps.rows(database) == before
    assert here("db", "add-user", "bayko").code == 0


def test_a_person_is_reported_as_added_once(here: Here, database: str) -> None:
    before = dumps.rows(database)
    ran = here("db", "add-user", "mira", "-n", "-o", "json")
    assert (json.loads(ran.out)["added"], "mira: would be added" in ran.err) == (0, True)
    assert dumps.rows(database) == before
    ran = here("db", "add-user", "mira", "-o", "json")
    assert (json.loads(ran.out)["added"], "mira: added" in ran.err) == (1, True)
    (shown,) = json.loads(ran.out)["items"]
    assert (shown["display_name"], shown["email"]) == ("mira", "mira@example.com")
    assert run(database, "SELECT uuid::text, display_name, email FROM users WHERE handle = 'mira'") == [
        (shown["uuid"], "mira", "mira@example.com")
    ]
    for more in ((), ("-n",)):
        ran = here("db", "add-user", "mira", "--email", "x@example.com", "-o", "json", *more)
        assert (json.loads(ran.out)["added"], "mira: exists already" in ran.err) == (0, True)
        assert json.loads(ran.out)["items"] == [shown]


def test_a_dry_run_changes_nothing_and_reports_it(here: Here, database: str) -> None:
    before = dumps.rows(database)
    for command in (["setup"], ["seed"], ["create"], ["schema-load"], ["update-cognito-user-ids"]):
        assert here("cognito", "list-users").code in {0, 5}
        ran = here("db", *command, "--dry-run")
        assert ran.code in ({0, 5} if command == ["update-cognito-user-ids"] else {0}), ran.err
        assert "(dry run)" in ran.err or ran.code == 5
    assert dumps.rows(database) == before


def test_a_refused_connection_is_one_line_and_code_4(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTION_URL", "postgresql://u:p@127.0.0.1:9/cruddur")
    ran = here("db", "ping")
    assert ran.code == 4
    assert (
        ran.err.splitlines()[0] == "cruddur db ping: PostgreSQL on 127.0.0.1:9 cannot be reached: connection refused."
    )


def test_a_command_gives_up_on_a_server_that_never_answers(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/cruddur"
        monkeypatch.setenv("CONNECTION_URL", url + "?connect_timeout=2")
        ran = here("db", "ping")
    assert ran.code == 4
    assert "no answer in time" in ran.err
    assert "Traceback" not in ran.err


def test_a_wrong_password_or_user_is_code_3(here: Here, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = urlsplit(database)
    for who in ("cruddur:wrong-Pass1", "nobody:wrong-Pass1"):
        monkeypatch.setenv("CONNECTION_URL", parts._replace(netloc=f"{who}@127.0.0.1:{parts.port}").geturl())
        ran = here("db", "ping")
        assert ran.code == 3
        assert "refuses the user" in ran.err
        assert "wrong-Pass1" not in ran.err


def test_a_missing_database_is_code_5_and_names_the_command(
    here: Here, no_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONNECTION_URL", no_database)
    ran = here("db", "ping", "-o", "json")
    assert ran.code == 5
    error = json.loads(ran.err.splitlines()[-1])["error"]
    assert (error["code"], error["hint"]) == ("database_not_found", "cruddur db setup")


def test_wait_waits_for_a_server_that_starts_late(here: Here, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = urlsplit(database)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stop = threading.Event()
    relay = threading.Timer(0.5, forward, (port, parts.port, stop))
    login = parts.netloc.rpartition("@")[0]
    monkeypatch.setenv("CONNECTION_URL", parts._replace(netloc=f"{login}@127.0.0.1:{port}").geturl())
    assert here("db", "ping").code == 4
    relay.start()
    try:
        assert here("db", "ping", "--wait", "20").code == 0
    finally:
        stop.set()
        relay.join()


def forward(port: int, to: int, stop: threading.Event) -> None:
    """A server that forwards every connection to another port."""
    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(0.1)
        while not stop.is_set():
            try:
                near, _ = server.accept()
            except TimeoutError:
                continue
            near.settimeout(None)
            far = socket.create_connection(("127.0.0.1", to))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=pump, args=(source, sink), daemon=True).start()


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while part := source.recv(65536):
            sink.sendall(part)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


# A copy of production is released; production itself never is.


def test_a_copy_of_production_is_refused_until_it_is_released(here: Here, copied: str) -> None:
    refused = here("db", "add-user", "mira")
    assert refused.code == 6
    assert "next: if this is a copy of production: cruddur db release-copy" in refused.err
    assert here("db", "release-copy", "--dry-run").code == 0
    assert here("db", "release-copy").code == 6
    assert is_marked(copied)
    assert here("db", "release-copy", "--yes").code == 0
    assert not is_marked(copied)
    assert here("db", "add-user", "mira").code == 0
    again = here("db", "release-copy", "--yes")
    assert (again.code, "nothing was changed" in again.err) == (0, True)


def test_a_database_on_the_server_of_production_is_not_released(
    here: Here, copied: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROD_CONNECTION_URL", copied.replace("127.0.0.1", "localhost"))
    for arguments in (("--yes",), ("--confirm", copied.rpartition("/")[2]), ("--prod", "--yes")):
        assert here("db", "release-copy", *arguments).code == 6
    assert is_marked(copied)
