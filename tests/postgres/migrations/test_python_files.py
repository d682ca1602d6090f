"""The application's Python migrations, run unchanged and without the application."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cruddur_cli.errors import BadInput, Refused
from cruddur_cli.postgres import connection
from cruddur_cli.postgres.connection import Server
from cruddur_cli.postgres.migrations import python_files
from cruddur_cli.postgres.migrations import runner as migration_runner
from tests.postgres.conftest import Folder

# As bin/generate/migration of the application writes it: functions of a class, without self.
SQL = "  def migrate_sql(self): return 'SELECT 1'\n"
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


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_the_sql_of_every_shape_of_migration_is_read(path: Path, text: str) -> None:
    path.write_bytes(text.encode())
    assert python_files.sql(path, "migrate_sql").strip() == "SELECT 1"


def test_the_sql_is_on_its_lines(path: Path) -> None:
    path.write_text(GENERATED)
    for function, line in (("migrate_sql", 6), ("rollback_sql", 11)):
        lines = python_files.sql(path, function).splitlines()
        assert lines[line - 1] == GENERATED.splitlines()[line - 1]
        assert not "".join(lines[: line - 1]).strip()


def test_the_sql_of_a_file_that_begins_with_empty_lines_is_on_its_lines(path: Path) -> None:
    path.write_text(f"\n\n{GENERATED}")
    assert python_files.sql(path, "migrate_sql").splitlines()[7] == GENERATED.splitlines()[5]


def test_a_python_migration_is_applied_undone_and_applied_again(at: Server, files: Folder, path: Path) -> None:
    path.write_text(GENERATED)
    (files.path / "lib").mkdir()
    (files.path / "lib" / "db.py").write_text("raise SystemExit('the application must not be imported')")
    columns = "SELECT count(*) FROM information_schema.columns WHERE column_name = 'bio'"
    with connection.opened(at) as conn:
        conn.execute("CREATE TABLE public.users (uuid uuid)")
    with connection.opened(at) as conn:
        for expected in (1, 0, 1):
            if expected:
                migration_runner.migrate(conn, files.migrations(), server=at)
            else:
                migration_runner.rollback(conn, files.migrations(), undo=files.migrations(), server=at)
            assert conn.execute(columns.encode()).fetchone() == (expected,)


def test_an_sql_error_names_the_line_of_the_python_file(at: Server, files: Folder, path: Path) -> None:
    path.write_text(GENERATED)
    with connection.opened(at) as conn, pytest.raises(Refused) as caught:
        migration_runner.migrate(conn, files.migrations(), server=at)
    assert caught.value.message.startswith(f"{path}, line 6: ")
    assert "ALTER TABLE public.users ADD COLUMN bio text" in str(caught.value.details)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import os\nfrom os import no_such_name\n", "line 2: ImportError: cannot import name 'no_such_name'"),
        ("class M\n", "line 1: SyntaxError"),
        ("x = 1\n\nraise SystemExit(3)\n", "line 3: SystemExit: 3"),
        (
            "from lib.db import db\ndb.query_commit('DROP TABLE users')\n",
            "line 2: it calls lib.db.db.query_commit() itself, which is not run here",
        ),
        ("class M:\n  def migrate_sql(self):\n    return 1 / 0\nmigration = M", "line 3: ZeroDivisionError"),
        ("class M:\n  def migrate_sql(self): pass\nmigration = M", "migrate_sql() returns NoneType"),
        (
            "from lib.db import db\nclass M:\n  def migrate_sql(self):\n    return db.template('x')\nmigration = M",
            "line 3: ",
        ),
        ("class M: pass\nmigration = M", "M has no migrate_sql()"),
        ("x = 1", "there is no variable `migration`"),
    ],
)
def test_a_file_that_does_not_load_is_refused_with_its_error(path: Path, text: str, problem: str) -> None:
    path.write_text(text)
    with pytest.raises(BadInput) as caught:
        python_files.sql(path, "migrate_sql")
    assert str(path) in caught.value.message
    assert problem in caught.value.message


def test_a_file_changes_no_module_path_or_folder(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("print('hello')\n" + GENERATED)
    modules, where = set(sys.modules), list(sys.path)
    python_files.sql(path, "migrate_sql")
    assert (set(sys.modules), sys.path) == (modules, where)
    assert capsys.readouterr() == ("", "hello\n")
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_a_module_of_the_caller_is_restored(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lib", sys)
    path.write_text(GENERATED)
    python_files.sql(path, "migrate_sql")
    assert sys.modules["lib"] is sys


def test_a_doubled_percent_sign_becomes_one(path: Path) -> None:
    # psycopg, to which the application hands parameters, takes it so.
    path.write_text("class M:\n  def migrate_sql(): return \"SELECT 'a%%' LIKE 'a%%'\"\nmigration = M")
    assert python_files.sql(path, "migrate_sql").strip() == "SELECT 'a%' LIKE 'a%'"


CLASSES = {
    "the class that ends in Migration": f"class AddBioMigration:\n{SQL}",
    "and another class": f"class Helper: pass\nclass AddBioMigration:\n{SQL}",
    "a base class of this file": f"class BaseMigration: pass\nclass AddBioMigration(BaseMigration):\n{SQL}",
    "a base class of the application": f"from lib.base import Migration\nclass AddBioMigration(Migration):\n{SQL}",
    "a base class with arguments": f"from lib.base import Migration as B\nclass AddBioMigration(B, since=1):\n"
    f"  def __init__(self): super().__init__('bio')\n{SQL}",
    "registered": f"from lib.base import register\n@register\nclass AddBioMigration:\n{SQL}",
    "registered by name": f"from lib.base import register\n@register('bio')\nclass AddBioMigration:\n{SQL}",
}


@pytest.mark.parametrize("text", CLASSES.values(), ids=CLASSES)
def test_the_class_is_found_without_a_variable(path: Path, text: str) -> None:
    path.write_text(text)
    assert python_files.sql(path, "migrate_sql").strip() == "SELECT 1"


def test_two_classes_without_a_variable_are_refused_by_name(path: Path) -> None:
    path.write_text(f"class AMigration:\n{SQL}class BMigration:\n{SQL}")
    with pytest.raises(BadInput, match="several classes: AMigration, BMigration"):
        python_files.sql(path, "migrate_sql")


def test_a_list_of_statements_is_sql(path: Path) -> None:
    path.write_text("class M:\n  def migrate_sql(): return ['SELECT 1', 'SELECT 2']\nmigration = M")
    assert python_files.sql(path, "migrate_sql").split() == ["SELECT", "1;", "SELECT", "2"]


def test_sql_that_the_file_puts_together_is_on_no_line_of_it(path: Path) -> None:
    path.write_text("\n\nclass M:\n  def migrate_sql(): return 'SELECT ' + str(1)\nmigration = M")
    assert python_files.sql(path, "migrate_sql") == "SELECT 1"


def test_an_empty_migration_is_no_sql_at_all(path: Path) -> None:
    for sql in ("", " "):
        path.write_text(f"\n\nclass M:\n  def migrate_sql(): return '{sql}'\nmigration = M")
        assert python_files.sql(path, "migrate_sql") == sql


def test_a_file_runs_without_what_this_program_imports_from_the_future(path: Path) -> None:
    path.write_text("def f(x: undefined): pass\nclass M:\n  def migrate_sql(): return 'SELECT 1'\nmigration = M")
    with pytest.raises(BadInput, match="line 1: NameError: name 'undefined' is not defined"):
        python_files.sql(path, "migrate_sql")


def test_a_module_that_the_file_replaces_comes_back(path: Path) -> None:
    before = sys.modules["json"]
    path.write_text("import sys\nsys.modules['json'] = sys\n" + GENERATED)
    python_files.sql(path, "migrate_sql")
    assert sys.modules["json"] is before
