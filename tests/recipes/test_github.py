"""The recipes for GitHub Actions run, twice, and need each of their parts."""

from __future__ import annotations

import re
import sys
from contextlib import closing
from pathlib import Path

import pytest
from jsonschema import ValidationError

from tests.conftest import Engines
from tests.recipes import github, plan, schemas
from tests.recipes.machine import EXAMPLES, Failed
from tests.runs import Run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a whole network on loopback")
EMBEDDED = EXAMPLES / "github-actions" / "embedded.yml"
SERVICES = EXAMPLES / "github-actions" / "services.yml"


def expected(job: github.Job) -> None:
    """The application found the seeded rows, the summary shows the conversation, and pip's files are in the cache."""
    if not re.search(r"^\d users, \d+ messages$", job.machine.printed, re.MULTILINE):
        raise Failed("the application was not asked")
    if "bayko" not in job.state.summary:
        raise Failed("the summary shows no conversation")
    if not job.caches:
        raise Failed("no cache was saved")


@pytest.mark.parametrize("recipe", [EMBEDDED, SERVICES], ids=lambda path: path.stem)
def test_a_workflow_runs_twice_and_needs_each_of_its_parts(
    recipe: Path, engines: Engines, this_run: Run, tmp_path: Path
) -> None:
    document = schemas.read(recipe)
    deletions = plan.without(document, "steps", "run", "ports", mappings=("env", "with", "services"))
    caches: dict[str, Path] = {}

    def job() -> github.Job:
        folder = this_run.another()
        return github.Job(folder, emulator=engines.aws, caches=caches, expect=expected)

    with closing(job()) as first:
        assert plan.needless(first, document, github.plan, deletions) == []
    with closing(job()) as second:
        plan.run(second, github.plan(document))
        assert second.state.restored
        assert "Downloading flask" not in second.machine.printed


def test_a_key_that_is_not_known_fails() -> None:
    document = schemas.read(EMBEDDED)
    document["jobs"]["test"]["timeout-minutes"] = 5
    with pytest.raises(AssertionError, match="timeout-minutes"):
        github.plan(document)


def test_an_action_without_a_stand_in_fails() -> None:
    document = schemas.read(EMBEDDED)
    document["jobs"]["test"]["steps"][0]["uses"] = "actions/checkout@v3"
    with pytest.raises(AssertionError, match="checkout@v3"):
        github.plan(document)


def test_a_file_that_github_would_refuse_fails() -> None:
    document = schemas.read(EMBEDDED)
    del document["jobs"]["test"]["runs-on"]
    with pytest.raises(ValidationError):
        github.plan(document)
