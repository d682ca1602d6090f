"""A seed file that runs twice adds no rows, and people have the same UUIDs in every new database."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from cruddur_cli.errors import Refused
from cruddur_cli.postgres import connection, users
from cruddur_cli.postgres.connection import Server
from cruddur_cli.postgres.sql_files import idempotent_seed
from cruddur_cli.postgres.sql_files import runner as sql_runner

from .. import servers

ANDREW = "8b1d22bf-cedf-4fbb-b137-63dc54b4770d"
WRITTEN = "0f8fad5b-d9cb-469f-a165-70867728950e"
SCHEMA = """
    CREATE TABLE public.users (
        uuid uuid DEFAULT gen_random_uuid() PRIMARY KEY, display_name text, handle text, email text,
        cognito_user_id text, created_at timestamp DEFAULT current_timestamp NOT NULL
    );
    CREATE TABLE public.activities (
        uuid uuid DEFAULT gen_random_uuid() PRIMARY KEY, user_uuid uuid NOT NULL {reference}, message text NOT NULL,
        likes_count integer DEFAULT 0, reply_to_activity_uuid integer, expires_at timestamp,
        created_at timestamp DEFAULT current_timestamp NOT NULL
    );
    CREATE TABLE public."Follows Of" (id serial, who uuid, whom uuid, note text);
"""
# As the application's own file is.
SEED = """
    INSERT INTO public.users (display_name, email, handle, cognito_user_id) VALUES
      ('Andrew Brown', 'andrew@example.com', 'andrewbrown', 'MOCK'), ('Mira', 'mira@example.com', 'mira', 'MOCK');
    INSERT INTO public.activities (user_uuid, message, expires_at) VALUES (
      (SELECT uuid from public.users WHERE users.handle = 'andrewbrown' LIMIT 1),
      'This was imported as seed data!',
      current_timestamp + interval '10 day'
    )
"""


@pytest.fixture(params=["", "REFERENCES public.users"], ids=["", "foreign key"])
def seeded(at: Server, request: pytest.FixtureRequest) -> Server:
    load(at, SCHEMA.format(reference=request.param))
    return at


def load(at: Server, text: str) -> None:
    with connection.opened(at) as conn:
        sql_runner.run(conn, text, source="schema.sql", server=at)


def seed(at: Server, text: str = SEED) -> int:
    with connection.opened(at) as conn:
        return idempotent_seed.run(conn, text, source="seed.sql", server=at, known={"andrewbrown": ANDREW})


def rows(at: Server, query: str) -> list[Any]:
    with connection.opened(at) as conn:
        return conn.execute(query.encode()).fetchall()


def test_the_second_run_adds_nothing(seeded: Server) -> None:
    assert seed(seeded) == 3
    everything = rows(seeded, "SELECT * FROM users, activities ORDER BY 1")
    assert (seed(seeded), seed(seeded)) == (0, 0)
    assert rows(seeded, "SELECT * FROM users, activities ORDER BY 1") == everything


def test_a_seed_leaves_only_rows(postgres15: str) -> None:
    with servers.database(postgres15) as url:
        at = servers.server(url)
        load(at, SCHEMA.format(reference=""))
        empty = servers.dump(url)
        seed(at)
        load(at, "TRUNCATE users, activities")
        assert servers.dump(url) == empty


def test_people_keep_their_uuids_in_a_new_database(seeded: Server) -> None:
    for _ in range(2):
        seed(seeded)
        found = dict(rows(seeded, "SELECT handle, uuid::text FROM users"))
        assert found == {"andrewbrown": ANDREW, "mira": users.stable_uuid("mira")}
        assert rows(seeded, "SELECT DISTINCT user_uuid::text FROM activities") == [(ANDREW,)]
        load(seeded, "TRUNCATE users, activities")


def test_existing_people_are_not_changed(seeded: Server) -> None:
    load(seeded, f"INSERT INTO users (uuid, handle, email) VALUES ('{WRITTEN}', 'andrewbrown', 'real@example.com')")
    assert seed(seeded) == 2
    assert rows(seeded, "SELECT uuid::text, email FROM users WHERE handle = 'andrewbrown'") == [
        (WRITTEN, "real@example.com")
    ]
    assert rows(seeded, "SELECT user_uuid::text FROM activities") == [(WRITTEN,)]


def test_a_uuid_that_the_file_writes_is_stored(seeded: Server) -> None:
    text = f"""
        INSERT INTO users (uuid, handle) VALUES ('{WRITTEN.upper()}', 'mira');
        INSERT INTO activities (user_uuid, message) VALUES ('{WRITTEN}', 'hello');
    """
    assert (seed(seeded, text), seed(seeded, text)) == (2, 0)
    assert rows(seeded, "SELECT uuid::text FROM users") == [(WRITTEN,)]


def test_a_uuid_in_the_file_is_replaced_by_that_of_the_existing_person(seeded: Server) -> None:
    seed(seeded)
    text = f"""
        INSERT INTO users (uuid, handle) VALUES ('{WRITTEN}', 'mira');
        INSERT INTO activities (user_uuid, message) VALUES ('{WRITTEN}', 'hello');
        INSERT INTO "Follows Of" (who, whom) VALUES ('{WRITTEN}', '{ANDREW}');
    """
    assert (seed(seeded, text), seed(seeded, text)) == (2, 0)
    assert rows(
        seeded, "SELECT handle FROM activities JOIN users ON user_uuid = users.uuid WHERE message = 'hello'"
    ) == [("mira",)]
    assert rows(seeded, 'SELECT who::text FROM "Follows Of"') == [(users.stable_uuid("mira"),)]


def test_a_uuid_that_an_insert_returns_can_be_used(seeded: Server) -> None:
    text = """
        WITH one AS (INSERT INTO users (handle) VALUES ('mira') RETURNING uuid)
        INSERT INTO activities (user_uuid, message) SELECT uuid, 'hello' FROM one
    """
    assert (seed(seeded, text), seed(seeded, text)) == (2, 0)
    assert rows(seeded, "SELECT user_uuid::text FROM activities") == [(users.stable_uuid("mira"),)]


def test_a_row_that_one_run_writes_twice_is_stored_twice(seeded: Server) -> None:
    text = SEED + "; INSERT INTO activities (user_uuid, message) SELECT user_uuid, message FROM activities;"
    text += "INSERT INTO users (handle) VALUES ('mira')"
    assert (seed(seeded, text), seed(seeded, text)) == (5, 0)


def test_rows_of_a_copy_are_seeded_once(seeded: Server) -> None:
    text = "COPY public.users (handle, display_name) FROM stdin;\nandrewbrown\tAndrew\nmira\tMira\n\\.\n"
    assert (seed(seeded, text), seed(seeded, text)) == (2, 0)
    found = dict(rows(seeded, "SELECT handle, uuid::text FROM users"))
    assert found == {"andrewbrown": ANDREW, "mira": users.stable_uuid("mira")}
    text = "SELECT pg_catalog.set_config('search_path', '', false);\n"
    text += f"COPY public.users (uuid, handle) FROM stdin;\n{WRITTEN}\tmira\n\\.\n"
    text += f"COPY public.activities (user_uuid, message) FROM stdin;\n{WRITTEN}\thello\n\\.\n"
    assert (seed(seeded, text), seed(seeded, text)) == (1, 0)
    assert rows(seeded, "SELECT user_uuid::text FROM activities") == [(users.stable_uuid("mira"),)]


def test_rows_of_other_tables_are_seeded_once(seeded: Server) -> None:
    follow = "SELECT a.uuid, b.uuid, NULL FROM users a, users b WHERE a.handle < b.handle"
    text = f'{SEED}; INSERT INTO "Follows Of" (who, whom, note) {follow};'
    assert (seed(seeded, text), seed(seeded, text)) == (4, 0)


def test_a_line_added_to_the_file_adds_one_row(seeded: Server) -> None:
    seed(seeded)
    assert seed(seeded, SEED.replace("'MOCK');", "'MOCK'), ('New', 'new@example.com', 'new', 'MOCK');")) == 1


def test_a_file_that_empties_the_tables_first_keeps_the_uuids(seeded: Server) -> None:
    text = "DELETE FROM activities; DELETE FROM users;" + SEED
    assert seed(seeded, text) == 3
    before = rows(seeded, "SELECT uuid, handle FROM users ORDER BY handle")
    assert seed(seeded, text) == 0
    assert rows(seeded, "SELECT uuid, handle FROM users ORDER BY handle") == before
    assert rows(seeded, "SELECT count(*) FROM activities") == [(1,)]


def test_an_error_has_its_place_and_leaves_nothing(seeded: Server) -> None:
    with pytest.raises(Refused, match=r"seed\.sql, line 10: .*syntax error") as caught:
        seed(seeded, SEED + ";\n('Londo', 'x');")
    assert caught.value.details and caught.value.details.startswith("10 | ('Londo', 'x');\n      ^")
    query = "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal)"
    assert rows(seeded, query) == [(0, 0)]


def test_a_users_table_without_handles_is_seeded_once(at: Server) -> None:
    load(at, "CREATE TABLE users (id serial PRIMARY KEY, name text)")
    text = "INSERT INTO users (name) VALUES ('a'), ('b')"
    assert (seed(at, text), seed(at, text)) == (2, 0)


def test_a_lock_on_a_seeded_table_is_refused_with_its_session(seeded: Server, url: str) -> None:
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE activities IN ROW EXCLUSIVE MODE")
        with pytest.raises(Refused) as caught:
            seed(seeded)
        assert caught.value.fields["blocking_pids"] == [holder.info.backend_pid]
