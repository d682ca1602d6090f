"""A project outside of this repository, in which pytest runs with its own process, folder and settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "testing-your-app"


class Project:
    """A folder with tests. It has its own ``TMPDIR``, so that it does not see other runs."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder, self.home = folder, home
        for place in (folder, home):
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(0o711)

    def write(self, **files: str) -> None:
        """Write files of the project; ``test_a`` is test_a.py."""
        for name, text in files.items():
            (self.folder / f"{name}.py").write_text(text, encoding="utf-8")

    def settings(self, *lines: str) -> None:
        """Write its pytest.ini."""
        (self.folder / "pytest.ini").write_text("\n".join(["[pytest]", *lines, ""]), encoding="utf-8")

    def command(self, *arguments: str) -> list[str]:
        """The command line of pytest in this environment."""
        return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]

    def environment(self, **variables: str) -> dict[str, str]:
        """Its environment, without the variables of the pytest that runs this test. It uses the machine's clock."""
        foreign = ("PYTEST_", "PYTHONPATH", "CRUDDUR_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(foreign)}
        return {**kept, "TMPDIR": str(self.home), **variables}

    def pytest(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the tests to their end."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            check=False,
        )

    def runs(self) -> list[Path]:
        """The folders of test runs that are on the disk."""
        return [path for path in self.home.glob("cruddur-pytest-*/*") if path.is_dir()]

    def processes(self) -> list[int]:
        """The engines that run for this project."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if str(self.home) in (path / "cmdline").read_text() + str((path / "cwd").readlink()):
                    found.append(int(path.name))
            except OSError:
                continue
        return found


def outcomes(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """The counts in pytest's last line."""
    return {kind: int(number) for number, kind in re.findall(r"(\d+) (passed|failed|skipped|errors?)", done.stdout)}


@pytest.fixture
def project(tmp_path: Path, this_run: Any) -> Project:
    """A project without files. Its folder for temporary files can be reached by PostgreSQL's account."""
    return Project(tmp_path / "project", this_run.another())
