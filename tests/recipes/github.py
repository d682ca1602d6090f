"""Stands in for GitHub Actions: one job of a workflow, on a runner of its own."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.recipes import schemas
from tests.recipes.containers import Containers
from tests.recipes.machine import APPLICATION, Failed, Machine, Unknown, known
from tests.recipes.plan import Step, pairs

SHELL = ("bash", "-e")
RUNNER = "ubuntu-24.04"
_SECONDS = {"ms": 0.001, "s": 1, "m": 60}


def plan(document: Any) -> list[Step]:
    """What GitHub does for a workflow that has one job. Raises Unknown, or jsonschema's ValidationError."""
    schemas.check(document, "github")
    known(document, ("name", "on", "jobs"), "workflow")
    if len(document["jobs"]) != 1:
        raise Unknown("more than one job")
    (job,) = document["jobs"].values()
    known(job, ("runs-on", "services", "env", "steps"), "job")
    if job["runs-on"] != RUNNER:
        raise Unknown(f"runs-on: {job['runs-on']}")
    steps = []
    for name, service in job.get("services", {}).items():
        known(service, ("image", "env", "ports", "options"), name)
        inputs = (("image", service["image"]), ("options", service.get("options", "")))
        ports = tuple(("port", str(port)) for port in service.get("ports", ()))
        steps.append(Step("service", name, inputs=(*inputs, *ports), env=pairs(service.get("env"))))
    for step in job["steps"]:
        env = pairs({**job.get("env", {}), **step.get("env", {})})
        if "uses" in step:
            known(step, ("name", "uses", "with"), "step")
            if step["uses"] not in ACTIONS:
                raise Unknown(f"uses: {step['uses']}")
            steps.append(Step("uses", step["uses"], inputs=pairs(step.get("with")), env=env))
        else:
            known(step, ("name", "run", "env", "working-directory"), step.get("name", "step"))
            steps.append(Step("run", step["run"], step.get("working-directory", "."), env=env))
    return [Step(each.kind, _plain(each.what), each.on, each.inputs, each.env) for each in steps]


def _plain(text: str) -> str:
    if "${{" in text:
        raise Unknown(text)
    return text


@dataclass
class State:
    """What a runner knows beside its files."""

    variables: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    restored: bool = False
    save: str | None = None


class Job:
    """One job. ``caches`` are kept by the caller from run to run; ``expect`` says whether the job did its work."""

    def __init__(self, folder: Path, *, emulator: str, caches: dict[str, Path], expect: Callable[[Job], None]) -> None:
        self.machine = Machine(folder / "runner")
        self.containers = Containers(folder, emulator)
        self.state = State()
        self.caches, self.expect = caches, expect
        self.workspace = self.machine.folder / "work"
        self.workspace.mkdir()
        self.machine.environment |= {"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(self.workspace)}

    def do(self, step: Step) -> None:
        """Do one step. Raises Failed."""
        if step.kind == "service":
            self._service(step)
        elif step.kind == "uses":
            ACTIONS[step.what](self, dict(step.inputs))
        else:
            self._run(step)

    def finish(self) -> None:
        """What actions do after the last step."""
        if self.state.save and not self.state.restored:
            target = self.machine.folder.parent / f"cache-{self.state.save}"
            shutil.copytree(self.machine.home / ".cache" / "pip", target, dirs_exist_ok=True)
            self.caches[self.state.save] = target
        try:
            self.expect(self)
        finally:
            # A run with a part deleted leaves nothing to the next one.
            if "WAIT_S" in self.machine.environment:
                self.caches.clear()

    def close(self) -> None:
        """Switch everything off, and delete it."""
        self.containers.end()
        self.machine.remove()

    def _run(self, step: Step) -> None:
        files = {
            name: self.machine.folder / "tmp" / name for name in ("GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")
        }
        for file in files.values():
            file.write_text("")
        script = self.machine.folder / "tmp" / "script.sh"
        script.write_text(self.machine.local(step.what) + "\n")
        folder = self.workspace / step.on
        if not folder.is_dir():
            raise Failed(f"{step.what}: there is no folder {step.on}")
        env = {
            **self.state.variables,
            **self.machine.localized(dict(step.env)),
            **{name: str(file) for name, file in files.items()},
        }
        self.machine.run(step.what, [*SHELL, str(script)], folder=folder, env=env)
        self.state.variables |= _variables(files["GITHUB_ENV"].read_text())
        self.machine.path[:0] = reversed(files["GITHUB_PATH"].read_text().splitlines())
        self.state.summary += files["GITHUB_STEP_SUMMARY"].read_text()

    def _service(self, step: Step) -> None:
        inputs = dict(step.inputs)
        container = self.containers.start(step.what, inputs["image"], dict(step.env))
        for name, port in step.inputs:
            if name == "port":
                outer, _, inner = port.partition(":")
                container.publish(self.machine.address, int(outer), int(inner))
        if options := inputs["options"]:
            given = dict(part.removeprefix("--").split("=", 1) for part in shlex.split(options))
            known(given, ("health-cmd", "health-interval", "health-timeout", "health-retries"), step.what)
            if "health-cmd" in given:
                at_most_s = seconds(given.get("health-interval", "30s")) * int(given.get("health-retries", "3"))
                command = ["sh", "-c", given["health-cmd"]]
                container.wait(step.what, command, at_most_s=min(3, at_most_s) if self.machine.hasty else at_most_s)


def seconds(text: str) -> float:
    """A duration as Docker has it."""
    found = re.fullmatch(r"(\d+)(ms|s|m)", text)
    if found is None:
        raise Unknown(text)
    return int(found[1]) * _SECONDS[found[2]]


def _variables(text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if not equals or not re.fullmatch(r"\w+", name):
            raise Failed(f"GITHUB_ENV: Invalid format '{line}'")
        found[name] = value
    return found


def _checkout(job: Job, inputs: dict[str, str]) -> None:
    known(inputs, (), "actions/checkout")
    checkout(job.machine, job.workspace)


def checkout(machine: Machine, folder: Path) -> None:
    """Put the application's files into a folder."""
    for name in ("app.py", "requirements.txt", "check.py"):
        text = (APPLICATION / name).read_text(encoding="utf-8")
        (folder / name).write_text(machine.local(text), encoding="utf-8")


def _setup_python(job: Job, inputs: dict[str, str]) -> None:
    known(inputs, ("python-version", "cache"), "actions/setup-python")
    if not re.fullmatch(r"3\.1[1-9]", inputs.get("python-version", "")):
        raise Failed("actions/setup-python: no version is named")
    job.machine.path.insert(0, str(job.machine.python()))
    if "cache" not in inputs:
        return
    if inputs["cache"] != "pip":
        raise Unknown(f"cache: {inputs['cache']}")
    file = job.workspace / "requirements.txt"
    if not file.exists():
        raise Failed("actions/setup-python: No file matched to [**/requirements.txt or **/pyproject.toml]")
    job.state.save = f"pip-{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
    if kept := job.caches.get(job.state.save):
        shutil.copytree(kept, job.machine.home / ".cache" / "pip")
        job.state.restored = True


# What stands in for the actions that a recipe may use.
ACTIONS: dict[str, Callable[[Job, dict[str, str]], None]] = {
    "actions/checkout@v4": _checkout,
    "actions/setup-python@v5": _setup_python,
}
