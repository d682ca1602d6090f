"""Each migration is applied once, in the order of time, whole or not at all; the scripts' record counts too."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cruddur_cli.errors import BadInput, CannotConnect, CruddurError, Refused
from cruddur_cli.postgres import connection, locks
from cruddur_cli.postgres.connection import Server
from cruddur_cli.postgres.migrations import files as migration_files
from cruddur_cli.postgres.migrations import runner as migration_runner
from tests import waiting
from tests.postgres.conftest import Folder

FIRST, SECOND, THIRD = "16811528612904313", "16811528612904314", "16811528612904315"


def three(files: Folder) -> None:
    files.write(FIRST, "a", "CREATE TABLE a (i int);", "DROP TABLE a;")
    files.write(SECOND, "b", "CREATE TABLE b (i int);", "DROP TABLE b;")
    files.write(THIRD, "c", "CREATE TABLE c (i int);", "DROP TABLE c;")


def migrate(at: Server, files: Folder) -> list[str]:
    with connection.opened(at) as conn:
        return [done.version for done in migration_runner.migrate(conn, files.migrations(), server=at)]


def rollback(at: Server, files: Folder, **how: Any) -> list[str]:
    with connection.opened(at) as conn:
        undo = migration_runner.to_undo(conn, files.migrations(), **how)
        return [done.version for done in migration_runner.rollback(conn, files.migrations(), undo=undo, server=at)]


def applied(at: Server, files: Folder) -> list[str]:
    with connection.opened(at) as conn:
        return [row.version for row in migration_runner.status(conn, files.migrations()) if row.state != "pending"]


def tables(at: Server) -> list[str]:
    with connection.opened(at) as conn:
        rows = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
    return [row[0] for row in rows if row[0] not in {"cruddur_migrations", "schema_information"}]


def legacy(at: Server, number: str | None = None) -> Any:
    """The number in the scripts' own record; ``number`` is written first, as the scripts or a person do."""
    with connection.opened(at) as conn:
        if number is not None:
            conn.execute("CREATE TABLE IF NOT EXISTS schema_information (id integer UNIQUE, last_successful_run text)")
            conn.execute("INSERT INTO schema_information VALUES (1, '0') ON CONFLICT DO NOTHING")
            conn.execute("UPDATE schema_information SET last_successful_run = %s WHERE id = 1", [number])
        row = conn.execute("SELECT last_successful_run FROM public.schema_information LIMIT 1").fetchone()
        assert row
        return row[0]


def test_migrations_are_applied_undone_and_applied_again(at: Server, files: Folder) -> None:
    three(files)
    assert migrate(at, files) == [FIRST, SECOND, THIRD]
    assert (tables(at), legacy(at)) == (["a", "b", "c"], THIRD)
    assert migrate(at, files) == []
    assert rollback(at, files) == [THIRD]
    assert (tables(at), legacy(at)) == (["a", "b"], SECOND)
    assert rollback(at, files, steps=5) == [SECOND, FIRST]
    assert (tables(at), legacy(at)) == ([], "0")
    assert rollback(at, files) == []
    assert migrate(at, files) == [FIRST, SECOND, THIRD]
    assert rollback(at, files, to=FIRST) == [THIRD, SECOND]
    assert rollback(at, files, to="0") == [FIRST]


def names(at: Server, files: Folder) -> list[tuple[str, str]]:
    with connection.opened(at) as conn:
        return [(row.name, row.state) for row in migration_runner.status(conn, files.migrations())]


def test_each_migration_is_reported_after_its_commit(at: Server, url: str, files: Folder) -> None:
    three(files)
    files.write("17000000000000000", "bad", "SELECT 1 / 0;")
    lines: list[str] = []
    reported: list[tuple[str, str, int]] = []

    def done(one: migration_runner.Status) -> None:
        with psycopg.connect(url) as other:
            row = other.execute("SELECT count(*) FROM cruddur_migrations").fetchone()
        assert row
        reported.append((one.name, one.state, row[0]))

    with connection.opened(at) as conn, pytest.raises(Refused):
        migration_runner.migrate(conn, files.migrations(), server=at, say=lines.append, done=done)
    assert reported == [("a", "applied", 1), ("b", "applied", 2), ("c", "applied", 3)]
    reported.clear()
    with connection.opened(at) as conn:
        undo = migration_runner.to_undo(conn, files.migrations(), steps=2)
        migration_runner.rollback(conn, files.migrations(), undo=undo, server=at, say=lines.append, done=done)
    assert reported == [("c", "pending", 2), ("b", "pending", 1)]
    assert lines == []


def test_the_status_has_the_name_of_the_file_else_the_recorded_one(at: Server, files: Folder) -> None:
    three(files)
    assert names(at, files) == [("a", "pending"), ("b", "pending"), ("c", "pending")]
    with connection.opened(at) as conn:
        done = migration_runner.migrate(conn, files.migrations()[:2], server=at)
    assert [(row.name, row.state) for row in done] == [("a", "applied"), ("b", "applied")]
    (files.path / f"{FIRST}_a.sql").rename(files.path / f"{FIRST}_renamed.sql")
    (files.path / f"{SECOND}_b.sql").unlink()
    assert names(at, files) == [("renamed", "applied"), ("b", "applied"), ("c", "pending")]


def test_a_migration_that_came_late_is_applied(at: Server, files: Folder) -> None:
    three(files)
    (files.path / f"{SECOND}_b.sql").rename(files.path / "b")
    migrate(at, files)
    (files.path / "b").rename(files.path / f"{SECOND}_b.sql")
    assert migrate(at, files) == [SECOND]
    assert legacy(at) == THIRD
    assert rollback(at, files) == [THIRD]


def test_rollback_undoes_the_newest_whatever_the_length_of_its_number(at: Server, files: Folder) -> None:
    files.write("17000000000000000", "older", "CREATE TABLE older (i int)", "DROP TABLE older")
    files.write("1700000000001", "newer", "CREATE TABLE newer (i int)", "DROP TABLE newer")
    migrate(at, files)
    # The scripts compare numbers: as 1700000000001 the older one would be pending for them.
    assert legacy(at) == "17000000000010000"
    assert rollback(at, files) == ["1700000000001"]
    assert tables(at) == ["older"]


def test_rollback_refuses_a_migration_that_is_no_longer_the_newest(at: Server, files: Folder) -> None:
    three(files)
    migrate(at, files)
    with connection.opened(at) as conn:
        undo = migration_runner.to_undo(conn, files.migrations())
        conn.commit()
        rollback(at, files)
        with pytest.raises(Refused, match="not the newest") as caught:
            migration_runner.rollback(conn, files.migrations(), undo=undo, server=at)
    assert caught.value.code == "changed_meanwhile"
    assert tables(at) == ["a", "b"]


@pytest.mark.parametrize(
    ("second", "third", "lost", "unknown"),
    [
        ("DELETE FROM a WHERE i > 1", "DROP TABLE b", "1 row of a, 1 row of b", ""),
        ("SELECT 1 -- no end", "DELETE FROM a", "2 a", ""),
        ("DELETE FROM a WHERE i > 1", "SELECT 1 / 0", "1 row of a", ""),
        ("SELECT 1 / 0", "DELETE FROM a", "no rows", ""),
        ("ALTER TYPE mood ADD VALUE 'sad'", "SELECT 'sad'::mood", "2 a, 1 row of b", f"{THIRD} needs the commit"),
    ],
)
def test_rows_that_pending_migrations_destroy_are_counted_and_stay(
    at: Server, files: Folder, second: str, third: str, lost: str, unknown: str
) -> None:
    files.write(
        FIRST, "a", "CREATE TABLE a (i int); CREATE TABLE b (i int); CREATE TYPE mood AS ENUM ('fine');"
        "INSERT INTO a VALUES (1), (2); INSERT INTO b VALUES (1);",
    )  # fmt: skip
    assert migrate(at, files) == [FIRST]
    with connection.opened(at) as conn:
        assert migration_runner.losses(conn, files.migrations(), server=at).staying == ()
    files.write(SECOND, "b", second)
    files.write(THIRD, "c", third)
    with connection.opened(at) as conn:
        found = migration_runner.losses(conn, files.migrations(), server=at)
    assert (str(found).partition(" (")[0], unknown in found.unknown, bool(found.unknown)) == (lost, True, bool(unknown))
    assert (tables(at), applied(at, files)) == (["a", "b"], [FIRST])


def test_a_failing_migration_is_rolled_back_and_earlier_ones_stay(at: Server, files: Folder) -> None:
    three(files)
    files.write(SECOND, "b", "CREATE TABLE b (i int);\nINSERT INTO nowhere VALUES (1);")
    with pytest.raises(Refused) as caught:
        migrate(at, files)
    assert caught.value.exit_code == 5
    assert caught.value.message.startswith(f"{files.path / (SECOND + '_b.sql')}, line 3: ")
    assert caught.value.details and caught.value.details.startswith(
        "3 | INSERT INTO nowhere VALUES (1);\n                ^"
    )
    assert caught.value.fields["applied"] == 1
    assert (tables(at), applied(at, files), legacy(at)) == (["a"], [FIRST], FIRST)


def test_a_failing_rollback_keeps_the_migration(at: Server, files: Folder) -> None:
    files.write(FIRST, "a", "CREATE TABLE a (i int);", "DROP TABLE a; SELECT broken;")
    migrate(at, files)
    with pytest.raises(Refused, match="line 5"):
        rollback(at, files)
    assert (tables(at), applied(at, files)) == (["a"], [FIRST])


def test_a_commit_in_a_migration_commits_nothing(at: Server, files: Folder) -> None:
    files.write(FIRST, "a", "BEGIN; CREATE TABLE a (i int); COMMIT;\nSELECT broken;")
    with pytest.raises(Refused):
        migrate(at, files)
    assert tables(at) == []


def test_settings_of_a_migration_do_not_reach_the_next(at: Server, files: Folder) -> None:
    files.write(FIRST, "a", "SET search_path = ''; CREATE TEMPORARY TABLE t (i int); SET statement_timeout = 1234;")
    files.write(SECOND, "b", "CREATE TABLE a (i int); CREATE TEMPORARY TABLE t (i int);")
    migrate(at, files)
    assert tables(at) == ["a"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("CREATE TABLE a (i int);", "it has neither"),
        ("-- migrate:down\n-- migrate:up\n", "it has down, up"),
        ("SELECT 1;\n-- migrate:up\n", "SQL before its line"),
        ("-- migrate:up transaction:false\nVACUUM", "line 1: transaction:false"),
    ],
)
def test_a_file_without_the_two_marks_in_order_is_refused(at: Server, files: Folder, text: str, problem: str) -> None:
    (files.path / f"{FIRST}_a.sql").write_text(text)
    with pytest.raises(BadInput, match=problem):
        migrate(at, files)


def test_a_rollback_without_a_down_part_or_a_file_is_refused(at: Server, files: Folder) -> None:
    three(files)
    (files.path / f"{SECOND}_b.sql").write_text("-- only up\r\n-- migrate:up\r\nCREATE TABLE b (i int);\r\n")
    migrate(at, files)
    with pytest.raises(BadInput, match="has no down part"):
        rollback(at, files, steps=3)
    with pytest.raises(BadInput, match="no migration '17'"):
        rollback(at, files, to="17")
    assert rollback(at, files) == [THIRD]
    (files.path / f"{SECOND}_b.sql").unlink()
    with pytest.raises(BadInput, match=rf"{SECOND} b was applied and its file is missing"):
        rollback(at, files)
    assert applied(at, files) == [FIRST, SECOND]


def test_migrations_that_the_scripts_applied_count_as_applied(at: Server, files: Folder) -> None:
    three(files)
    # They wrote the time of the run, without trailing zeros: fewer digits, later all the same.
    legacy(at, "1681152900")
    files.write("16811529999999999", "new", "CREATE TABLE new (i int)")
    with connection.opened(at) as conn:
        rows = migration_runner.status(conn, files.migrations())
        assert [(row.state, row.applied_at) for row in rows] == [("adopted", None)] * 3 + [("pending", None)]
        assert conn.execute("SELECT to_regclass('cruddur_migrations')").fetchone() == (None,)
    assert migrate(at, files) == ["16811529999999999"]
    assert (tables(at), legacy(at)) == (["new"], "16811529999999999")
    assert applied(at, files) == [FIRST, SECOND, THIRD, "16811529999999999"]


def test_a_run_of_the_scripts_between_two_migrates_counts(at: Server, files: Folder) -> None:
    files.write(FIRST, "a", "CREATE TABLE a (i int);")
    migrate(at, files)
    files.write(SECOND, "b", "CREATE TABLE b (i int);")
    legacy(at, "16811600000000000")
    assert migrate(at, files) == []
    assert applied(at, files) == [FIRST, SECOND]
    assert legacy(at) == SECOND
    # One that is written now, older than that run, is not taken for applied.
    files.write("16811590000000000", "late", "CREATE TABLE late (i int);")
    assert migrate(at, files) == ["16811590000000000"]


@pytest.mark.parametrize(("number", "remaining"), [("0", []), (FIRST, [FIRST]), ("", [])])
def test_a_number_that_was_set_back_by_hand_counts(
    at: Server, files: Folder, number: str, remaining: list[str]
) -> None:
    three(files)
    migrate(at, files)
    legacy(at, number)
    assert applied(at, files) == remaining


def test_migrations_with_plain_numbers_are_applied_in_order(at: Server, files: Folder) -> None:
    for version in ("1", "2", "10"):
        files.write(version, "x", f"CREATE TABLE t{version} (i int)", f"DROP TABLE t{version}")
    legacy(at, "2")
    assert migrate(at, files) == ["10"]
    assert rollback(at, files) == ["10"]
    assert legacy(at) == "2"


def test_a_record_that_is_no_number_is_refused(at: Server, files: Folder) -> None:
    legacy(at, "yesterday")
    with pytest.raises(Refused, match="contains 'yesterday'"):
        migrate(at, files)


@pytest.mark.parametrize(
    "columns", ["last_successful_run text, last_migration_file text", "last_successful_run bigint", "x int"]
)
def test_a_record_with_other_columns_is_used(at: Server, files: Folder, columns: str) -> None:
    three(files)
    with connection.opened(at) as conn:
        conn.execute(f"CREATE TABLE schema_information ({columns})".encode())
    assert migrate(at, files) == [FIRST, SECOND, THIRD]
    assert rollback(at, files) == [THIRD]
    assert applied(at, files) == [FIRST, SECOND]
    if columns != "x int":
        assert str(legacy(at)) == SECOND


def test_a_schema_that_is_loaded_again_has_no_migrations(at: Server, files: Folder) -> None:
    three(files)
    migrate(at, files)
    with connection.opened(at) as conn:
        migration_runner.forget(conn)
        conn.execute("DROP TABLE a, b, c")
    assert (applied(at, files), legacy(at)) == ([], "0")
    assert migrate(at, files) == [FIRST, SECOND, THIRD]


def test_200_new_migrations_are_applied_in_their_order(at: Server, files: Folder) -> None:
    now = 1_681_152_861_290_431_300
    for number in range(200):
        made = migration_files.create(files.path, f"step {number}", now_ns=now, existing=files.migrations())
        made.path.write_text(f"-- migrate:up\nINSERT INTO steps VALUES ({number});\n-- migrate:down\n")
    with connection.opened(at) as conn:
        conn.execute("CREATE TABLE steps (number int, id int GENERATED ALWAYS AS IDENTITY)")
    assert len(migrate(at, files)) == 200
    with connection.opened(at) as conn:
        rows = conn.execute("SELECT number FROM steps ORDER BY id").fetchall()
    assert [row[0] for row in rows] == list(range(200))


def test_a_new_migration_has_its_name_and_two_empty_parts(files: Folder) -> None:
    made = migration_files.create(files.path / "new", "Add bio-column!", now_ns=1_681_152_861_290_431_399, existing=[])
    assert made.path.name == "16811528612904313_Add_bio_column.sql"
    assert migration_files.find(files.path / "new") == [made]
    with pytest.raises(BadInput, match=f"{made.path.name} has no SQL in its up part"):
        migration_files.up(made)
    made.path.write_text(made.path.read_text().replace("migrate:up\n", "migrate:up\nSELECT 1;\n"))
    assert (migration_files.up(made).strip(), migration_files.down(made).strip()) == ("SELECT 1;", "")
    with pytest.raises(BadInput, match="cannot name"):
        migration_files.create(files.path, "../..", now_ns=0, existing=[])


def migrator(url: str, files: Folder) -> subprocess.Popen[bytes]:
    code = f"""
        from pathlib import Path
        from cruddur_cli.postgres import connection
        from cruddur_cli.postgres.migrations import files, runner
        from tests.postgres import servers
        at = servers.server({url!r})
        print(flush=True)
        input()
        with connection.opened(at) as conn:
            done = runner.migrate(conn, files.find(Path({str(files.path)!r})), server=at)
        print(*[row.version for row in done])
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=Path(__file__).parents[3], stdin=pipe, stdout=pipe, stderr=pipe)


def test_eight_processes_apply_each_migration_once(at: Server, url: str, files: Folder) -> None:
    for number in range(20):
        files.write(
            f"168115286129043{number:02}", f"t{number}", f"CREATE TABLE t{number} (i int); SELECT pg_sleep(0.01);"
        )
    processes = [migrator(url, files) for _ in range(8)]
    for process in processes:
        assert process.stdout
        process.stdout.readline()
    for process in processes:
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, outputs
    done = [version for out, _ in outputs for version in out.decode().split()]
    assert sorted(done) == [migration.version for migration in files.migrations()]
    assert len(tables(at)) == 20


def test_what_another_migrator_created_while_this_one_waited_is_seen(at: Server, files: Folder) -> None:
    """A session caches which tables exist, and waiting for an advisory lock does not clear that cache."""
    three(files)
    is_waiting = threading.Event()
    with connection.opened(at) as late, connection.opened(at) as first, ThreadPoolExecutor(1) as pool:
        locks.take(first)
        assert migration_runner.recorded(late) == []
        waited = pool.submit(
            migration_runner.migrate, late, files.migrations(), server=at, say=lambda _: is_waiting.set()
        )
        assert is_waiting.wait(30)
        done = migration_runner.migrate(first, files.migrations(), server=at)
        done += waited.result(timeout=60)  # they take turns after each migration
        assert sorted(one.version for one in done) == [FIRST, SECOND, THIRD]
    assert applied(at, files) == [FIRST, SECOND, THIRD]


@pytest.mark.usefixtures("watchful")
def test_a_killed_migrate_leaves_its_migration_pending(at: Server, url: str, files: Folder) -> None:
    three(files)
    files.write(SECOND, "b", "CREATE TABLE b (i int); SELECT pg_sleep(600) WHERE to_regclass('go') IS NULL;")
    process = migrator(url, files)
    assert process.stdin
    process.stdin.write(b"\n")
    process.stdin.flush()
    sleeping = (
        b"SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND datname = current_database()"
    )
    with psycopg.connect(url, autocommit=True) as conn:
        waiting.until(lambda: conn.execute(sleeping).fetchone() == (1,))
        process.kill()
        process.communicate(timeout=30)
        assert tables(at) == ["a"]
        assert (applied(at, files), legacy(at)) == ([FIRST], FIRST)
        waiting.until(lambda: conn.execute(sleeping).fetchone() == (0,))
        conn.execute("CREATE TABLE go ()")
    assert migrate(at, files) == [SECOND, THIRD]


def state_of(at: Server, files: Folder) -> dict[str, str]:
    with connection.opened(at) as conn:
        return {row.version: row.state for row in migration_runner.status(conn, files.migrations())}


def test_what_is_pending_is_read_and_what_is_applied_is_not(at: Server, files: Folder) -> None:
    three(files)
    with connection.opened(at) as conn:
        migration_runner.migrate(conn, files.migrations()[:1], server=at)
        (files.path / f"{FIRST}_a.sql").write_text("no migration")
        rows = migration_runner.pending(conn, files.migrations())
        assert [(row.version, row.name, row.state, row.applied_at) for row in rows] == [
            (SECOND, "b", "pending", None),
            (THIRD, "c", "pending", None),
        ]
        (files.path / f"{THIRD}_c.sql").write_text("no migration")
        with pytest.raises(BadInput, match=f"{THIRD}_c"):
            migration_runner.pending(conn, files.migrations())


@pytest.mark.parametrize(
    ("error", "earlier", "message"),
    [
        (Refused("It failed."), 0, "It failed. Nothing was changed."),
        (Refused("It failed."), 1, "It failed. Nothing was changed by it. 1 earlier migration stays rolled back."),
        (Refused("It failed."), 2, "It failed. Nothing was changed by it. 2 earlier migrations stay rolled back."),
        (CannotConnect("No answer."), 0, "No answer."),
        (CannotConnect("No answer."), 2, "No answer. 2 earlier migrations stay rolled back."),
    ],
)
def test_what_an_error_says_of_the_migrations_before_it(error: CruddurError, earlier: int, message: str) -> None:
    told = migration_runner._rolled_back(error, "rolled back", earlier)
    assert (type(told), told.message, told.fields) == (type(error), message, {"rolled_back": earlier})


def test_each_migration_is_told_after_its_commit_and_a_wait_only_once(
    at: Server, files: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    three(files)
    waits: list[object] = []
    take = locks.take

    def noted(conn: Any, **options: Any) -> None:
        waits.append(options.get("say"))
        take(conn, **options)

    monkeypatch.setattr(locks, "take", noted)
    told: list[tuple[str, str, bool]] = []
    say = print
    with connection.opened(at) as conn:
        migration_runner.migrate(
            conn,
            files.migrations(),
            server=at,
            say=say,
            done=lambda one: told.append((one.version, one.state, one.applied_at is not None)),
        )
    assert told == [(FIRST, "applied", True), (SECOND, "applied", True), (THIRD, "applied", True)]
    assert waits == [say, None, None, None]


def test_only_for_what_exists_already_an_error_suggests_to_mark_it(at: Server, files: Folder) -> None:
    three(files)
    with connection.opened(at) as conn:
        conn.execute("CREATE TABLE a (i int)")
    with pytest.raises(Refused) as caught:
        migrate(at, files)
    assert str(caught.value.hint).endswith(f"cruddur db migrate --mark-applied {FIRST}")
    files.write(FIRST, "a", "SELECT broken")
    with pytest.raises(Refused) as caught:
        migrate(at, files)
    assert "--mark-applied" not in str(caught.value.hint)


def mark(at: Server, files: Folder, version: str) -> bool:
    with connection.opened(at) as conn:
        return migration_runner.mark_applied(conn, files.migrations(), version)


def test_a_migration_is_marked_as_applied_once_and_without_a_time(at: Server, files: Folder) -> None:
    three(files)
    assert mark(at, files, SECOND)
    assert not mark(at, files, SECOND)
    with connection.opened(at) as conn:
        rows = migration_runner.status(conn, files.migrations())
    assert [(row.state, row.applied_at) for row in rows] == [("pending", None), ("applied", None), ("pending", None)]
    assert (tables(at), legacy(at)) == ([], SECOND)
    with pytest.raises(BadInput, match="There is no migration '17'"):
        mark(at, files, "17")


def test_a_migration_of_the_scripts_is_marked_and_the_others_are_recorded(at: Server, files: Folder) -> None:
    three(files)
    legacy(at, SECOND)
    assert state_of(at, files) == {FIRST: "adopted", SECOND: "adopted", THIRD: "pending"}
    assert mark(at, files, SECOND)
    assert state_of(at, files) == {FIRST: "adopted", SECOND: "applied", THIRD: "pending"}
    with connection.opened(at) as conn:
        assert migration_runner.recorded(conn) == [FIRST, SECOND]


def test_an_applied_migration_runs_again_and_a_pending_one_does_not(at: Server, files: Folder) -> None:
    files.write(FIRST, "a", "CREATE TABLE IF NOT EXISTS a (i int); INSERT INTO a VALUES (1);")
    files.write(SECOND, "b", "SELECT broken;")
    assert migrate_first(at, files) == [FIRST]
    with connection.opened(at) as conn:
        done = migration_runner.redo(conn, files.migrations(), FIRST, server=at)
        assert (done.version, done.state, done.applied_at is not None) == (FIRST, "applied", True)
        assert conn.execute("SELECT count(*) FROM a").fetchone() == (2,)
        conn.commit()
        with pytest.raises(BadInput, match=f"Migration {SECOND} is pending. Nothing was changed.") as caught:
            migration_runner.redo(conn, files.migrations(), SECOND, server=at)
        assert (caught.value.code, caught.value.fields["applied"]) == ("migration_pending", 0)


def migrate_first(at: Server, files: Folder) -> list[str]:
    with connection.opened(at) as conn:
        return [done.version for done in migration_runner.migrate(conn, files.migrations()[:1], server=at)]


def rehearse(at: Server, files: Folder) -> tuple[list[str], list[str]]:
    """The migrations that the schema contains, and the tables that are there while all the others are applied."""
    seen: list[str] = []

    def look() -> None:
        rows = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
        seen.extend(row[0] for row in rows)

    with connection.opened(at) as conn:
        found = migration_runner.rehearse(conn, files.migrations(), server=at, look=look)
        return [one.version for one in found], seen


def test_a_rehearsal_applies_what_is_pending_and_leaves_nothing(at: Server, files: Folder) -> None:
    three(files)
    assert migrate_first(at, files) == [FIRST]
    known = {"cruddur_migrations", "schema_information"}
    contained, seen = rehearse(at, files)
    assert (contained, sorted(set(seen) - known)) == ([], ["a", "b", "c"])
    assert tables(at) == ["a"]
    with connection.opened(at) as conn:
        conn.execute("CREATE TABLE b (i int)")
    assert rehearse(at, files)[0] == [SECOND]
    assert tables(at) == ["a", "b"]


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ("CREATE TABLE b (i int, more int);", "DROP TABLE b;"),
        ("CREATE TABLE b (i int);", "SELECT broken;"),
        ("CREATE TABLE b (i int);", "DROP TABLE IF EXISTS another;"),
        ("INSERT INTO b VALUES (1); CREATE TABLE b (i int);", "DROP TABLE b;"),
        ("CREATE TABLE b (i int); INSERT INTO b VALUES (1);", "DROP TABLE b;"),
    ],
)
def test_a_schema_does_not_contain_what_differs_or_does_more(at: Server, files: Folder, up: str, down: str) -> None:
    files.write(SECOND, "b", up, down)
    with connection.opened(at) as conn:
        conn.execute("CREATE TABLE b (i int)")
    with pytest.raises(Refused, match="already exists"):
        rehearse(at, files)
    with connection.opened(at) as conn, pytest.raises(Refused, match="already exists"):
        migration_runner.build(conn, files.migrations(), server=at, commits=False)
    assert tables(at) == ["b"]


def mood(files: Folder) -> None:
    """The second needs what the first adds to be committed."""
    files.write(FIRST, "a", "ALTER TYPE mood ADD VALUE 'glad';")
    files.write(SECOND, "b", "CREATE TABLE b (m mood DEFAULT 'glad');", "DROP TABLE b;")
    files.write(THIRD, "c", "CREATE TABLE c (i int);", "DROP TABLE c;")


def test_a_migration_that_needs_a_commit_ends_a_rehearsal(at: Server, files: Folder) -> None:
    mood(files)
    with connection.opened(at) as conn:
        conn.execute("CREATE TYPE mood AS ENUM ('sad')")
    assert rehearse(at, files) == ([], [])


@pytest.mark.parametrize("commits", [True, False])
def test_a_build_commits_only_where_it_may(at: Server, files: Folder, commits: bool) -> None:
    mood(files)
    with connection.opened(at) as conn:
        conn.execute("CREATE TYPE mood AS ENUM ('sad')")
    with connection.opened(at) as conn:
        if commits:
            migration_runner.build(conn, files.migrations(), server=at, commits=True)
        else:
            with pytest.raises(Refused, match="unsafe use of new value"):
                migration_runner.build(conn, files.migrations(), server=at, commits=False)
    assert tables(at) == (["b", "c"] if commits else [])
    with connection.opened(at) as conn:
        assert migration_runner.recorded(conn) == []


def test_a_build_leaves_out_what_is_applied_or_in_the_schema(at: Server, files: Folder) -> None:
    three(files)
    assert migrate_first(at, files) == [FIRST]
    with connection.opened(at) as conn:
        conn.execute("DROP TABLE a; CREATE TABLE b (i int)")
    with connection.opened(at) as conn:
        migration_runner.build(conn, files.migrations(), server=at, commits=False)
    assert tables(at) == ["b", "c"]


def test_what_was_recorded_is_told_in_the_order_of_time_and_forgotten(at: Server, files: Folder) -> None:
    with connection.opened(at) as conn:
        assert migration_runner.recorded(conn) == []
        migration_runner.forget(conn)
    files.write("17000000000000000", "older", "SELECT 1")
    files.write("1700000000001", "newer", "SELECT 1")
    files.write("2", "first", "SELECT 1")
    migrate(at, files)
    with connection.opened(at) as conn:
        assert migration_runner.recorded(conn) == ["2", "17000000000000000", "1700000000001"]
        migration_runner.forget(conn)
        assert migration_runner.recorded(conn) == []
    assert legacy(at) == "0"


def test_a_rollback_takes_one_step_and_none_at_the_oldest(at: Server, files: Folder) -> None:
    three(files)
    migrate(at, files)
    with connection.opened(at) as conn:

        def undone(**how: Any) -> list[str]:
            return [one.version for one in migration_runner.to_undo(conn, files.migrations(), **how)]

        assert undone() == [THIRD]
        assert undone(steps=2) == [THIRD, SECOND]
        assert undone(to=SECOND) == [THIRD]
        assert undone(to=THIRD) == []
        assert undone(to="0") == [THIRD, SECOND, FIRST]
        (files.path / f"{FIRST}_a.sql").unlink()
        assert undone(to=FIRST) == [THIRD, SECOND]
        with pytest.raises(BadInput, match="no migration '17'"):
            undone(to="17")


def test_a_number_of_the_scripts_with_a_point_or_space_counts(at: Server, files: Folder) -> None:
    three(files)
    legacy(at, " 1681152861.2904314 ")
    assert state_of(at, files) == {FIRST: "adopted", SECOND: "adopted", THIRD: "pending"}


def test_the_number_of_the_newest_is_written_whole_only_where_an_older_one_is_larger(at: Server, files: Folder) -> None:
    files.write("1700000000001", "newer", "SELECT 1")
    migrate(at, files)
    assert legacy(at) == "1700000000001"
    files.write("16999999999990000", "older", "SELECT 1")
    migrate(at, files)
    assert legacy(at) == "17000000000010000"
