"""What a migration imports is a stand-in while its file loads."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from cruddur_cli.errors import BadInput
from cruddur_cli.postgres.migrations import python_files
from cruddur_cli.postgres.migrations.stand_ins import Application, StandIn

SQL = "  def migrate_sql(self): return 'SELECT 1'\n"
IMPORTS = {
    "another module": "from utils.db import db",
    "a third one": "from lib.db_local import db",
    "a package that is not here": "import flask_of_nobody.ext as f\nfrom flask import current_app",
    "a client that is here": "import psycopg\nimport boto3\nclient = boto3.client('s3')",
    "everything of a module": "from lib.migration import *\nlogger = get_logger('x')",
    "a relative one": "from ..lib.db import db\nfrom . import helpers",
    "by name": "import importlib\ndb = importlib.import_module('lib.db').db",
    "an object made of it": "from lib.db import Db\ndb = Db('postgres')\ndb.echo = True",
    "set up": "from dotenv import load_dotenv\nload_dotenv()\nfrom lib.log import setup_logging\nsetup_logging('info')",
    "a text for it": "from lib.db import config, Pool\npool = Pool(f'postgresql://{config.USER}@db')\npool.close()",
    "a text over lines": "from lib.db import config, Pool\npool = Pool(\n  'x',\n  f'postgresql://{config.USER}',\n)",
    "a text for a module": "import lib.db\npool = lib.db.Pool(f'postgresql://{lib.db.USER}@db')",
    "a text for another name": "from lib.db import Pool as P, USER\npool = P(f'postgresql://{USER}@db')",
    "a module of Python's in a package": "import os.path\nimport xml.dom as dom\nos.path.join(dom.__name__, 'x')",
    "Python's own by a call": "os = __import__('os')\nos.path.join('a', 'b')",
    "a comparison with itself": "from lib.db import db\nsame = 'one' if db == db else 1 / 0",
    "a log": "from lib import log\nlog.info('create table bio')\nprint(f'with {log}')",
    "a type": "from lib.db import Db\ndef f(db: Db | None = None) -> list[Db]: pass",
    "its path": "import os, sys\nsys.path.append(os.getcwd())\nos.environ['A_NAME'] = 'x'\nfrom lib.db import db",
    "in a try": "try:\n  from lib.db import db\nexcept ImportError:\n  db = None",
}


@pytest.mark.parametrize("text", IMPORTS.values(), ids=IMPORTS)
def test_a_migration_runs_with_any_import(path: Path, text: str) -> None:
    before = dict(os.environ)
    path.write_text(f"{text}\nclass M:\n  def migrate_sql(): return 'SELECT 1'\nmigration = M")
    assert python_files.sql(path, "migrate_sql").strip() == "SELECT 1"
    assert dict(os.environ) == before


@pytest.mark.parametrize("text", ["get_logger('x')", "from lib.db import *\n__loader_of_lib__('x')"])
def test_a_name_that_no_import_defines_is_an_error(path: Path, text: str) -> None:
    path.write_text(f"{text}\nclass M:\n{SQL}migration = M")
    with pytest.raises(BadInput, match=f"line {1 + text.count(chr(10))}: NameError"):
        python_files.sql(path, "migrate_sql")


@pytest.mark.parametrize(
    "text",
    [
        "from textwrap import dedent\nTEXT = dedent(f'DROP TABLE {TABLE}')",
        "import textwrap\nTEXT = textwrap.dedent(f'DROP TABLE {TABLE}')",
        "import xml.dom\nTEXT = xml.dom.__name__.replace('xml', f'{TABLE}')",
    ],
)
def test_a_text_that_python_s_own_modules_make_of_a_stand_in_is_refused(path: Path, text: str) -> None:
    path.write_text(f"from lib.db import TABLE\n{text}\nclass M:\n  def migrate_sql(): return TEXT\nmigration = M")
    with pytest.raises(BadInput, match=r"line 3: its SQL would come from lib\.db\.TABLE, which is not available here"):
        python_files.sql(path, "migrate_sql")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("from lib.db import template\nSQL = template('bio')", "lib.db.template()"),
        ("from lib.db import template\n@template\ndef SQL(): pass", "lib.db.template"),
        ("import lib.db\nSQL = lib.db.template", "lib.db.template"),
        ("import lib.db as d\nSQL = d.template", "lib.db.template"),
        ("from .db import template as SQL", ".db.template"),
        ("from lib.db import names\nSQL = names['bio']", "lib.db.names['bio']"),
    ],
)
def test_a_stand_in_is_named_as_the_application_does(path: Path, text: str, named: str) -> None:
    path.write_text(f"{text}\nclass M:\n  def migrate_sql(): return SQL\nmigration = M")
    with pytest.raises(BadInput) as caught:
        python_files.sql(path, "migrate_sql")
    assert f": its SQL would come from {named}, which is not available here." in caught.value.message
    assert str(caught.value.hint).startswith("write the value itself into migrate_sql() and rollback_sql(), or ")


def test_a_class_of_the_application_lends_its_functions(path: Path) -> None:
    path.write_text(
        "from lib.migration import Base, register\n@register\nclass M(Base):\n"
        "  def migrate_sql(self):\n    self.log('x')\n    return 'SELECT 1' if not hasattr(self, '__other__') else ''\n"
        "migration = M"
    )
    assert python_files.sql(path, "migrate_sql").strip() == "SELECT 1"


def test_this_program_may_compare_and_show_a_stand_in(path: Path) -> None:
    application = Application(path, ast.parse(""), module="x", real=frozenset())
    one, other = StandIn(application, "lib.db"), StandIn(application, "lib.db")
    assert one == one  # noqa: PLR0124
    assert one != other
    assert (str(one), f"{one}") == ("<lib.db>", "<lib.db>")
    assert application.reasons == []


TAINTED = {
    "a format": "f'DROP TABLE {TABLE}'",
    "format": "'DROP TABLE {}'.format(TABLE)",
    "a percent sign": "'DROP TABLE %s' % TABLE",
    "a sum": "'DROP TABLE ' + TABLE",
    "the other way": "TABLE + ' '",
    "str": "'DROP TABLE ' + str(TABLE)",
    "an attribute": "f'DROP TABLE {TABLE.users.name}'",
    "a key": "f'DROP TABLE {TABLE[\"users\"]}'",
    "a text made for a real call": "textwrap.dedent(f'DROP TABLE {TABLE}')",
    "a call": "f'DROP TABLE {TABLE(1)}'",
    "a template": "TABLE.template('bio')",
    "itself": "TABLE",
    "a choice": "'SELECT 1' if TABLE else 'SELECT 2'",
    "a comparison": "'SELECT 1' if TABLE == 'users' else 'SELECT 2'",
    "a loop": "';'.join(f'DROP TABLE {one}' for one in TABLE)",
    "hidden by a try": "guess(TABLE)",
    "repr": "repr(TABLE)",
}


@pytest.mark.parametrize("text", TAINTED.values(), ids=TAINTED)
def test_sql_out_of_a_stand_in_is_refused_with_the_line(path: Path, text: str) -> None:
    guess = "def guess(x):\n  try: return str(x)\n  except: return 'users'\n"
    path.write_text(
        f"import textwrap; from lib.db import TABLE\n{guess}class M:\n  def migrate_sql(): return {text}\nmigration = M"
    )
    with pytest.raises(BadInput, match=r"TABLE.*not available here") as caught:
        python_files.sql(path, "migrate_sql")
    assert f"{path}, line {3 if 'guess' in text else 6}: " in caught.value.message
    assert "--mark-applied 16811528612904313" in str(caught.value.hint)


def test_a_joined_stand_in_is_refused_too(path: Path) -> None:
    path.write_text("from lib.db import T\nclass M:\n  def migrate_sql(): return ','.join(['a', T])\nmigration = M")
    with pytest.raises(BadInput, match="line 3: TypeError"):
        python_files.sql(path, "migrate_sql")


def test_a_decorator_of_the_application_over_the_sql_is_refused(path: Path) -> None:
    path.write_text(
        "from lib.db import render\nclass M:\n  @staticmethod\n  @render\n  def migrate_sql(): return ''\nmigration = M"
    )
    with pytest.raises(BadInput, match=r"from lib\.db\.render.*not available here"):
        python_files.sql(path, "migrate_sql")


LOADING = {
    "a statement": "db.query_commit('DELETE FROM users')",
    "a statement from a name": "SQL = 'x'\ndb.execute(SQL)",
    "an effect": "db.backfill_handles()",
    "its result kept": "rows = db.load('UPDATE users SET bio = 1')",
    "small letters": "rows = db.load('delete from users')",
    "two lines": "rows = db.load('update users u\\n set bio = 1')",
}


@pytest.mark.parametrize("text", LOADING.values(), ids=LOADING)
def test_work_while_the_file_loads_is_refused_with_the_line(path: Path, text: str) -> None:
    path.write_text(f"from lib.db import db\n{text}\nclass M:\n{SQL}migration = M")
    with pytest.raises(BadInput, match=r"itself, which is not run here") as caught:
        python_files.sql(path, "migrate_sql")
    assert f"line {2 + text.count(chr(10))}: it calls lib.db.db." in caught.value.message
    assert str(caught.value.hint).startswith("only the SQL of migrate_sql() and rollback_sql() is run: ")


def test_an_installed_package_may_make_a_part_of_the_sql(path: Path) -> None:
    path.write_text(
        "from dateutil.parser import parse\nWHEN = parse('2026-11-20')\n"
        "class M:\n  def migrate_sql(): return f\"SELECT '{WHEN:%Y}'\"\nmigration = M"
    )
    assert python_files.sql(path, "migrate_sql").strip() == "SELECT '2026'"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("import psycopg\nSQL = psycopg.sql.Identifier('users').name", "psycopg.sql.Identifier().name"),
        ("import package_of_nobody\nSQL = package_of_nobody.text", "package_of_nobody.text"),
        ("from .lib import SQL", ".lib.SQL"),
    ],
)
def test_a_client_or_what_is_not_installed_makes_no_part_of_the_sql(path: Path, text: str, named: str) -> None:
    path.write_text(f"{text}\nclass M:\n  def migrate_sql(): return SQL\nmigration = M")
    with pytest.raises(BadInput) as caught:
        python_files.sql(path, "migrate_sql")
    assert f"its SQL would come from {named}, which is not available here" in caught.value.message


def test_an_installed_package_whose_value_is_still_not_there_is_an_error(path: Path) -> None:
    path.write_text(
        "from dateutil.parser import parse\nfrom lib.db import TABLE\n"
        "class M:\n  def migrate_sql(): return f\"SELECT '{parse('2026-11-20'):%Y}' FROM {TABLE}\"\nmigration = M"
    )
    with pytest.raises(BadInput, match=r"line 4: its SQL would come from lib\.db\.TABLE"):
        python_files.sql(path, "migrate_sql")


def test_an_installed_package_may_have_the_whole_sql(path: Path) -> None:
    path.write_text(
        "from dateutil.rrule import FREQNAMES\nclass M:\n  def migrate_sql(): return FREQNAMES\nmigration = M"
    )
    assert python_files.sql(path, "migrate_sql").startswith("YEARLY;\nMONTHLY;\n")


def test_the_missing_value_is_named_and_not_the_error_that_it_causes(path: Path) -> None:
    path.write_text(
        "from lib.db import TABLE\ntry:\n  str(TABLE)\nexcept:\n  raise ValueError('no table')\n"
        f"class M:\n{SQL}migration = M"
    )
    with pytest.raises(BadInput, match=r"line 3: its SQL would come from lib\.db\.TABLE"):
        python_files.sql(path, "migrate_sql")
