"""A run of the tests leaves nothing behind: when it is interrupted, at once; when it is killed, at the next run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cruddur_cli.local import cluster
from tests import runs, waiting

REPOSITORY = Path(__file__).parents[1]
# Engines, a server of another major where there is one, a command that hangs, and then no end.
ENDLESS = """
import subprocess, sys, time
from pathlib import Path

def test_that_does_not_end(engines, postgres_majors, postgres_server, tmp_path):
    for major in postgres_majors[:1]:
        postgres_server(major)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    ready = Path({ready!r})
    ready.with_suffix(".new").write_text(engines.home)
    ready.with_suffix(".new").rename(ready)
    time.sleep(600)
"""


def pytest_process(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A run of the tests of a folder, whose own folder is in that folder too."""
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider", *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment)


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGKILL, "1"), (signal.SIGINT, "0")], ids=["killed", "Ctrl-C"])
def test_nothing_is_left_of_a_run_that_is_ended(this_run: runs.Run, number: int, workers: str) -> None:
    outer = this_run.own(f"ended-by-{number}")  # which PostgreSQL's own account can pass through
    ready = outer / "ready"
    (outer / "test_endless.py").write_text(ENDLESS.format(ready=str(ready)))
    (outer / "test_short.py").write_text("def test_that_passes(): pass\n")
    base = outer / f"cruddur-tests-{os.geteuid()}"
    process = pytest_process(outer, "-n", workers, "test_endless.py")
    try:
        waiting.until(lambda: ready.exists() or process.poll() is not None)
        home = Path(ready.read_text())
        (folder,) = [found for found in base.iterdir() if found.is_dir()]
        programs = sorted(Path(command).name for _, command in runs.processes(folder))
        assert programs.count("postgres") >= 1
        assert cluster.data_directory(home).exists()
        process.send_signal(number)
        process.wait(timeout=60)
        if number == signal.SIGKILL:
            assert "postgres" in {Path(command).name for _, command in runs.processes(folder)}
            assert pytest_process(outer, "test_short.py").wait(timeout=60) == 0
        assert list(runs.processes(folder)) == []
        assert not cluster.data_directory(home).exists()
        assert [found.name for found in base.iterdir()] == ["lock"]
    finally:
        process.kill()
        process.wait()
        runs.clear(base)


def test_the_folder_of_a_run_that_lives_is_left_alone(tmp_path: Path, this_run: runs.Run) -> None:
    runs.clear(this_run.folder.parent)
    assert this_run.folder.is_dir()
    assert tmp_path.is_dir()
