"""Migrations that bring a `migrate` of their own."""

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
    "shown as well": "db.print_sql('commit', M.migrate_sql())\n    db.query_commit(M.migrate_sql(), {})",
}


WITH_OWN = """from lib.db import db, run, text, query_commit, Db, Backfill
class M:
  def migrate_sql(): return 'SELECT 1'
  def rollback_sql(): return 'SELECT 2'
  def migrate():
    {body}
  def run(sql): db.query_commit(sql); db.query_commit('DELETE FROM users')
  def hand_on(sql, params={{}}): return db.query_commit(sql, params)
class Other:
  def migrate_sql(): return 'SELECT 3'
VALUES = {{'a': 1}}
migration = M
"""


@pytest.mark.parametrize("body", OWN.values(), ids=OWN)
def test_a_migrate_of_its_own_is_refused(path: Path, body: str) -> None:
    path.write_text(WITH_OWN.format(body=body))
    with pytest.raises(BadInput, match=r"line 5: its own migrate\(\) does more than run") as caught:
        python_files.sql(path, "migrate_sql")
    assert str(path) in caught.value.message
    assert "migration = " not in str(caught.value.hint)
    assert python_files.sql(path, "rollback_sql").strip() == "SELECT 2"


@pytest.mark.parametrize("body", USUAL.values(), ids=USUAL)
def test_the_usual_migrate(path: Path, body: str) -> None:
    path.write_text(WITH_OWN.format(body=body))
    assert python_files.sql(path, "migrate_sql").strip() == "SELECT 1"


@pytest.mark.parametrize("is_first", [True, False])
def test_a_traced_migrate_is_read_in_the_class_of_the_migration(path: Path, is_first: bool) -> None:
    """And not in another class of the file, whose function has the same name."""
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
