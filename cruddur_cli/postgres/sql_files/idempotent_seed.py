"""Runs a seed file so that a second run adds no rows, and people have the same UUIDs in every new database."""

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
# Each table with its columns, and with those that decide whether two rows are the same: without a default and no time.
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
# The UUIDs that the file itself contains; the UUID that each handle gets; and the UUID of each skipped person, with the
# one of the existing person.
_MEMORY = """
    CREATE TEMPORARY TABLE cruddur_written (uuid text) ON COMMIT DROP;
    CREATE TEMPORARY TABLE cruddur_people (handle text, uuid text) ON COMMIT DROP;
    CREATE TEMPORARY TABLE cruddur_same (given text, uuid text) ON COMMIT DROP;
"""
# Runs before each row that the file inserts. The first argument says whether the row is a person, the others name the
# columns that decide whether two rows are the same. Rows of this transaction do not count: as with psql, a row that the
# file inserts twice is stored twice.
_GUARD = """
    CREATE FUNCTION pg_temp.cruddur_guard() RETURNS trigger LANGUAGE plpgsql AS $guard$
    DECLARE
        is_same text;
        moved record;
        existing record;
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
            ) INTO existing USING NEW;
            GET DIAGNOSTICS how_many = ROW_COUNT;
        END IF;
        IF TG_ARGV[0] = 'person' AND how_many > 0 THEN
            INSERT INTO pg_temp.cruddur_same
                SELECT NEW.uuid::text, existing.uuid::text WHERE NEW.uuid::text <> existing.uuid::text;
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

# The columns that the built-in seeds write, and those of them that are UUIDs.
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
    """Run a seed file in the connection's transaction; the number of rows added.

    The first run stores the same rows as psql, except that a person without a UUID in the file gets the one in
    ``known``, else the one derived from the handle. That UUID is the same in every new database, because DynamoDB's
    keys contain it.

    A later run skips existing rows: a person with the same handle, and in other tables a row that is equal in every
    column without a default, times aside. An existing person is not changed; the file's rows that name the UUID of the
    skipped person get the UUID of the existing one. A row that was deleted is added again. UPDATE statements run every
    time. Raises as ``runner.run`` does.
    """
    with locks.guarded(conn, server):
        before = database.rows(conn)
        with _guarded(conn, text, known or {}):
            sql_runner.run(conn, text, source=source, server=server, say=say, keeps_session=True)
        sql_runner.refresh_session(conn)
        return database.added(before, database.rows(conn))


@contextmanager
def _guarded(conn: Connection[Any], text: str, known: Mapping[str, str]) -> Iterator[None]:
    """Create triggers on the tables that the file names, and drop them before the transaction ends.

    So no other session ever sees them.
    """
    from psycopg import sql

    lower = text.lower()
    tables = [
        row
        for row in conn.execute(_TABLES.encode(), [list(database.BOOKKEEPING)]).fetchall()
        if row[0].lower() in lower
    ]
    conn.execute(_MEMORY.encode())
    conn.execute(_GUARD.encode())
    # Only handles that the file spells out: a person whose handle the file computes keeps the UUID of the row.
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
    """Every field of the rows that the file copies into ``users``: handles have no quotes there."""
    for statement in splitter.split(text):
        if statement.rows is not None and "users" in statement.text.lower():
            yield from (match[0] for match in _FIELD.finditer(text, *statement.rows))


def fitting(conn: Connection[Any], text: str) -> tuple[str, bool]:
    """A built-in seed without the statements for tables that do not fit; and whether all tables fit.

    The statements keep their lines. The application's own schema has another type for the UUID of a reply.
    """
    refused = {table for table in _SEEDED if not _fits(conn, table)}
    if not refused:
        return text, True
    statements = splitter.split(text)
    result = ""
    for statement in statements:
        if not {word.lower() for word in statement.words[:4]} & refused:
            result += "\n" * (statement.line - 1 - result.count("\n")) + statement.text + ";"
    return result, False


def _fits(conn: Connection[Any], table: str) -> bool:
    columns = {row[0]: row[1:] for row in conn.execute(_COLUMNS.encode(), [f"public.{table}"]).fetchall()}
    seeded = _SEEDED[table]
    return (
        seeded <= set(columns)
        and all(columns[name][0] for name in seeded & _UUIDS)
        and columns["uuid"][2]
        and not any(needed for name, (_, needed, _) in columns.items() if name not in seeded)
    )
