"""The application's Python migrations, run unchanged and without the application."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cruddur_cli.errors import BadInput, Refused
from cruddur_cli.postgres import connection, migrations, python_migrations
from cruddur_cli.postgres.connection import Server

from .conftest import Folder

# As bin/generate/migration of the application writes it: functions of a class, without self.
GENERATED = '''from lib.db import db

class AddBioColumnMigration:
  def migrate_sql():
    data = """
    ALTER TABLE public.users ADD COLUMN bio text;
    """
    return data
  def rollback_sql():
    data = """
    ALTER TABLE public.users DROP COLUMN bio;
    """
    return data

  def migrate():
    db.query_commit(AddBioColumnMigration.migrate_sql(),{
    })

  def rollback():
    db.query_commit(AddBioColumnMigration.rollback_sql(),{
    })

migration = AddBioColumnMigration'''
SHAPES = {
    "self, an instance": "class M:\n  def migrate_sql(self): return 'SELECT 1'\nmigration = M()",
    "self, a class": "class M:\n  def migrate_sql(self): return 'SELECT 1'\nmigration = M",
    "no self, an instance": "class M:\n  def migrate_sql(): return 'SELECT 1'\nmigration = M()",
    "static": "class M:\n  @staticmethod\n  def migrate_sql(): return 'SELECT 1'\nmigration = M()",
    "of the class": "class M:\n  @classmethod\n  def migrate_sql(cls): return 'SELECT 1'\nmigration = M",
    "inherited": "class B:\n  def migrate_sql(self): return 'SELECT 1'\nclass M(B): pass\nmigration = M",
    "other names from lib": "from lib.db import pool, query_commit\nfrom lib import db\nimport lib.db\n"
    "from lib.db import *\n"
    "class M:\n  def migrate_sql():\n    from lib.db import db\n    return 'SELECT 1'\nmigration = M",
    "Windows line ends": "class M:\r\n  def migrate_sql():\r\n    return 'SELECT 1'\r\nmigration = M\r\n",
    "a byte-order mark": "\ufeffclass M:\n  def migrate_sql(): return 'SELECT 1'\nmigration = M",
}


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "16811528612904313_add_bio_column.py"


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_every_shape(path: Path, text: str) -> None:
    path.write_bytes(text.encode())
    assert python_migrations.sql(path, "migrate_sql").strip() == "SELECT 1"


def test_the_sql_is_on_its_lines(path: Path) -> None:
    path.write_text(GENERATED)
    for function, line in (("migrate_sql", 6), ("rollback_sql", 11)):
        lines = python_migrations.sql(path, function).splitlines()
        assert lines[line - 1] == GENERATED.splitlines()[line - 1]
        assert not "".join(lines[: line - 1]).strip()


def test_up_down_up(at: Server, files: Folder, path: Path) -> None:
    path.write_text(GENERATED)
    (files.path / "lib").mkdir()
    (files.path / "lib" / "db.py").write_text("raise SystemExit('the application must not be imported')")
    columns = "SELECT count(*) FROM information_schema.columns WHERE column_name = 'bio'"
    with connection.opened(at) as conn:
        conn.execute("CREATE TABLE public.users (uuid uuid)")
    with connection.opened(at) as conn:
        for expected in (1, 0, 1):
            if expected:
                migrations.migrate(conn, files.found(), server=at)
            else:
                migrations.rollback(conn, files.found(), undo=files.found(), server=at)
            assert conn.execute(columns.encode()).fetchone() == (expected,)


def test_an_sql_error_names_the_line_of_the_python_file(at: Server, files: Folder, path: Path) -> None:
    path.write_text(GENERATED)
    with connection.opened(at) as conn, pytest.raises(Refused) as caught:
        migrations.migrate(conn, files.found(), server=at)
    assert caught.value.message.startswith(f"{path}, line 6: ")
    assert "ALTER TABLE public.users ADD COLUMN bio text" in str(caught.value.details)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import os\nimport application_of_somebody\n", "line 2: ModuleNotFoundError: No module named 'application_of"),
        ("from lib.other import x\n", "line 1: ModuleNotFoundError: No module named 'lib.other'"),
        ("class M\n", "line 1: SyntaxError"),
        ("x = 1\n\nraise SystemExit(3)\n", "line 3: SystemExit: 3"),
        (
            "from lib.db import db\ndb.query_commit('DROP TABLE users')\n",
            "line 2: RuntimeError: the application's database",
        ),
        ("class M:\n  def migrate_sql(self):\n    return 1 / 0\nmigration = M", "line 3: ZeroDivisionError"),
        ("class M:\n  def migrate_sql(self): pass\nmigration = M", "migrate_sql() returns NoneType"),
        ("class M: pass\nmigration = M", "`migration` has no migrate_sql()"),
        ("x = 1", "there is no variable `migration`"),
    ],
)
def test_a_file_that_does_not_load(path: Path, text: str, said: str) -> None:
    path.write_text(text)
    with pytest.raises(BadInput) as caught:
        python_migrations.sql(path, "migrate_sql")
    assert str(path) in caught.value.message
    assert said in caught.value.message


def test_nothing_is_left_behind(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("print('hello')\n" + GENERATED)
    kept, where = set(sys.modules), list(sys.path)
    python_migrations.sql(path, "migrate_sql")
    assert (set(sys.modules), sys.path) == (kept, where)
    assert capsys.readouterr() == ("", "hello\n")
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_a_lib_of_somebodys_own_comes_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lib", sys)
    path.write_text(GENERATED)
    python_migrations.sql(path, "migrate_sql")
    assert sys.modules["lib"] is sys


def test_a_doubled_percent_sign_is_one(path: Path) -> None:
    # psycopg, to which the application hands parameters, takes it so.
    path.write_text("class M:\n  def migrate_sql(): return \"SELECT 'a%%' LIKE 'a%%'\"\nmigration = M")
    assert python_migrations.sql(path, "migrate_sql").strip() == "SELECT 'a%' LIKE 'a%'"


OWN = {
    "another statement": "db.query_commit(M.migrate_sql(), {})\n    db.query_commit('DELETE FROM users', {})",
    "values": "db.query_commit(M.migrate_sql(), {'a': 1})",
    "other SQL": "db.query_commit('DELETE FROM users', {})",
    "a loop": "for _ in range(2): db.query_commit(M.migrate_sql(), {})",
    "twice": "db.query_commit(M.migrate_sql(), {})\n    db.query_commit(M.migrate_sql(), {})",
    "the other way": "db.query_commit(M.rollback_sql(), {})",
    "nothing": "pass",
    "a call in a print": "db.query_commit(M.migrate_sql(), {})\n    print(db.query_commit('DELETE FROM users'))",
}
USUAL = {
    "no values": "db.query_commit(M.migrate_sql())",
    "a name": "print(1)\n    sql = M.migrate_sql()\n    return db.query_commit(sql, {})",
}
WITH_OWN = """from lib.db import db
class M:
  def migrate_sql(): return 'SELECT 1'
  def rollback_sql(): return 'SELECT 2'
  def migrate():
    {body}
migration = M
"""


@pytest.mark.parametrize("body", OWN.values(), ids=OWN)
def test_a_migrate_of_its_own_is_refused(path: Path, body: str) -> None:
    path.write_text(WITH_OWN.format(body=body))
    with pytest.raises(BadInput, match=r"line 5: its own migrate\(\) would not be run here") as caught:
        python_migrations.sql(path, "migrate_sql")
    assert str(path) in caught.value.message
    assert "migration = " not in str(caught.value.hint)
    assert python_migrations.sql(path, "rollback_sql").strip() == "SELECT 2"


@pytest.mark.parametrize("body", USUAL.values(), ids=USUAL)
def test_the_usual_migrate(path: Path, body: str) -> None:
    path.write_text(WITH_OWN.format(body=body))
    assert python_migrations.sql(path, "migrate_sql").strip() == "SELECT 1"


def test_a_failed_import_is_named_and_nothing_else_is_advised(path: Path) -> None:
    path.write_text("import flask_of_nobody\n" + GENERATED)
    with pytest.raises(BadInput, match=r"line 1: .*flask_of_nobody") as caught:
        python_migrations.sql(path, "migrate_sql")
    assert "migration = " not in str(caught.value.hint)
    assert "leave the import out" in str(caught.value.hint)
