"""A connection string that cannot be parsed is never printed: any part of it may be the password."""

from __future__ import annotations

import traceback

import pytest

from cruddur_cli import settings
from cruddur_cli.commands.shared import targets
from cruddur_cli.errors import CruddurError

from .conftest import Here

# Passwords with a character that cuts them in two where it is not percent-encoded; no half may show.
HALVES = ("Zq7xw", "S3crt")
SIGNS = ["", "@", "/", ":", "#", "?", "%", " ", "&", "=", "'", "\\", "@@", ":/", "%zz", "\t"]
SHAPES = [
    "postgresql:/u:{p}@127.0.0.1:9/db",
    "postgres//u:{p}@127.0.0.1:9/db",
    "postgresql//:u:{p}@127.0.0.1:9/db",
    "postgresql://u:{p}@127.0.0.1:port/db",
    "postgresql://u:{p}@127.0.0.1:9:9/db",
    "postgresql://u:{p}@127.0.0.1:99999/db",
    "postgresql://u:{p}@127.0.0.1:-1/db",
    "postgresql://u:{p}@[::1/db",
    "postgresql://u:{p}@[::1]x/db",
    "postgresql://u:{p}:127.0.0.1:9/db",
    "postgresql://u:{p}/db",
    "postgresql://u/{p}@127.0.0.1:9/db",
    "postgresql://u@{p}@127.0.0.1:9/db",
    "postgresql://{p}@127.0.0.1@127.0.0.1:9/db",
    "postgresql://u:{p}@127.0.0.1:9/db?nonsense=1",
    "postgresql://u:{p}@127.0.0.1:9/db?sslmode",
    "postgresql://127.0.0.1:9/db?user=u&passwd={p}",
    "postgresql://127.0.0.1:9/db?user=u&password={p}&nonsense=1",
    "postgresql://u:{p}@127.0.0.1:9/d%b",
    "postgresql://u%zz:{p}@127.0.0.1:9/db",
    "postgresql+psycopg2://u:{p}@127.0.0.1:9/db",
    "jdbc:postgresql://127.0.0.1:9/db?user=u&password={p}",
    "mysql://u:{p}@127.0.0.1:9/db",
    "http://u:{p}@127.0.0.1:9/db",
    "POSTGRESQL://u:{p}@127.0.0.1:9/db",
    '"postgresql://u:{p}@127.0.0.1:9/db"',
    "'postgresql://u:{p}@127.0.0.1:9/db'",
    "<postgresql://u:{p}@127.0.0.1:9/db>",
    "CONNECTION_URL=postgresql://u:{p}@127.0.0.1:9/db",
    "export CONNECTION_URL=postgresql://u:{p}@127.0.0.1:9/db",
    "psql postgresql://u:{p}@127.0.0.1:9/db",
    "u:{p}@127.0.0.1:9/db",
    "//u:{p}@127.0.0.1:9/db",
    "{p}",
    "host=127.0.0.1 port=9 user=u password={p} dbname",
    "host=127.0.0.1 port=9 user=u password={p} nonsense=1",
    "host=127.0.0.1 port=9 user=u password='{p} dbname=db",
    "host=127.0.0.1 port=9 user=u passwd={p}",
    "host=127.0.0.1 port={p} user=u",
    "host=127.0.0.1 port=9 user=u pass word={p}",
    "host = 127.0.0.1, port = 9, password = {p}",
    "host:127.0.0.1;password:{p}",
    "Server=127.0.0.1;Port=9;User Id=u;Password={p};",
    "{{host: 127.0.0.1, password: {p}}}",
    "postgresql://u:{p}@127.0.0.1:9/db postgresql://u:{p}@127.0.0.1:9/db",
    "postgresql://u:{p}@127.0.0.1:9/db\npassword={p}",
    "postgresql://u:{p}@127.0.0.1:9/db?connect_timeout={p}",
    "postgresql://u:{p}@127.0.0.1:9/db?port={p}",
    "postgresql://u:x@127.0.0.1:{p}/db",
    "postgresql:{p}",
    "postgresql://:{p}",
    "postgresql://:{p}@",
    "postgresql://u:{p}@",
    "postgresql://u:{p}@:9:/db",
    "postgresql://[u:{p}@127.0.0.1:9/db",
    "postgresql://u:{p}]@127.0.0.1:9/db",
    "postgresql://u:{p}@127.0.0.1:9,127.0.0.1:x/db",
]


# With this sign in the password these are whole URLs of their own: what follows it is a host, or what precedes a name.
WHOLE = {
    ("postgresql://u:{p}/db", "@"),
    ("postgresql://:{p}", "@"),
    ("postgresql://u:x@127.0.0.1:{p}/db", "@"),
    ("postgresql://{p}@127.0.0.1@127.0.0.1:9/db", ":"),
}


def halves(said: str) -> list[str]:
    return [half for half in HALVES if half.lower() in said.lower()]


@pytest.mark.parametrize("shape", SHAPES)
def test_no_part_that_may_be_the_password_is_named(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for sign in SIGNS:
        if (shape, sign[:1]) in WHOLE:
            continue
        url = shape.format(p=sign.join(HALVES))
        monkeypatch.setenv("CONNECTION_URL", url)
        try:
            at = targets.server(settings.load())
            message = f"{at.label} {at.user} {at.host} {at.database} {at}"
        except CruddurError as error:
            message = f"{error.message} {error.hint} {error.details} {error.fields} {traceback.format_exc()}"
        assert halves(message) == [], (url, message)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_part_that_may_be_the_password_is_printed(here: Here, shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "2")
    monkeypatch.setenv("CONNECTION_URL", shape.format(p="/".join(HALVES)))
    ran = here("db", "ping", "--debug")
    assert halves(ran.out + ran.err) == [], ran.err
    assert ran.code in {3, 4}, ran.err


def test_an_invalid_connection_string_is_reported_as_invalid(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTION_URL", SHAPES[0].format(p="x"))
    ran = here("db", "ping")
    assert ran.code == 3
    assert "CONNECTION_URL is not a valid PostgreSQL URL" in ran.err


@pytest.mark.parametrize(
    "variable",
    [
        "CONNECTION_URL",
        "AWS_ENDPOINT_URL_DYNAMODB",
        "CRUDDUR_LOCAL_DYNAMODB",
        "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER",
        "AWS_ENDPOINT_URL_EC2",
        "AWS_ENDPOINT_URL_RDS",
    ],
)
def test_config_shows_no_part_of_an_address_that_cannot_be_read(
    here: Here, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://u:hunt er22@host")
    for output in ("json", "table"):
        ran = here("config", "-o", output)
        assert "hunt" not in ran.out + ran.err
        assert "er22" not in ran.out + ran.err
