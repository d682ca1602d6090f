"""Stands in for GitLab CI, Gitpod, development containers and make: one machine, scripts, and a port that is opened."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.recipes import schemas
from tests.recipes.containers import Containers
from tests.recipes.github import checkout
from tests.recipes.machine import Failed, Machine, Unknown, known
from tests.recipes.plan import Step, pairs

CONVERSATION = "5ae290ed-55d1-47a0-bc6d-fe2bc2700399"
IMAGES = ("python:3.12", "gitpod/workspace-python-3.12", "mcr.microsoft.com/devcontainers/python:3.12")
PORT = "4567"


def _image(name: str) -> Step:
    if name not in IMAGES:
        raise Unknown(f"the image {name}")
    return Step("image", name)


def gitlab(document: Any) -> list[Step]:
    """What GitLab does for a pipeline of one job: all lines of the script share their variables."""
    schemas.check(document, "gitlab")
    if len(document) != 1:
        raise Unknown("more than one job")
    (job,) = document.values()
    known(job, ("image", "variables", "cache", "script"), "job")
    cache = job.get("cache", {})
    known(cache, ("key", "paths"), "cache")
    env = pairs(job.get("variables"))
    paths = tuple(("path", path) for path in cache.get("paths", ()))
    if not job.get("image"):
        raise Failed("GitLab's default image has no python")
    return [
        _image(job["image"]),
        Step("restore", inputs=paths),
        *(Step("line", line, env=env) for line in job["script"]),
        Step("save", inputs=paths),
    ]


def gitpod(document: Any) -> list[Step]:
    """What Gitpod does for a new workspace with one task, and when it is started again: only /workspace is kept."""
    schemas.check(document, "gitpod")
    known(document, ("image", "tasks", "ports"), ".gitpod.yml")
    (task,) = document["tasks"] or [{}]
    env = pairs(task.get("env"))
    start = [Step("serve", task.get("command", "true"), env=env), *_ports(document.get("ports"))]
    return [
        _image(document["image"]),
        Step("run", "set -e\n" + task.get("init", "true"), env=env),
        *start,
        Step("write"),
        Step("restart", "new HOME"),
        *start,
        Step("read"),
    ]


def _ports(ports: list[dict[str, Any]] | None) -> list[Step]:
    if not ports:
        raise Failed("no port is opened")
    return [Step("open", str(port["port"])) for port in ports]


def devcontainer(document: Any) -> list[Step]:
    """What an editor does that creates a container, and when it is started again: its files are kept."""
    schemas.check(document, "devcontainer")
    keys = ("name", "image", "postCreateCommand", "postStartCommand", "postAttachCommand", "forwardPorts")
    known(document, keys, "devcontainer.json")
    start = [
        Step("run", document.get("postStartCommand", "true")),
        Step("serve", document.get("postAttachCommand", "true")),
        *_ports([{"port": port} for port in document.get("forwardPorts", ())]),
    ]
    return [
        _image(document.get("image", "")),
        Step("run", document.get("postCreateCommand", "true")),
        *start,
        Step("write"),
        Step("restart", "same HOME"),
        *start,
        Step("read"),
    ]


def make(document: Any) -> list[Step]:
    """What a person does with the application's Makefile, whose lines are ``document``."""
    text = "\n".join(document["lines"]) + "\n"
    serve = Step("serve", "make run", inputs=(("Makefile", text),))
    return [_image(IMAGES[0]), serve, Step("open", PORT), Step("write"), Step("restart", "same HOME"), serve,
            Step("open", PORT), Step("read")]  # fmt: skip


@dataclass
class State:
    """What is known beside the machine's files."""

    opened: list[str] = field(default_factory=list)
    saved: bool = False


class Job:
    """One workspace or job; ``caches`` are kept by the caller from run to run."""

    def __init__(self, folder: Path, *, emulator: str, caches: Path, expect: Callable[[Job], None]) -> None:
        self.machine = Machine(folder / "machine")
        self.containers = Containers(folder, emulator)
        self.state = State()
        self.caches, self.expect = caches, expect
        self.served: subprocess.Popen[bytes] | None = None
        workspace = self.machine.folder / "workspace"
        self.checkout = workspace / "application"
        self.checkout.mkdir(parents=True)
        self.machine.places["/workspace"] = workspace
        self.machine.environment["CI_PROJECT_DIR"] = str(self.checkout)
        # Names of targets, which are no files of theirs.
        for name in ("setup", "run"):
            (self.checkout / name).touch()

    def do(self, step: Step) -> None:
        """Do one step. Raises Failed."""
        getattr(self, f"_{step.kind}")(step)

    def finish(self) -> None:
        """Whether it did what it is for."""
        self.expect(self)

    def close(self) -> None:
        """Switch everything off, and delete it."""
        self.machine.remove()

    def _image(self, _: Step) -> None:
        self.machine.path.append(str(self.machine.python()))
        self.machine.install("make")
        checkout(self.machine, self.checkout)

    def _env(self, step: Step) -> dict[str, str]:
        given = self.machine.localized(dict(step.env))
        folder = str(self.checkout)
        return {name: value.replace("$CI_PROJECT_DIR", folder) for name, value in given.items()}

    def _run(self, step: Step) -> None:
        self.machine.run(step.what, ["bash", "-c", step.what], folder=self.checkout, env=self._env(step))

    def _line(self, step: Step) -> None:
        """One line of a script, in a shell that has the variables of the last one."""
        exported = self.machine.folder / "tmp" / "exported"
        before = f"source {exported}\n" if exported.exists() else ""
        script = f"set -eo pipefail\n{before}{step.what}\nexport -p > {exported}"
        self.machine.run(step.what, ["bash", "-c", script], folder=self.checkout, env=self._env(step))

    def _serve(self, step: Step) -> None:
        for name, text in step.inputs:
            (self.checkout / name).write_text(text)
        with (self.machine.folder / "tmp" / "served").open("ab") as log:
            self.served = subprocess.Popen(
                ["bash", "-c", self.machine.local(step.what)],
                cwd=self.checkout,
                env=self.machine.variables(self._env(step)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _open(self, step: Step) -> None:
        self._ask("/api/users", step.what)
        self.state.opened.append(step.what)

    def _write(self, _: Step) -> None:
        self._ask(f"/api/messages/{CONVERSATION}", PORT, {"message": "kept?"})

    def _read(self, _: Step) -> None:
        if "kept?" not in self._ask(f"/api/messages/{CONVERSATION}", PORT):
            raise Failed("what was written before the restart is lost")

    def _ask(self, path: str, port: str, message: Any = None) -> Any:
        """The application's answer, once it is up. Raises Failed."""
        served = self.machine.folder / "tmp" / "served"
        patience_s = 6 if self.machine.hasty else 90
        deadline = time.monotonic() + patience_s
        url = f"http://{self.machine.address}:{port}{path}"
        headers = {"Content-Type": "application/json"}
        while True:
            request = urllib.request.Request(url, json.dumps(message).encode() if message else None, headers)
            try:
                opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
                with opener.open(request, timeout=min(30, patience_s)) as answer:
                    return json.load(answer)
            except OSError as error:
                # Nothing is being started any more, or it is no answer that gets better.
                refused = not isinstance(error, urllib.error.HTTPError)
                if not refused or self.served is None or self.served.poll() is not None or time.monotonic() > deadline:
                    raise Failed(f"{url}: {error}\n{served.read_text(errors='replace')[-2000:]}") from error
            time.sleep(0.1)

    def _restart(self, step: Step) -> None:
        self.machine.end()
        (self.machine.folder / "tmp" / "served").unlink()
        if step.what == "new HOME":
            for found in self.machine.stacks():
                if found.is_relative_to(self.machine.home):
                    shutil.rmtree(found)
            shutil.rmtree(self.machine.home)
            self.machine.home.mkdir()

    def _restore(self, step: Step) -> None:
        for _, path in step.inputs:
            if (self.caches / path).exists():
                shutil.copytree(self.caches / path, self.checkout / path)

    def _save(self, step: Step) -> None:
        for _, path in step.inputs:
            if not (self.checkout / path).exists():
                raise Failed(f"WARNING: {path}: no matching files")
            self.state.saved = True
            if not self.machine.hasty:
                shutil.copytree(self.checkout / path, self.caches / path, dirs_exist_ok=True)
