"""The recipes with Docker Compose run, twice, and need each of their parts."""

from __future__ import annotations

import copy
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Engines
from tests.recipes import compose, plan, schemas, workspaces
from tests.recipes.machine import EXAMPLES, Failed
from tests.runs import Run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a whole network on loopback")
RECIPE = EXAMPLES / "compose" / "compose.yml"


def kept(job: workspaces.Job) -> None:
    """The application answered before `down` and after it, when the toolkit found both stores filled."""
    if job.state.opened != [workspaces.PORT] * 2:
        raise Failed("the application was not asked")
    if not all(text in job.machine.printed for text in ("users: exist\n", "table cruddur-messages: exists\n")):
        raise Failed("the stores were filled again")


def was_listed(job: workspaces.Job) -> None:
    """The editor's terminal showed the seeded conversation."""
    if "bayko" not in job.machine.printed:
        raise Failed("the terminal shows no conversation")


def keys(document: Any) -> dict[str, Any]:
    """The document without each key of each service, but for those whose entries are deleted one by one."""
    found = {}
    for name, service in document["services"].items():
        for key in sorted(set(service) - {"environment", "depends_on", "volumes", "ports"}):
            changed = found[f"{name}: {key}"] = copy.deepcopy(document)
            del changed["services"][name][key]
    return found


def test_a_compose_file_runs_twice_and_needs_each_of_its_parts(engines: Engines, this_run: Run, tmp_path: Path) -> None:
    document = schemas.read(RECIPE)
    deletions = keys(document) | plan.without(
        document, "dockerfile_inline", "volumes", "ports", mappings=("services", "environment", "depends_on", "volumes")
    )
    with closing(compose.Job(this_run.another(), emulator=engines.aws, expect=kept)) as job:
        assert plan.needless(job, document, compose.plan, deletions) == []


def test_a_development_container_with_compose_runs_and_needs_each_of_its_parts(
    engines: Engines, this_run: Run, tmp_path: Path
) -> None:
    document = schemas.read(EXAMPLES / "devcontainer-compose" / "devcontainer.json")
    deletions = {key: {k: v for k, v in document.items() if k != key} for key in document}

    def steps(document: Any) -> list[plan.Step]:
        return compose.devcontainer(document, lambda name: schemas.read(EXAMPLES / name))

    with closing(compose.Job(this_run.another(), emulator=engines.aws, expect=was_listed)) as job:
        assert plan.needless(job, document, steps, deletions) == []


@pytest.mark.parametrize("where", ["services/postgres", "services/application", "services/postgres/healthcheck"])
def test_a_key_that_is_not_known_fails(where: str) -> None:
    document = schemas.read(RECIPE)
    inner = document
    for key in where.split("/"):
        inner = inner[key]
    inner["start_period" if where.endswith("healthcheck") else "hostname"] = "2s"
    with pytest.raises(AssertionError, match=r"start_period|hostname"):
        compose.plan(document)
