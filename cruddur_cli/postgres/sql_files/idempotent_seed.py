"""Runs a seed file so that a second run adds nothing, and so that people keep their UUIDs in every new database."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .. import database, locks, users
from ..connection import Server
from . import runner as sql_runner
from . import splitter

if TYPE_CHECKING:
    from psycopg import Connection

_UUID = re.compile(r"(?i)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_TEXT = re.compile(r"'([^'\n]{1,64})'")
_FIELD = re.compile(r"[^\t\r\n,\"]{1,64}")
# What says that a row is the same as another: no UUID, counter or time that the database fills in by itself.
_TABLES = """
    SELECT c.relname::text, array_agg(a.attname::text), coalesce(array_agg(a.attname::text) FILTER (
        WHERE NOT a.atthasdef AND a.attidentity = '' AND t.typcategory <> 'D'
    ), '{}'), bool_or(a.attname = 'uuid' AND a.atttypid IN ('uuid'::regtype, 'text'::regtype, 'varchar'::regtype))
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    WHERE c.relkind = 'r' AND c.relname <> ALL(%s)
    GROUP BY c.relname ORDER BY 1
"""
_MEMORY = """
    CREATE TEMPORARY TABLE cruddur_written (uuid text) ON COMMIT DROP;
    CREATE TEMPORARY TABLE cruddur_people (handle text, uuid text) ON COMMIT DROP;
    CREATE TEMPORARY TABLE cruddur_same (given text, uuid text) ON COMMIT DROP;
"""
# Runs before each row that the file inserts. The first argument says whether the row is a person, the others name the
# columns that make a row the same as another. Rows of this transaction do not count: what psql would insert twice from
# one run of the file is there twice here as well.
_GUARD = """
    CREATE FUNCTION pg_temp.cruddur_guard() RETURNS trigger LANGUAGE plpgsql AS $guard$
    DECLARE
        is_same text;
        moved record;
        there record;
        how_many integer := 0;
        person text;
    BEGIN
        FOR moved IN SELECT * FROM pg_temp.cruddur_same LOOP
            NEW := jsonb_populate_record(NEW, replace(to_jsonb(NEW)::text, moved.given, moved.uuid)::jsonb);
        END LOOP;
        SELECT string_agg(format('t.%1$I::text IS NOT DISTINCT FROM ($1).%1$I::text', name), ' AND ')
            INTO is_same FROM unnest(TG_ARGV[1:]) AS name;
        IF is_same IS NOT NULL THEN
            EXECUTE format(
                'SELECT t.* FROM %I.%I AS t WHERE %s AND t.xmin::text::bigint <>'
                ' mod(pg_current_xact_id()::text::numeric, 4294967296) LIMIT 1',
                TG_TABLE_SCHEMA, TG_TABLE_NAME, is_same
            ) INTO there USING NEW;
            GET DIAGNOSTICS how_many = ROW_COUNT;
        END IF;
        IF TG_ARGV[0] = 'person' AND how_many > 0 THEN
            INSERT INTO pg_temp.cruddur_same
                SELECT NEW.uuid::text, there.uuid::text WHERE NEW.uuid::text <> there.uuid::text;
        ELSIF TG_ARGV[0] = 'person' THEN
            SELECT p.uuid INTO person FROM pg_temp.cruddur_people AS p
                WHERE p.handle = NEW.handle
                    AND NOT EXISTS (SELECT FROM pg_temp.cruddur_written AS w WHERE w.uuid = NEW.uuid::text)
                    AND NOT EXISTS (SELECT FROM public.users AS u WHERE u.uuid::text = p.uuid);
            NEW.uuid := coalesce(person, NEW.uuid::text);
        END IF;
        RETURN CASE WHEN how_many = 0 THEN NEW END;
    END
    $guard$
"""

# The columns that our own seeds write, and those of them that are UUIDs.
_SEEDED = {
    "users": {"uuid", "display_name", "handle", "email", "cognito_user_id"},
    "activities": {
        "uuid", "user_uuid", "message", "replies_count", "reply_to_activity_uuid", "created_at", "expires_at",
    },
}  # fmt: skip
_UUIDS = {"uuid", "user_uuid", "reply_to_activity_uuid"}
_COLUMNS = """
    SELECT a.attname::text, a.atttypid = 'uuid'::regtype, a.attnotnull AND NOT a.atthasdef AND a.attidentity = '',
        EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indpred IS NULL
            AND i.indkey::text = a.attnum::text)
    FROM pg_attribute a WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
"""


def run(
    conn: Connection[Any],
    text: str,
    *,
    source: str,
    server: Server,
    known: Mapping[str, str] | None = None,
    say: sql_runner.Say | None = None,
) -> int:
    """Run a seed file in the connection's transaction; how many rows are new.

    The first run leaves what psql would leave, except for the UUIDs of people that the file does not write itself:
    those are ``known`` ones, else derived from the handle, the same in every new database, because DynamoDB's keys hold
    them. Another run skips each row that is there already: a person with the handle, and in other tables a row that is
    equal in every column without a default, times aside. An existing person keeps everything, above all the UUID, and
    what the file writes for the skipped person's UUID goes to the existing person. A row that a person deleted comes
    back; UPDATE statements are the file's own business. Raises as ``scripts.run`` does.
    """
    with locks.guarded(conn, server):
        before = database.rows(conn)
        with _guarded(conn, text, known or {}):
            sql_runner.run(conn, text, source=source, server=server, say=say, keeps_session=True)
        sql_runner.refresh_session(conn)
        return database.added(before, database.rows(conn))


@contextmanager
def _guarded(conn: Connection[Any], text: str, known: Mapping[str, str]) -> Iterator[None]:
    """Triggers on the tables that the file names, while it runs; no other session ever sees them, committed or not."""
    from psycopg import sql

    lower = text.lower()
    tables = [
        row
        for row in conn.execute(_TABLES.encode(), [list(database.BOOKKEEPING)]).fetchall()
        if row[0].lower() in lower
    ]
    conn.execute(_MEMORY.encode())
    conn.execute(_GUARD.encode())
    # A handle that stands in the file as a text; one that the file puts together keeps the UUID that it was given.
    handles = sorted({*_TEXT.findall(text), *_fields(text)})
    stable = [known.get(handle) or users.stable_uuid(handle) for handle in handles]
    conn.execute("INSERT INTO pg_temp.cruddur_people SELECT * FROM unnest(%s::text[], %s::text[])", [handles, stable])
    conn.execute("INSERT INTO pg_temp.cruddur_written SELECT unnest(%s::text[])", [sorted(set(_UUID.findall(lower)))])
    for table, columns, compared, has_uuid in tables:
        is_handled = table == "users" and "handle" in columns
        arguments = ["person" if has_uuid else "row", "handle"] if is_handled else ["row", *compared]
        conn.execute(
            sql.SQL(
                "CREATE TRIGGER zz_cruddur_guard BEFORE INSERT ON public.{} FOR EACH ROW"
                " EXECUTE FUNCTION pg_temp.cruddur_guard({})"
            ).format(sql.Identifier(table), sql.SQL(", ").join(map(sql.Literal, arguments)))
        )
    yield
    for table, *_ in tables:
        conn.execute(sql.SQL("DROP TRIGGER IF EXISTS zz_cruddur_guard ON public.{}").format(sql.Identifier(table)))
    conn.execute("DROP FUNCTION pg_temp.cruddur_guard()")


def _fields(text: str) -> Iterator[str]:
    """What stands in the rows that the file copies into ``users``: their handles are among it, without quotes."""
    for statement in splitter.split(text):
        if statement.rows is not None and "users" in statement.text.lower():
            yield from (match[0] for match in _FIELD.finditer(text, *statement.rows))


def fitting(conn: Connection[Any], text: str) -> tuple[str, bool]:
    """Our own seeds without the statements that these tables cannot take, on their lines; and whether all can be taken.

    The application's own schema has another type where ours has a reply's UUID.
    """
    refused = {table for table in _SEEDED if not _fits(conn, table)}
    if not refused:
        return text, True
    statements = splitter.split(text)
    kept = ""
    for statement in statements:
        if not {word.lower() for word in statement.words[:4]} & refused:
            kept += "\n" * (statement.line - 1 - kept.count("\n")) + statement.text + ";"
    return kept, False


def _fits(conn: Connection[Any], table: str) -> bool:
    columns = {row[0]: row[1:] for row in conn.execute(_COLUMNS.encode(), [f"public.{table}"]).fetchall()}
    seeded = _SEEDED[table]
    return (
        seeded <= set(columns)
        and all(columns[name][0] for name in seeded & _UUIDS)
        and columns["uuid"][2]
        and not any(needed for name, (_, needed, _) in columns.items() if name not in seeded)
    )
