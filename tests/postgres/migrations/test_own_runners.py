"""Migrations that have a `migrate` of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from cruddur_cli.errors import BadInput
from cruddur_cli.postgres.migrations import python_files

OWN = {
    "another statement": "db.query_commit(M.migrate_sql(), {})\n    db.query_commit('DELETE FROM users', {})",
    "values": "db.query_commit(M.migrate_sql(), {'a': 1})",
    "other SQL": "db.query_commit('DELETE FROM users', {})",
    "a loop": "for _ in range(2): db.query_commit(M.migrate_sql(), {})",
    "twice": "db.query_commit(M.migrate_sql(), {})\n    db.query_commit(M.migrate_sql(), {})",
    "the other way": "db.query_commit(M.rollback_sql(), {})",
    "nothing": "pass",
    "a helper that does more": "M.run(M.migrate_sql())",
    "another effect": "db.query_commit(M.migrate_sql(), {})\n    db.backfill_info()",
    "values by name": "db.query_commit(M.migrate_sql(), VALUES)",
    "only if": "if VALUES: db.query_commit(M.migrate_sql())",
    "other SQL in the end": "try: db.query_commit(M.migrate_sql())\n    finally: db.query_commit('DELETE FROM users')",
    "changed SQL": "db.query_commit(M.migrate_sql().replace('1', '2'))",
    "an object made for its effect": "db.query_commit(M.migrate_sql())\n    Backfill(db)",
    "shown only": "print(M.migrate_sql())",
    "explained only": "db.explain(M.migrate_sql())",
    "the SQL of another class": "db.query_commit(Other.migrate_sql())",
    "an attribute as well": "db.sql = sql = M.migrate_sql()\n    db.query_commit(sql)",
    "again after an error": (
        "try: db.query_commit(M.migrate_sql())\n    except Exception: db.query_commit(M.migrate_sql())"
    ),
    "in both branches and once more": (
        "if VALUES: db.query_commit(M.migrate_sql())\n    else: db.query_commit(M.migrate_sql())\n"
        "    db.query_commit(M.migrate_sql())"
    ),
    "a loop that ends with other SQL": (
        "for one in M.migrate_sql(): db.query_commit(one)\n    else: db.query_commit('DELETE FROM users')"
    ),
    "a loop over other SQL": "for one in db.statements: db.query_commit(one)",
    "a loop over some statements": ("for one in M.migrate_sql().split(';'):\n      if VALUES: db.query_commit(one)"),
    "a loop that else does more": (
        "for one in M.migrate_sql().split(';'):\n      if one.strip(): db.query_commit(one)\n"
        "      else: db.query_commit('DELETE FROM users')"
    ),
    "a raise in the end": "db.query_commit(M.migrate_sql())\n    raise SystemExit",
    "a call in an expression": "db.query_commit(M.migrate_sql())\n    x = (1, db.query_commit('DELETE FROM users'))",
    "a name given in an expression": "db.query_commit(M.migrate_sql())\n    x = [VALUES := 1]",
    "values beside a label": "db.query_commit(M.migrate_sql(), 'label', VALUES)",
    "values by key": "db.query_commit(M.migrate_sql(), VALUES['a'])",
    "values in a list": "db.query_commit(M.migrate_sql(), [1])",
    "values in bytes": "db.query_commit(M.migrate_sql(), b'x')",
    "a text with a space": "db.query_commit(M.migrate_sql(), 'a b')",
    "a text with a semicolon": "db.query_commit(M.migrate_sql(), 'a;b')",
    "the SQL twice in one call": "db.query_commit(M.migrate_sql(), M.migrate_sql())",
    "a connection by values": "db.connect('label', VALUES)\n    db.query_commit(M.migrate_sql())",
    "a chain that does more": "db.load_rows('x').execute(M.migrate_sql())",
    "a chain that does more before": "db.load_rows('x').connection.execute(M.migrate_sql())",
    "SQL for a value": "db.query_commit(M.migrate_sql('x'))",
    "SQL for a value beside a name": "db.query_commit(M.migrate_sql(db, 'x'))",
    "SQL for a named value": "db.query_commit(M.migrate_sql(x=db))",
    "stripped of more than space": "db.query_commit(M.migrate_sql().strip(';'))",
    "a wrapper with values": "db.execute(text(M.migrate_sql(), VALUES))",
    "a wrapper with a named value": "db.execute(text(M.migrate_sql(), x=1))",
    "a wrapper that may change it": "db.execute(render(M.migrate_sql()))",
    "a function that does more": "work(M.migrate_sql())",
    "a function of two classes": "M.both(M.migrate_sql())",
    "a function with values": "M.with_values(M.migrate_sql())",
    "a function with values beside none": "M.with_some(M.migrate_sql())",
    "a function without end": "M.again(M.migrate_sql())",
    "five functions deep": "h5(M.migrate_sql())",
    "all values by name": "M.hand_on(M.migrate_sql(), **VALUES)\n    db.query_commit('DELETE FROM users')",
    "a call in a print": "db.query_commit(M.migrate_sql(), {})\n    print(db.query_commit('DELETE FROM users'))",
}


USUAL = {
    "no values": "db.query_commit(M.migrate_sql())",
    "a name": "print(1)\n    sql = M.migrate_sql()\n    return db.query_commit(sql, {})",
    "another runner": "db.query_insert(M.migrate_sql())",
    "a function": "query_commit(M.migrate_sql(), params={}, verbose=True)",
    "no values in a name": "params = {}\n    db.query_commit(M.migrate_sql(), params)",
    "a cursor": "with db.pool.connection() as c:\n      c.cursor().execute(M.migrate_sql())\n      c.commit()",
    "a chain": "db.pool.connection().execute(M.migrate_sql())",
    "an object": "local = Db()\n    local.query_commit(sql=M.migrate_sql())",
    "a try": "try: db.query_commit(M.migrate_sql())\n    except Exception as e:\n      print(e)\n      raise",
    "after a try": "try: print(1)\n    except Exception: raise\n    else: db.query_commit(M.migrate_sql())",
    "a helper": "M.hand_on(M.migrate_sql())",
    "a loop over statements": "for one in M.migrate_sql().split(';'):\n      if one.strip(): db.query_commit(one)",
    "a wrapper": "db.execute(text(M.migrate_sql()))",
    "a connection beside it": "run(db, M.migrate_sql())",
    "a pool beside it": "run(db.pool, M.migrate_sql())",
    "a docstring": "'Apply it.'\n    db.query_commit(M.migrate_sql())",
    "a pass": "pass\n    db.query_commit(M.migrate_sql())\n    return",
    "an import": "import os\n    from lib.db import db\n    db.query_commit(M.migrate_sql())",
    "a name with a type": "sql: str = M.migrate_sql()\n    db.query_commit(sql)",
    "a look beforehand": "if VALUES: print(1)\n    db.query_commit(M.migrate_sql())",
    "a connection around it": "with db.connect() as c:\n      run(c, M.migrate_sql())",
    "two names around it": "with db.connect() as (a, b): db.query_commit(M.migrate_sql())",
    "a connection from a pool": "c = db.pool.getconn()\n    run(c, M.migrate_sql())\n    db.pool.putconn(c)",
    "a pool in a name": "pool = db.pool\n    run(pool, M.migrate_sql())",
    "a loop over a list": "for one in M.migrate_sql(): db.query_commit(one)",
    "a loop that shows": "for one in M.migrate_sql():\n      print(one)\n      db.query_commit(one)",
    "a chain with an attribute": "db.pool.connection().raw.execute(M.migrate_sql())",
    "a connection by one of these": "db.connect(db, {})\n    db.query_commit(M.migrate_sql())",
    "a function of the application": "db.run(M.migrate_sql())",
    "a function of this file": "hand(M.migrate_sql())",
    "a helper by name": "M.hand_on(sql=M.migrate_sql(), params={})",
    "a helper that renames": "M.renames(M.migrate_sql(), {})",
    "a helper that renames its default": "M.renames(M.migrate_sql())",
    "four functions deep": "h4(M.migrate_sql())",
    "SQL for a connection": "db.query_commit(M.migrate_sql(db))",
    "stripped": "db.query_commit(M.migrate_sql().strip())",
    "a label": "db.query_commit(M.migrate_sql(), 'add-bio', None, 5)",
    "no values from a call": "db.query_commit(M.migrate_sql(), dict())",
    "another name for it": "database.execute(M.migrate_sql())\n    database.commit()",
    "another name beside it": "run(database, M.migrate_sql())",
    "shown as well": "db.print_sql('commit', M.migrate_sql())\n    db.query_commit(M.migrate_sql(), {})",
}


WITH_OWN = """from lib.db import db, db as database, run, render, text, query_commit, Db, Backfill
class M:
  def migrate_sql(): return 'SELECT 1'
  def rollback_sql(): return 'SELECT 2'
  def migrate():
    {body}
  def run(sql): db.query_commit(sql); db.query_commit('DELETE FROM users')
  def hand_on(sql, params={{}}): return db.query_commit(sql, params)
  def both(sql): db.query_commit(sql)
  def with_values(sql, params={{'a': 1}}): db.query_commit(sql)
  def with_some(sql, label=None, params={{'a': 1}}): db.query_commit(sql)
  def again(sql): M.again(sql)
  def renames(sql, params={{}}): values = params; db.query_commit(sql, values)
class Other:
  def migrate_sql(): return 'SELECT 3'
  def both(sql): db.query_commit(sql)
def hand(sql): db.query_commit(sql)
def work(sql): db.query_commit(sql); db.query_commit('DELETE FROM users')
def h1(sql): db.query_commit(sql)
def h2(sql): h1(sql)
def h3(sql): h2(sql)
def h4(sql): h3(sql)
def h5(sql): h4(sql)
VALUES = {{'a': 1}}
migration = M
"""


@pytest.mark.parametrize("body", OWN.values(), ids=OWN)
def test_a_migrate_that_does_other_work_is_refused(path: Path, body: str) -> None:
    path.write_text(WITH_OWN.format(body=body))
    with pytest.raises(BadInput, match=r"line 5: its own migrate\(\) does more than run") as caught:
        python_files.sql(path, "migrate_sql")
    assert str(path) in caught.value.message
    assert str(caught.value.hint).startswith("only the SQL of migrate_sql() and rollback_sql() is run: ")
    assert python_files.sql(path, "rollback_sql").strip() == "SELECT 2"


@pytest.mark.parametrize("body", USUAL.values(), ids=USUAL)
def test_a_migrate_that_only_runs_its_sql_is_accepted(path: Path, body: str) -> None:
    path.write_text(WITH_OWN.format(body=body))
    assert python_files.sql(path, "migrate_sql").strip() == "SELECT 1"


@pytest.mark.parametrize("is_first", [True, False])
def test_a_traced_migrate_is_read_in_the_class_of_the_migration(path: Path, is_first: bool) -> None:
    """Another class of the file has a function with the same name."""
    hands_on, works = "db.query_commit(M.migrate_sql())", "db.query_commit('DELETE FROM users')"
    for own, other in ((hands_on, works), (works, hands_on)):
        m = (
            "class M:\n  def migrate_sql(): return 'SELECT 1'\n  def rollback_sql(): return 'SELECT 2'\n"
            f"  @traced\n  def migrate(): {own}\n"
        )
        another = f"class Other:\n  @traced\n  def migrate(): {other}\n"
        classes = m + another if is_first else another + m
        path.write_text(f"from lib.db import db, traced\n{classes}migration = M")
        if own == hands_on:
            assert python_files.sql(path, "migrate_sql").strip() == "SELECT 1"
        else:
            with pytest.raises(BadInput, match=r"its own migrate\(\) does more than run"):
                python_files.sql(path, "migrate_sql")


HEAD = "import functools\nfrom lib.db import db, traced, retry, render, run\nclass M:\n"
SQL = "  def migrate_sql(*_): return 'SELECT 1'\n"
HANDS_ON, WORKS = "db.query_commit(M.migrate_sql())", "db.query_commit('DELETE FROM users')"


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (f"  @staticmethod\n  def migrate(): {HANDS_ON}", None),
        (f"  @staticmethod\n  def migrate(): {WORKS}", 5),
        ("  @classmethod\n  def migrate(cls): db.query_commit(cls.migrate_sql())", None),
        (f"  @traced\n  def migrate(): {HANDS_ON}", None),
        (f"  @traced\n  def migrate(): {WORKS}", 5),
        (f"  @retry(3)\n  def migrate(): {HANDS_ON}", None),
        (f"  @staticmethod\n  @traced\n  def migrate(): {HANDS_ON}", None),
        (f"  @render\n  def migrate(): {HANDS_ON}", 1),
        (f"  @traced\n  @render\n  def migrate(): {HANDS_ON}", 1),
        (f"  @render\n  @traced\n  def migrate(): {HANDS_ON}", 1),
        (f"  @traced\n  def migrate(): {HANDS_ON}\n  @traced\n  def migrate(): {WORKS}", 7),
        (f"  @traced\n  def migrate(): {WORKS}\n  @traced\n  def migrate(): {HANDS_ON}", None),
        (f"  @render\n  def migrate(): {HANDS_ON}\n  @traced\n  def migrate(): {HANDS_ON}", None),
        (f"  NAME = 'x'\n  @traced\n  def migrate(): {HANDS_ON}\n  @traced\n  def helper(): {WORKS}", None),
        ("  async def migrate(): await db.query_commit(M.migrate_sql())", None),
        ("  async def migrate():\n    c = await db.connect()\n    await run(c, M.migrate_sql())", None),
        ("  async def migrate():\n    async with db.connect() as c: await run(c, M.migrate_sql())", None),
        (f"  async def migrate(): await {WORKS}", 5),
        ("  def migrate(conn): run(conn, M.migrate_sql())", None),
        ("  def migrate(conn, /, *, log): run(conn, M.migrate_sql(), log)", None),
        ("  def migrate(self): self.hand(self.migrate_sql())\n  def hand(self, sql): db.query_commit(sql)", None),
        ("  def migrate(self): self.hand(self.migrate_sql())\n  def hand(other, sql): db.query_commit(sql)", 5),
        (f"  migrate = lambda: {HANDS_ON}", 5),
        ("  migrate = functools.partial(print, 1)", 1),
        ("  migrate = db.migrate", 1),
    ],
)
def test_how_a_migrate_may_be_written(path: Path, body: str, line: int | None) -> None:
    path.write_text(f"{HEAD}{SQL}{body}\nmigration = M\n")
    if line is None:
        assert python_files.sql(path, "migrate_sql").strip() == "SELECT 1"
    else:
        with pytest.raises(BadInput, match=rf"line {line}: its own migrate\(\) does more than run"):
            python_files.sql(path, "migrate_sql")


def test_a_migrate_of_a_class_above_is_read_where_it_is_written(path: Path) -> None:
    base = "class Base:\n  def migrate(self): db.query_commit(self.migrate_sql())\n"
    text = f"from lib.db import db\n{base}class M(Base):\n{SQL}"
    path.write_text(f"{text}migration = M\n")
    assert python_files.sql(path, "migrate_sql").strip() == "SELECT 1"
    path.write_text(f"{text}migration = M\n".replace("self.migrate_sql()", "Base.migrate_sql()"))
    assert python_files.sql(path, "migrate_sql").strip() == "SELECT 1"
