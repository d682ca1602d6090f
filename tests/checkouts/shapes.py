"""The checkouts in which a set-up has to end with an application that works, each in a shape that was met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .application import (
    BIO,
    BIO_DOWN,
    BIO_UP,
    DDB,
    EXTENSION,
    QUERIES,
    REPLIES,
    REPLIES_DOWN,
    REPLIES_UP,
    SCHEMA,
    migration,
    seed,
)

EMBEDDED = 0
_DB = "backend-flask/db"
_PEOPLE = seed("mira", "tomas", "yun")
_BOTH = {
    BIO: migration("AddBioColumnMigration", BIO_UP, BIO_DOWN),
    REPLIES: migration("ReplyToActivityUuidToStringMigration", REPLIES_UP, REPLIES_DOWN),
}


@dataclass(frozen=True)
class Checkout:
    """A checkout: its files, where people type in it, and the server that its database is on (a major, or EMBEDDED)."""

    name: str
    major: int
    files: Mapping[str, bytes]
    folder: str = "."
    person: str = "mira"
    column: str = "cognito_user_id"
    migrations: int = 2
    database: str = "cruddur"
    is_refused: bool = False
    is_cloned: bool = True  # and not unpacked
    has_activities: bool = True  # the built-in ones do not fit into every schema
    queries: Mapping[str, str] = field(default_factory=lambda: QUERIES)

    def write(self, place: Path) -> Path:
        """Write the files below ``place``; the folder where people type."""
        (place / (".git" if self.is_cloned else ".")).mkdir(parents=True)
        for name, content in self.files.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return place / self.folder


def _files(
    *,
    schema: str | None = EXTENSION + SCHEMA,
    people: str | None = _PEOPLE,
    migrations: Mapping[str, str] = _BOTH,
    at: str = _DB,
    column: str = "cognito_user_id",
    more: Mapping[str, str] | None = None,
    as_bytes: str = "",
) -> dict[str, bytes]:
    texts = {f"{_DB}/sql/{name}": text.replace("cognito_user_id", column) for name, text in QUERIES.items()}
    texts["backend-flask/lib/ddb.py"] = DDB
    texts["backend-flask/lib/db.py"] = "raise SystemExit('the application must not be imported')\n"
    texts |= {f"{at}/schema.sql": schema} if schema is not None else {}
    texts |= {f"{at}/seed.sql": people} if people is not None else {}
    texts |= {f"{_DB}/migrations/{name}": text for name, text in migrations.items()}
    texts |= more or {}
    if as_bytes == "PowerShell":  # `>` writes UTF-16; Python reads none
        codes = {name: "utf-16" if name.endswith(("schema.sql", "seed.sql")) else "utf-8" for name in texts}
        return {name: text.replace("\n", "\r\n").encode(codes[name]) for name, text in texts.items()}
    if as_bytes == "Windows":
        return {name: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode() for name, text in texts.items()}
    return {name: text.encode() for name, text in texts.items()}


def _changed(**how: str) -> dict[str, str]:
    """Both migrations, each with the same change."""
    return {
        BIO: migration("AddBioColumnMigration", BIO_UP, BIO_DOWN, **how),
        REPLIES: migration("ReplyToActivityUuidToStringMigration", REPLIES_UP, REPLIES_DOWN, **how),
    }


_WITH_BIO = SCHEMA.replace("  email text NOT NULL,\n", "  email text NOT NULL,\n  bio text,\n")
_WHOLE = _WITH_BIO.replace("reply_to_activity_uuid integer", "reply_to_activity_uuid uuid")
_OTHER_COLUMN = SCHEMA.replace("cognito_user_id", "cognito_user_uuid")
_MORE_TABLES = """
CREATE TABLE public.likes (
  id serial PRIMARY KEY,
  user_uuid UUID NOT NULL REFERENCES public.users (uuid) ON DELETE CASCADE,
  activity_uuid UUID NOT NULL REFERENCES public.activities (uuid) ON DELETE CASCADE
);
CREATE TYPE mood AS ENUM ('fine', 'sad');
CREATE FUNCTION public.touched() RETURNS trigger AS $$
BEGIN
  NEW.created_at := coalesce(NEW.created_at, current_timestamp);
  RETURN NEW;
END;
$$ LANGUAGE plpgsql;
CREATE TRIGGER touched BEFORE INSERT ON public.activities FOR EACH ROW EXECUTE FUNCTION public.touched();
"""
_DUMP = """--
-- PostgreSQL database dump
--
SET statement_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET row_security = off;
CREATE EXTENSION IF NOT EXISTS "uuid-ossp" WITH SCHEMA public;
COMMENT ON EXTENSION "uuid-ossp" IS 'generate universally unique identifiers (UUIDs)';
SET default_tablespace = '';
CREATE TABLE public.activities (
    uuid uuid DEFAULT public.uuid_generate_v4() NOT NULL,
    user_uuid uuid NOT NULL,
    message text NOT NULL,
    replies_count integer DEFAULT 0,
    reposts_count integer DEFAULT 0,
    likes_count integer DEFAULT 0,
    reply_to_activity_uuid integer,
    expires_at timestamp without time zone,
    created_at timestamp without time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
);
CREATE TABLE public.schema_information (
    id integer,
    last_successful_run text
);
CREATE TABLE public.users (
    uuid uuid DEFAULT public.uuid_generate_v4() NOT NULL,
    display_name text NOT NULL,
    handle text NOT NULL,
    email text NOT NULL,
    cognito_user_id text NOT NULL,
    created_at timestamp without time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
);
COPY public.schema_information (id, last_successful_run) FROM stdin;
1\t0
\\.
ALTER TABLE ONLY public.activities ADD CONSTRAINT activities_pkey PRIMARY KEY (uuid);
ALTER TABLE ONLY public.schema_information ADD CONSTRAINT schema_information_id_key UNIQUE (id);
ALTER TABLE ONLY public.users ADD CONSTRAINT users_pkey PRIMARY KEY (uuid);
--
-- PostgreSQL database dump complete
--
"""
_OWNED = (
    _DUMP.replace(
        "CREATE TABLE public.users", "ALTER TABLE public.activities OWNER TO cruddurroot;\nCREATE TABLE public.users"
    )
    .replace(
        "SET row_security = off;",
        "SET row_security = off;\nSET transaction_timeout = 0;\nCREATE DATABASE cruddur;\n\\connect cruddur\n",
    )
    .replace("SET statement_timeout", "\\restrict mQ3u\nSET statement_timeout")
    .replace("ALTER TABLE ONLY", "GRANT SELECT ON TABLE public.users TO readonly;\nALTER TABLE ONLY", 1)
)
_NO_EMAIL = SCHEMA.replace("  email text NOT NULL,\n", "")
_UP_AND_DOWN = {
    "001_bio.up.sql": BIO_UP,
    "001_bio.down.sql": BIO_DOWN,
    "002_replies.sql": f"-- +goose Up\n{REPLIES_UP}\n-- +goose Down\n{REPLIES_DOWN}\n",
}
_CONNECTS = "\\set ON_ERROR_STOP on\nDROP DATABASE IF EXISTS cruddur;\nCREATE DATABASE cruddur;\n\\c cruddur;\n"
_ODD_IMPORTS = """import os
import sys
from datetime import datetime
from dotenv import load_dotenv
from flask import current_app as app
from aws_xray_sdk.core import xray_recorder

sys.path.append(os.path.join(os.path.dirname(__file__), "..", ".."))
load_dotenv()
from lib.db_new import db
from services.log import get_logger

logger = get_logger(__name__)"""
_NICK = "1690000000000"
_NICK_UP, _NICK_DOWN = "ALTER TABLE users ADD COLUMN nick text;", "ALTER TABLE users DROP COLUMN nick;"

CHECKOUTS = (
    Checkout("the original", 13, _files(people=seed("andrewbrown", "bayko", "mira")), person="andrewbrown"),
    Checkout("other people", EMBEDDED, _files()),
    Checkout("utils.db", 14, _files(migrations=_changed(imports="from utils.db import db")), "backend-flask"),
    Checkout(
        "db_local and query_insert",
        15,
        _files(migrations=_changed(imports="from lib.db_local import db", runner="db.query_insert", values="")),
    ),
    Checkout("no variable", 16, _files(migrations=_changed(last="")), "backend-flask/db/migrations"),
    Checkout("odd imports", 17, _files(migrations=_changed(imports=_ODD_IMPORTS))),
    Checkout("the schema has bio", 18, _files(schema=EXTENSION + _WITH_BIO)),
    Checkout(
        "another column for the pool's id",
        14,
        _files(
            schema=EXTENSION + _OTHER_COLUMN,
            people=seed("mira", "tomas", column="cognito_user_uuid"),
            column="cognito_user_uuid",
        ),
        column="cognito_user_uuid",
    ),
    Checkout("queries", 15, _files(at="backend-flask/queries")),
    Checkout(
        "bin/rds/sql",
        EMBEDDED,
        _files(at="bin/rds/sql", migrations={}, schema=EXTENSION + _WHOLE),
        migrations=0,
        is_cloned=False,
    ),
    Checkout("the extension without a condition", 14, _files(schema='CREATE EXTENSION "uuid-ossp";\n' + SCHEMA)),
    Checkout(
        "a user in the schema",
        13,
        _files(schema=f"CREATE USER cruddur_application PASSWORD 'x';\n{EXTENSION}{SCHEMA}"),
    ),
    Checkout(
        "a role of RDS",
        16,
        _files(schema=f"{EXTENSION}{SCHEMA}\nGRANT rds_iam TO postgres;\n"),
    ),
    Checkout("Windows", 17, _files(as_bytes="Windows")),
    Checkout(
        "a seed that does not parse",
        18,
        _files(people=_PEOPLE.replace("'MOCK'),\n", "'MOCK');,\n", 1)),
        is_refused=True,
    ),
    Checkout("no migrations", EMBEDDED, _files(schema=EXTENSION + _WHOLE, migrations={}), migrations=0),
    Checkout("no seed", 15, _files(people=None), person="andrewbrown", has_activities=False),
    Checkout(
        "numbers of other lengths",
        18,
        _files(
            migrations={
                **_BOTH,
                f"{_NICK}_nick.py": migration("Nick", _NICK_UP, _NICK_DOWN),
                "20240102030405_nick_index.sql": "-- migrate:up\nCREATE INDEX nicks ON users (nick);\n"
                "-- migrate:down\nDROP INDEX nicks;\n",
            }
        ),
        migrations=4,
    ),
    Checkout("a dump", 16, _files(schema=_DUMP)),
    Checkout("a dump with its owner", 13, _files(schema=_OWNED)),
    Checkout(
        "no e-mail",
        18,
        _files(
            schema=EXTENSION + _NO_EMAIL,
            people="INSERT INTO users (handle, display_name, cognito_user_id)"
            " VALUES ('mira', 'Mira', 'MOCK'), ('zoë', 'Zoë', 'MOCK');\n"
            "INSERT INTO activities (user_uuid, message) SELECT uuid, 'hello' FROM users WHERE handle = 'mira';\n",
        ),
    ),
    Checkout("the schema makes its database", 15, _files(schema=_CONNECTS + EXTENSION + SCHEMA + "\\dt\n")),
    Checkout("PowerShell", EMBEDDED, _files(as_bytes="PowerShell")),
    Checkout("an up file and a down file", 14, _files(migrations=_UP_AND_DOWN)),
    Checkout(
        "migrations beside the schema",
        EMBEDDED,
        _files(at="db", migrations={}, more={f"db/migrations/{name}": text for name, text in _BOTH.items()}),
    ),
    Checkout("another name", 17, _files(), database="Cruddur_dev", folder="frontend-react-js/src"),
    Checkout("more tables", 13, _files(schema=EXTENSION + SCHEMA + _MORE_TABLES)),
    Checkout(
        "named in cruddur.toml",
        EMBEDDED,
        _files(
            at="database/sql",
            migrations={},
            more={
                "cruddur.toml": 'schema_file = "database/sql/schema.sql"\nseed_file = "database/sql/seed.sql"\n'
                'migrations_dir = "database/changes"\n',
                **{f"database/changes/{name}": text for name, text in _BOTH.items()},
            },
        ),
    ),
)
