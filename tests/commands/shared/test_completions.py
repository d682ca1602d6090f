"""Completed values, asked for as a shell's script asks for them."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import psycopg
import pytest

from cruddur_cli.postgres import production_marker
from tests.conftest import NOWHERE, Run


def completed(cruddur: Run, line: str, *, word: str = "", **env: str | None) -> list[str]:
    """The values that bash gets after the line; ``word`` is already typed."""
    count = str(len(line.split()))
    names = {"_CRUDDUR_COMPLETE": "complete_bash", "COMP_WORDS": f"{line} {word}", "COMP_CWORD": count}
    ran = cruddur(env={**names, **env})
    assert (ran.code, ran.err) == (0, "")
    return ran.out.split()


def shows(cruddur: Run, line: str, *values: str, **env: str | None) -> bool:
    """Whether the values are completed for the line. On a busy machine it tries again for a while."""
    deadline = time.monotonic() + 60
    while not set(values) <= set(completed(cruddur, line, word="", **env)):
        if time.monotonic() > deadline:
            return False
    return True


def test_people_tables_and_conversations_are_completed(cruddur: Run, environment: dict[str, str]) -> None:
    assert cruddur("ddb", "setup").code == 0
    assert shows(cruddur, "cruddur ddb list-conversations --with", "andrewbrown", "bayko")
    assert shows(cruddur, "cruddur ddb scan --table", environment["DDB_MESSAGE_TABLE"])
    group = "5ae290ed-55d1-47a0-bc6d-fe2bc2700399"
    for line in ("cruddur ddb get-conversation", "cruddur ddb send-message hello --group"):
        assert shows(cruddur, line, group)
    assert shows(cruddur, "cruddur ddb scan --pk", f"MSG#{group}")
    # The local people: production is not asked.
    assert shows(cruddur, "cruddur ddb copy --from prod --handle", "andrewbrown", "bayko")
    assert completed(cruddur, "cruddur ddb copy --prod --handle") == []


def test_local_backups_are_completed(cruddur: Run) -> None:
    assert cruddur("ddb", "setup").code == 0
    assert completed(cruddur, "cruddur ddb restore") == []
    assert cruddur("ddb", "backup", "before-the-migration").code == 0
    assert completed(cruddur, "cruddur ddb restore") == ["before-the-migration"]


def test_a_new_person_is_completed_although_handles_are_cached(cruddur: Run) -> None:
    line = "cruddur ddb list-conversations --with"
    assert cruddur("db", "setup").code == 0
    assert shows(cruddur, line, "bayko")
    assert cruddur("db", "add-user", "worf").code == 0
    assert shows(cruddur, line, "bayko", "worf")


def test_a_database_that_no_command_has_found_to_be_local_is_not_connected_to(
    cruddur: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    """Behind an SSH tunnel production has an address of this machine."""
    line = "cruddur ddb list-conversations --with"
    assert cruddur("db", "setup").code == 0
    notes = tmp_path / "home" / ".cache" / "cruddur" / "databases"
    with socket.create_server(("127.0.0.1", 0)) as tunnel:
        tunnel.settimeout(0)
        url = f"postgresql://me:x@127.0.0.1:{tunnel.getsockname()[1]}/cruddur"
        assert completed(cruddur, line, CONNECTION_URL=url) == []
        with pytest.raises(BlockingIOError):
            tunnel.accept()
    assert shows(cruddur, line, "andrewbrown")
    # As production, by its login; and marked, which the next command sees.
    for path in notes.iterdir():
        path.write_text(json.dumps(json.loads(path.read_text()) | {"read_at": 0}))
    same = environment["CONNECTION_URL"].replace("127.0.0.1", "10.0.0.9")
    assert completed(cruddur, line, PROD_CONNECTION_URL=same) == []
    assert shows(cruddur, line, "andrewbrown", PROD_CONNECTION_URL=same.replace("://", "://other"))
    with psycopg.connect(environment["CONNECTION_URL"]) as conn:
        production_marker.write(conn)
    for path in notes.iterdir():
        path.unlink()
    assert cruddur("db", "migration-status").code in {0, 1, 3}
    assert [json.loads(path.read_text())["is_local"] for path in notes.iterdir()] == [False]
    assert completed(cruddur, line) == []


def test_migrations_are_completed(cruddur: Run, tmp_path: Path) -> None:
    folder = tmp_path / "home" / "backend-flask" / "db" / "migrations"
    folder.mkdir(parents=True)
    (folder / "1001_add_bio.sql").write_text("-- migrate:up\n-- migrate:down\n", encoding="utf-8")
    assert completed(cruddur, "cruddur db rollback --to") == ["1001"]
    assert completed(cruddur, "cruddur db migrate --redo", word="10") == ["1001"]
    assert completed(cruddur, "cruddur db migrate --redo", word="2") == []


LINES = ["cruddur ddb scan --table", "cruddur ddb list-conversations --with", "cruddur ddb get-conversation"]


@pytest.mark.parametrize("line", LINES)
def test_production_and_stores_that_do_not_answer_give_no_values(cruddur: Run, line: str) -> None:
    words = line.split()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for place in (NOWHERE, f"http://127.0.0.1:{port}"):
            host = place.removeprefix("http://")
            urls = {"AWS_ENDPOINT_URL_DYNAMODB": place, "CONNECTION_URL": f"postgresql://me:x@{host}/cruddur"}
            assert completed(cruddur, line, **urls) == []
    production = " ".join([*words[:3], "--prod", *words[3:]])
    assert completed(cruddur, production) == []
