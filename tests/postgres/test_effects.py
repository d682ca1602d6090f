"""What a file of SQL would do to tables that are there."""

from __future__ import annotations

import pytest

from cruddur_cli.postgres import effects

TABLES = ["activities", "my table", "users"]


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ('DROP TABLE IF EXISTS public.users, "my table" CASCADE', ["my table", "users"]),
        ("DROP TABLE users -- gone", ["users"]),
        ("TRUNCATE TABLE ONLY public.Users RESTART IDENTITY", ["users"]),
        ("TRUNCATE users CASCADE", TABLES),
        ('DELETE FROM "my table"', ["my table"]),
        ("WITH gone AS (DELETE FROM users RETURNING 1) SELECT 1", ["users"]),
        ("DO $$ BEGIN DELETE FROM activities; END $$", ["activities"]),
        ("DO $$ BEGIN EXECUTE 'DROP TABLE us' || 'ers'; END $$", TABLES),
        ("DROP SCHEMA public CASCADE", TABLES),
        ("DROP OWNED BY CURRENT_USER", TABLES),
        ("DROP TYPE mood CASCADE", TABLES),
        ("ALTER TABLE users DROP COLUMN email", ["users"]),
        ("ALTER TABLE users ALTER handle TYPE int USING 0", ["users"]),
        ("UPDATE users SET handle = 'x'", ["users"]),
        ("ALTER TABLE ONLY public.users ADD CONSTRAINT users_pkey PRIMARY KEY (uuid)", []),
        ("ALTER TABLE public.users OWNER TO postgres; ALTER TABLE users DROP CONSTRAINT users_pkey", []),
        ("DROP TRIGGER t ON users; DROP VIEW users_view; DROP TYPE mood; DROP FUNCTION f(users) CASCADE", []),
        ("CREATE TABLE users (i int); COPY users FROM stdin;\n1\n\\.\nSELECT 'DROP TABLE users'", []),
    ],
)
def test_which_tables_lose_rows(text: str, lost: list[str]) -> None:
    assert effects.lost(text, TABLES) == lost


def test_which_tables_are_made_anew() -> None:
    text = (
        'CREATE TABLE public.Users (i int); CREATE UNLOGGED TABLE "x"(i int); CREATE TABLE IF NOT EXISTS activities()'
    )
    assert effects.made(text, [*TABLES, "x"]) == ["users", "x"]
