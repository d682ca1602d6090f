"""What a shell completes, asked as its script asks."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.conftest import NOWHERE, Run


def completed(cruddur: Run, line: str, **env: str | None) -> list[str]:
    """The values that bash gets for the word behind the line."""
    count = str(len(line.split()))
    names = {"_CRUDDUR_COMPLETE": "complete_bash", "COMP_WORDS": f"{line} ", "COMP_CWORD": count}
    ran = cruddur(env={**names, **env})
    assert (ran.code, ran.err) == (0, "")
    return ran.out.split()


def test_people_tables_and_conversations_are_completed(cruddur: Run, environment: dict[str, str]) -> None:
    assert cruddur("ddb", "setup").code == 0
    people = completed(cruddur, "cruddur ddb list-conversations --with")
    assert {"andrewbrown", "bayko"} <= set(people)
    assert environment["DDB_MESSAGE_TABLE"] in completed(cruddur, "cruddur ddb scan --table")
    assert completed(cruddur, "cruddur ddb get-conversation") == ["5ae290ed-55d1-47a0-bc6d-fe2bc2700399"]


def test_migrations_are_completed(cruddur: Run, tmp_path: Path) -> None:
    folder = tmp_path / "home" / "backend-flask" / "db" / "migrations"
    folder.mkdir(parents=True)
    (folder / "1001_add_bio.sql").write_text("-- migrate:up\n-- migrate:down\n", encoding="utf-8")
    assert completed(cruddur, "cruddur db rollback --to") == ["1001"]


LINES = ["cruddur ddb scan --table", "cruddur ddb list-conversations --with", "cruddur ddb get-conversation"]


@pytest.mark.parametrize("line", LINES)
def test_production_and_stores_that_are_down_or_hang_give_nothing(cruddur: Run, line: str) -> None:
    words = line.split()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for place in (NOWHERE, f"http://127.0.0.1:{port}"):
            host = place.removeprefix("http://")
            urls = {"AWS_ENDPOINT_URL_DYNAMODB": place, "CONNECTION_URL": f"postgresql://me:x@{host}/cruddur"}
            assert completed(cruddur, line, **urls) == []
    production = " ".join([*words[:3], "--prod", *words[3:]])
    assert completed(cruddur, production) == []
