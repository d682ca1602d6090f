"""The definitions of a database as text show every kind of change, on every PostgreSQL."""

from __future__ import annotations

import psycopg
import pytest

from cruddur_cli.postgres import catalogue

BEFORE = """
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE DOMAIN handle AS text CHECK (VALUE <> '');
    CREATE SEQUENCE numbers;
    CREATE TABLE people (id int PRIMARY KEY, name handle, mood mood DEFAULT 'ok');
    CREATE VIEW names AS SELECT name FROM people;
    CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
"""
CHANGES = {
    "column public.people.bio": "ALTER TABLE people ADD COLUMN bio text NOT NULL DEFAULT ''",
    "column public.people.mood": "ALTER TABLE people ALTER mood DROP DEFAULT",
    "constraint public.people.people_name_key": "ALTER TABLE people ADD UNIQUE (name)",
    "index public.by_mood": "CREATE INDEX by_mood ON people (mood)",
    "trigger public.people.touch": "CREATE TRIGGER touch BEFORE UPDATE ON people EXECUTE FUNCTION touched()",
    "view public.names": "CREATE OR REPLACE VIEW names AS SELECT name FROM people WHERE id > 0",
    "function public.one()": "CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 2'",
    "type public.mood": "ALTER TYPE mood ADD VALUE 'glad'",
    "type public.handle": "ALTER DOMAIN handle SET NOT NULL",
    "sequence public.numbers": "ALTER SEQUENCE numbers INCREMENT 2",
    "table public.people": "ALTER TABLE people ENABLE ROW LEVEL SECURITY",
    "policy public.people.all_of_them": "CREATE POLICY all_of_them ON people USING (true)",
    "schema stories": "CREATE SCHEMA stories",
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_changes_its_definition_and_no_other(url: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(BEFORE)
        before, texts = catalogue.definitions(conn), catalogue.read(conn)
        conn.execute(CHANGES[name].encode())
        after = catalogue.definitions(conn)
        different = {each for each in before.keys() | after.keys() if before.get(each) != after.get(each)}
        assert different == {name}
        assert catalogue.read(conn) != texts


def test_rows_comments_and_own_tables_are_no_definitions(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(BEFORE)
        before = catalogue.definitions(conn)
        conn.execute("INSERT INTO people VALUES (1, 'andrew')")
        conn.execute("COMMENT ON TABLE people IS 'who they are'")
        conn.execute("CREATE TABLE schema_information (id int); CREATE TABLE cruddur_migrations (id int)")
        assert catalogue.definitions(conn) == before


def test_names_have_their_schema_whatever_the_search_path(url: str) -> None:
    with psycopg.connect(url) as conn:
        conn.execute(BEFORE)
        before = catalogue.definitions(conn)
        conn.execute("SET search_path = pg_catalog, public")
        assert catalogue.definitions(conn) == before
        row = conn.execute("SHOW search_path").fetchone()
        assert row == ("pg_catalog, public",)
    assert before["column public.people.mood"] == "public.mood default 'ok'::public.mood"
