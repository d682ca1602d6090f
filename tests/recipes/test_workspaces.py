"""The recipes for GitLab CI, Gitpod, development containers and make run, twice, and need each of their parts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Engines
from tests.recipes import plan, schemas, workspaces
from tests.recipes.machine import EXAMPLES, Failed
from tests.runs import Run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a whole network on loopback")


ORDINARY = 65534
"""The number of the user `nobody`."""


def lines(path: Path) -> dict[str, list[str]]:
    """A Makefile as a list of its lines, without comments."""
    text = path.read_text(encoding="utf-8")
    return {"lines": [line for line in text.splitlines() if line and not line.startswith("#")]}


def was_asked(job: workspaces.Job) -> None:
    """The job asked the application for the seeded rows, and pip's cache was saved."""
    if not re.search(r"^\d users, \d+ messages$", job.machine.printed, re.MULTILINE):
        raise Failed("the application was not asked")
    if not job.state.saved:
        raise Failed("no cache was saved")


def was_opened(job: workspaces.Job) -> None:
    """The application answered at its port, before the restart and after it."""
    if job.state.opened != [workspaces.PORT] * 2:
        raise Failed("the application was not asked")


RECIPES: dict[str, tuple[str, Any, Callable[[Any], Sequence[plan.Step]], dict[str, Any]]] = {
    "gitlab": ("gitlab-ci/gitlab-ci.yml", schemas.read, workspaces.gitlab,
               {"lists": ("script", "paths"), "mappings": ("variables",)}),
    "gitpod": ("gitpod/gitpod.yml", schemas.read, workspaces.gitpod,
               {"lists": ("init", "command", "tasks", "ports"), "mappings": ("env",)}),
    "devcontainer": ("devcontainer/devcontainer.json", schemas.read, workspaces.devcontainer,
                     {"lists": ("forwardPorts",), "mappings": ()}),
    "make": ("make/Makefile", lines, workspaces.make, {"lists": ("lines",), "mappings": ()}),
}  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_runs_twice_and_needs_each_of_its_parts(
    name: str, engines: Engines, this_run: Run, tmp_path: Path
) -> None:
    file, read, steps, parts = RECIPES[name]
    document = read(EXAMPLES / file)
    expect = was_asked if name == "gitlab" else was_opened
    deletions = plan.without(document, *parts["lists"], mappings=parts["mappings"])
    if name == "devcontainer":
        deletions |= {key: {k: v for k, v in document.items() if k != key} for key in document if "Command" in key}
    assert deletions

    def job() -> workspaces.Job:
        folder = this_run.another()
        return workspaces.Job(folder, emulator=engines.aws, caches=tmp_path / "cache", expect=expect)

    with closing(job()) as first:
        assert plan.needless(first, document, steps, deletions) == []
    # In a workspace the second time is its restart.
    if name == "gitlab":
        with closing(job()) as second:
            plan.run(second, steps(document))
            assert "Downloading" not in second.machine.printed


def test_a_recipe_runs_as_an_ordinary_user(engines: Engines, this_run: Run, tmp_path: Path) -> None:
    """Where root runs the tests: everybody else has run the others."""
    if os.geteuid() != 0:
        pytest.skip("an ordinary user runs the tests")
    code = "import botocore, cruddur_cli, flask, ministack, psycopg"
    as_user: dict[str, Any] = {"user": ORDINARY, "group": ORDINARY, "extra_groups": []}
    try:
        reached = subprocess.run([sys.executable, "-c", code], **as_user, cwd="/", check=False).returncode == 0
    except OSError:
        reached = False
    if not reached:
        pytest.skip("the environment of the tests can be read by root alone")
    folder = this_run.another()
    with closing(workspaces.Job(folder, emulator=engines.aws, caches=tmp_path / "cache", expect=was_asked)) as job:
        job.machine.user = ORDINARY
        plan.run(job, workspaces.gitlab(schemas.read(EXAMPLES / "gitlab-ci" / "gitlab-ci.yml")))
        state = job.machine.home / ".local" / "share" / "cruddur"
        assert {path.stat().st_uid for path in (state, *state.iterdir())} == {ORDINARY}


def test_a_key_that_is_not_known_fails() -> None:
    document = schemas.read(EXAMPLES / "gitlab-ci" / "gitlab-ci.yml")
    document["test"]["retry"] = 2
    with pytest.raises(AssertionError, match="retry"):
        workspaces.gitlab(document)
