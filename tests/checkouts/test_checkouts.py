"""In each checkout ``cruddur setup`` ends with an application that works, and the same state comes back every time."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cruddur_cli import times
from cruddur_cli.postgres import catalogue
from tests import dumps
from tests.commands.conftest import Here
from tests.conftest import Engines

from .shapes import CHECKOUTS, EMBEDDED, Checkout

_SERVERS = ("CONNECTION_URL", "AWS_ENDPOINT_URL_DYNAMODB", "DDB_MESSAGE_TABLE")


@pytest.fixture
def server(checkout: Checkout, engines: Engines, postgres_server: Callable[[int], str]) -> str:
    """The URL of the maintenance database of the checkout's server."""
    return engines.database_url("postgres") if checkout.major == EMBEDDED else postgres_server(checkout.major)


@pytest.fixture
def place(
    checkout: Checkout, server: str, engines: Engines, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The checkout, where a person stands in it; the URL of its database, which does not exist yet.

    Nothing is set for the embedded stack; a server of one's own is named as the application names it.
    """
    for name in _SERVERS:
        monkeypatch.delenv(name, raising=False)
    if checkout.major == EMBEDDED:
        url = engines.database_url("cruddur")
    else:
        url = f"{server.rpartition('/')[0]}/{checkout.database}_{uuid.uuid4().hex[:8]}"
        monkeypatch.setenv("CONNECTION_URL", url)
        monkeypatch.setenv("DDB_MESSAGE_TABLE", f"messages-{uuid.uuid4().hex[:8]}")
    folder = checkout.write(tmp_path / "home" / "aws-bootcamp-cruddur-2023")
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(folder)
    _clear(server, url, here)  # another test may have set up the stack's own database
    yield url
    _clear(server, url, here)


def _clear(server: str, url: str, here: Here) -> None:
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(f'DROP DATABASE IF EXISTS "{url.rpartition("/")[2]}" WITH (FORCE)'.encode())
        with contextlib.suppress(psycopg.Error):
            conn.execute("DROP ROLE IF EXISTS cruddur_application")
    here("ddb", "drop", "--yes", "--if-exists")


def _state(url: str, engines: Engines) -> tuple[object, object, object]:
    """Every definition, every row and every item."""
    table = os.environ.get("DDB_MESSAGE_TABLE", "cruddur-messages")
    with psycopg.connect(url) as conn:
        definitions = catalogue.read(conn)
    return (
        definitions,
        dumps.rows(url),
        dumps.items({"AWS_ENDPOINT_URL_DYNAMODB": engines.aws, "DDB_MESSAGE_TABLE": table}),
    )


def _people(url: str) -> list[Any]:
    with psycopg.connect(url) as conn:
        return conn.execute("SELECT handle, uuid::text FROM public.users ORDER BY 1").fetchall()


def _run_application(checkout: Checkout, url: str, root: Path) -> None:
    """Run the SQL of the application as a person who is signed in."""
    folder = root / "backend-flask" / "db" / "sql"
    with psycopg.connect(url) as conn:
        query = f"SELECT {checkout.column} FROM public.users WHERE handle = %s"
        (identity,) = conn.execute(query.encode(), [checkout.person]).fetchone() or (None,)
        values = {"handle": checkout.person, checkout.column: identity, "bio": "hello", "display_name": "Somebody"}
        values |= {"message": "a crud", "expires_at": None}

        def run(name: str, **more: object) -> Any:
            text = (folder / name).read_text(encoding="utf-8-sig")
            return conn.execute(text.encode(), {**values, **more}).fetchall()

        assert run("users/update.sql"), "nobody was updated"
        profile, activities = run("users/show.sql")[0]
        assert (profile["handle"], profile["bio"]) == (checkout.person, "hello")
        assert activities or not checkout.has_activities
        assert {kind for *_, kind in run("users/create_message_users.sql")} == {"sender"}
        (written,) = run("activities/create.sql")[0]
        run("activities/reply.sql", reply_to_activity_uuid=written)
        _, replies = run("activities/show.sql", uuid=written)[0]
        assert len(replies) == 1
        assert len(run("activities/home.sql")) >= 2
        conn.rollback()


def _read_conversation(checkout: Checkout, url: str, root: Path, engines: Engines) -> None:
    """Read the conversation with the application's own client of DynamoDB."""
    spec = importlib.util.spec_from_file_location("application_ddb", root / "backend-flask" / "lib" / "ddb.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module)["now"] = times.now
    people = dict(_people(url))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", engines.aws)
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("DDB_MESSAGE_TABLE", os.environ.get("DDB_MESSAGE_TABLE", "cruddur-messages"))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "local")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = module.Ddb.client()
        seen = {handle: module.Ddb.list_message_groups(client, people[handle]) for handle in people}
        talking = {handle: groups for handle, groups in seen.items() if groups}
        assert len(talking) == 2
        (group,) = next(iter(talking.values()))
        messages = module.Ddb.list_messages(client, group["uuid"])
    assert len(messages) == 20
    assert {message["handle"] for message in messages} == set(talking)
    assert messages[-1]["message"] == group["message"]
    assert {groups[0]["handle"] for groups in talking.values()} == set(talking)


@pytest.mark.parametrize("checkout", CHECKOUTS, ids=lambda checkout: checkout.name)
def test_a_setup_ends_with_an_application_that_works(
    checkout: Checkout, place: str, here: Here, engines: Engines, server: str, tmp_path: Path
) -> None:
    root = tmp_path / "home" / "aws-bootcamp-cruddur-2023"
    first = here("setup")
    if checkout.is_refused:
        assert first.code in {2, 5}, first.err
        assert "✓" not in first.err
        assert "Nothing was changed." in first.err
        with psycopg.connect(server) as conn:
            names = [row[0] for row in conn.execute("SELECT datname FROM pg_database").fetchall()]
        assert place.rpartition("/")[2] not in names
        return
    assert first.code == 0, first.err
    assert ("✓ migrations: " in first.err) == (checkout.migrations > 0)
    _run_application(checkout, place, root)
    _read_conversation(checkout, place, root, engines)

    before, people = _state(place, engines), _people(place)
    again = here("setup")
    assert (again.code, "Nothing had to be done" in again.err) == (0, True), again.err
    assert _state(place, engines) == before
    assert len(before[0]) > 20  # type: ignore[arg-type]

    _find_nothing(here)

    if checkout.migrations:
        undone = here("db", "rollback", "--steps", str(checkout.migrations), "--yes", "-o", "json")
        assert undone.code == 0, undone.err
        assert json.loads(undone.out)["rolled_back"] == checkout.migrations
        assert _state(place, engines)[0] != before[0]
        assert here("db", "migrate").code == 0
        assert _state(place, engines)[0] == before[0]
    reset = here("db", "reset", "--yes")
    assert reset.code == 0, reset.err
    assert _state(place, engines)[0] == before[0]
    assert _people(place) == people
    _run_application(checkout, place, root)
    _read_conversation(checkout, place, root, engines)
    compared = here("db", "diff")
    assert compared.code == 0, compared.out


def _find_nothing(here: Here) -> None:
    """Doctor finds nothing, also in the schema; and neither do the comparisons."""
    examined = here("doctor", "-o", "json")
    assert json.loads(examined.out)["items"] == []
    assert "Not compared" not in examined.err
    for command in (("db", "diff"), ("ddb", "diff")):
        compared = here(*command)
        assert compared.code == 0, compared.out + compared.err


def test_there_are_nineteen_and_at_most_one_is_refused() -> None:
    assert len(CHECKOUTS) >= 19
    assert sum(checkout.is_refused for checkout in CHECKOUTS) <= 1
    assert {checkout.major for checkout in CHECKOUTS} == {EMBEDDED, *range(13, 19)}
