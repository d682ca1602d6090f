"""The place of the cluster of root's PostgreSQL, which another account runs."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest

from cruddur_cli.errors import NotConfigured
from cruddur_cli.local import binaries, cluster, stack
from cruddur_cli.local import home as homes

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs as the caller, unless that is root")


def test_all_of_it_is_in_the_folder_that_a_setting_names(home: Path) -> None:
    stack.up(aws=False)
    (data,) = {Path(engine.data_dir) for engine in stack.status() if engine.name == "postgres"}
    runner = binaries.account(data)
    assert runner and data.is_relative_to(home)
    assert (data.stat().st_uid, data.stat().st_mode & 0o777) == (runner.uid, 0o700)
    for folder in (home, home / "postgres"):
        assert (folder.stat().st_uid, folder.stat().st_gid) == (0, runner.gid)
        assert folder.stat().st_mode & 0o777 == 0o710
    assert (home / "postgres" / "password").stat().st_mode & 0o777 == 0o600
    stack.down()
    stack.up(aws=False)
    assert home.stat().st_mode & 0o777 == 0o710


@pytest.mark.parametrize("below", [Path(), Path("new/folders")])
def test_a_folder_in_the_way_is_named_and_nothing_is_made(
    home: Path, monkeypatch: pytest.MonkeyPatch, below: Path
) -> None:
    closed = home.parent / "it's closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setenv("CRUDDUR_HOME", str(closed / below / "stack"))
    with pytest.raises(NotConfigured) as caught:
        stack.up()
    assert f"cannot enter {closed}. Nothing was changed." in caught.value.message
    assert str(caught.value.hint).startswith(f"chmod o+x '{home.parent}/it'\"'\"'s closed', or set CRUDDUR_HOME")
    assert list(closed.iterdir()) == []
    closed.chmod(0o711)
    stack.up(aws=False)
    stack.reset()


def test_a_cluster_of_0_1_0_moves_into_the_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        # As 0.1.0 did for every state directory of root.
        patch.setattr(homes, "default", lambda: home)
        url = stack.up(aws=False).postgres_url
        old = cluster.data_directory(home)
        assert url and old.is_relative_to(binaries.SHARED)
        with psycopg.connect(url, dbname="postgres") as conn:
            conn.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        stack.down()
    url = stack.up(aws=False).postgres_url
    assert url and not old.parent.exists()
    assert cluster.data_directory(home).is_relative_to(home)
    with psycopg.connect(url, dbname="postgres") as conn:
        assert conn.execute("SELECT answer FROM kept").fetchone() == (42,)
