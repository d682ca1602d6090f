"""Stands in for Docker Compose, and for an editor that works in one of its containers.

A service with an image is a store of ``containers``. One with a build is a machine of its own: its Dockerfile is run
line by line, then its command. Where no ``depends_on`` gives an order, a built service starts as early as it can.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.recipes import schemas, workspaces
from tests.recipes.containers import Container
from tests.recipes.github import checkout, seconds
from tests.recipes.machine import Failed, Machine, Unknown, address, known
from tests.recipes.plan import Step, pairs

FILES = {"../compose.yml": "compose/compose.yml"}
_DATA = {"postgres": "/var/lib/postgresql/data", "amazon/dynamodb-local": "/data"}
_DYNAMODB = ["-jar", "DynamoDBLocal.jar", "-sharedDb", "-dbPath", _DATA["amazon/dynamodb-local"]]
_BOTH = ("environment", "volumes", "depends_on", "command")
_BUILT = (*_BOTH, "build", "ports")
_STORE = (*_BOTH, "image", "user", "healthcheck")


def plan(document: Any) -> list[Step]:
    """``up``, a request, ``down``, and ``up`` again, which builds nothing. Raises Failed, Unknown, ValidationError."""
    up = list(_up(document))
    again = [
        Step(each.kind, each.what, "again", each.inputs, each.env) if each.kind == "service" else each for each in up
    ]
    return [*up, Step("write"), Step("down"), *(each for each in again if each.kind != "build"), Step("read")]


def devcontainer(document: Any, read: Callable[[str], Any]) -> list[Step]:
    """What an editor does that works in a container of Compose; ``read`` gives the document of a recipe."""
    schemas.check(document, "devcontainer")
    known(
        document, ("name", "dockerComposeFile", "service", "workspaceFolder", "postCreateCommand"), "devcontainer.json"
    )
    if "dockerComposeFile" not in document or "service" not in document:
        raise Failed("devcontainer.json names neither an image nor a service")
    folder = document.get("workspaceFolder", "/")
    name = document["service"]
    composed = read(FILES[document["dockerComposeFile"]])
    env = pairs(composed["services"][name].get("environment"))
    return [
        *_up(composed),
        Step("exec", document.get("postCreateCommand", "true"), name, (("folder", folder),), env),
        Step("exec", "cat app.py", name, (("folder", folder),), env),
        Step("exec", "cruddur ddb list-conversations", name, (("folder", folder),), env),
    ]


def _up(document: Any) -> Iterator[Step]:
    """What ``docker compose up`` does."""
    schemas.check(document, "compose")
    known(document, ("services", "volumes"), "compose.yml")
    if "$" in str(document):
        raise Unknown("a variable in compose.yml")
    services = document["services"]
    volumes = document.get("volumes") or {}
    for name, options in volumes.items():
        known(options or {}, (), f"volumes: {name}")
    completed = set()
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            known(how, ("condition",), f"{name}: depends_on")
            if needed not in services:
                raise Failed(f"service {name} depends on undefined service {needed}")
            if how["condition"] == "service_healthy" and "healthcheck" not in services[needed]:
                raise Failed(f"container {needed} has no healthcheck configured")
            if how["condition"] == "service_completed_successfully":
                completed.add(needed)
    for name in _ordered(services):
        service = services[name]
        mounts = dict(_mount(name, text, volumes) for text in service.get("volumes", ()))
        if "build" in service:
            yield from _built(name, service, mounts, completes=name in completed)
        else:
            yield _store(name, service, mounts)
    if not any(service.get("ports") for service in services.values()):
        raise Failed("no port is opened")


def _ordered(services: Mapping[str, Any]) -> list[str]:
    found: list[str] = []

    def add(name: str) -> None:
        for needed in services[name].get("depends_on", {}):
            add(needed)
        if name not in found:
            found.append(name)

    built = [name for name in services if "build" in services[name]]
    for name in (*reversed(built), *services):
        add(name)
    return found


def _mount(name: str, text: str, volumes: Mapping[str, Any]) -> tuple[str, str]:
    """Where something is mounted, and what."""
    source, _, target = text.partition(":")
    if ":" in target or not target.startswith("/"):
        raise Unknown(f"{name}: volumes: {text}")
    if source != "." and source not in volumes:
        raise Failed(f'service "{name}" refers to undefined volume {source}')
    return target, source


def _store(name: str, service: Any, mounts: Mapping[str, str]) -> Step:
    if "image" not in service:
        raise Failed(f'service "{name}" has neither an image nor a build context specified')
    known(service, _STORE, name)
    repository = service["image"].partition(":")[0]
    if list(mounts) != [_DATA.get(repository)]:
        raise Failed(f"{name}: `docker compose down` deletes its data")
    if repository == "postgres":
        known({key: None for key in ("user", "command") if key in service}, (), name)
    elif service.get("user") != "root":
        raise Failed(f"{name}: unable to open database file")
    elif shlex.split(service.get("command", "-jar DynamoDBLocal.jar -inMemory")) != _DYNAMODB:
        raise Failed(f"{name}: its tables are not in the volume, or not those of each key and region")
    inputs = [("image", service["image"])]
    if health := service.get("healthcheck"):
        known(health, ("test", "interval", "retries"), f"{name}: healthcheck")
        at_most_s = seconds(health.get("interval", "30s")) * int(health.get("retries", 3))
        kind, *command = health["test"]
        if kind != "CMD":
            raise Unknown(f"{name}: healthcheck: {kind}")
        inputs += [("at most", str(at_most_s)), *(("health", part) for part in command)]
    return Step("service", name, inputs=tuple(inputs), env=pairs(service.get("environment")))


def _built(name: str, service: Any, mounts: Mapping[str, str], *, completes: bool) -> Iterator[Step]:
    known(service, _BUILT, name)
    known(service["build"], ("dockerfile_inline",), f"{name}: build")
    text = service["build"].get("dockerfile_inline")
    if text is None:
        raise Failed(f"{name}: failed to read dockerfile: open Dockerfile: no such file or directory")
    lines = text.splitlines()
    if not lines or not lines[0].startswith("FROM "):
        raise Failed(f"{name}: no build stage in current context")
    for line in lines:
        yield Step("build", line, name)
    inputs = tuple(("mount", target) for target in mounts)
    # What the image runs without a command: a Python that has nothing to read.
    command = service.get("command", "python3")
    yield Step("complete" if completes else "serve", command, name, inputs, pairs(service.get("environment")))
    for port in service.get("ports", ()):
        if not re.fullmatch(r"\d+:\d+", port):
            raise Unknown(f"{name}: ports: {port}")
        yield Step("publish", port, name)
        yield Step("open", port.partition(":")[0])


class Job(workspaces.Job):
    """One project of Compose on one computer, which is ``machine``."""

    def __init__(self, folder: Path, *, emulator: str, expect: Callable[[workspaces.Job], None]) -> None:
        super().__init__(folder, emulator=emulator, caches=folder, expect=expect)
        checkout(self.machine, self.checkout)
        self.built: dict[str, Machine] = {}
        self.workdir: dict[str, str] = {}

    def close(self) -> None:
        self.containers.end()
        super().close()

    def _service(self, step: Step) -> None:
        inputs = dict(step.inputs)
        volume = self.machine.folder.parent / f"volume-{step.what}"
        if step.on != "again" and volume.exists():
            subprocess.run(["rm", "-r", str(volume)], check=True)
        container = self.containers.start(step.what, inputs["image"], dict(step.env), kept=volume)
        if "at most" in inputs:
            command = [part for kind, part in step.inputs if kind == "health"]
            at_most_s = float(inputs["at most"])
            container.wait(step.what, command, at_most_s=min(3, at_most_s) if self.machine.hasty else at_most_s)

    def _build(self, step: Step) -> None:
        """Run one line of a Dockerfile."""
        instruction, _, rest = step.what.partition(" ")
        if instruction == "FROM":
            if rest not in workspaces.IMAGES:
                raise Unknown(f"FROM {rest}")
            machine = self.built[step.on] = Machine(self.machine.folder / step.on)
            machine.path.append(str(machine.python()))
            (machine.folder / "root").mkdir()
            # A container's localhost: what listens there is not reached through a published port.
            machine.environment["FLASK_RUN_HOST"] = address()
            self.workdir[step.on] = "/"
            return
        machine = self.built[step.on]
        if instruction == "WORKDIR":
            self.workdir[step.on] = rest
            machine.places[rest] = machine.folder / "root" / rest.strip("/")
            machine.places[rest].mkdir()
        elif instruction == "COPY":
            source, target = rest.split()
            if target != ".":
                raise Unknown(step.what)
            (self._folder(step.on) / source).write_bytes((self.checkout / source).read_bytes())
        elif instruction == "RUN":
            self._execute(step.on, step.what, ["sh", "-c", rest], self._folder(step.on), {})
        else:
            raise Unknown(step.what)

    def _folder(self, name: str, path: str | None = None) -> Path:
        """Where a folder of a container is, or its working folder."""
        machine = self.built[name]
        path = path or self.workdir[name]
        return machine.folder / "root" if path == "/" else machine.places[path]

    def _execute(self, name: str, what: str, command: list[str], folder: Path, env: Mapping[str, str]) -> None:
        machine = self.built[name]
        self.machine.printed += machine.run(what, command, folder=folder, env=machine.localized(env))

    def _start(self, step: Step) -> None:
        """Make a container of what was built."""
        machine = self.built[step.on]
        machine.hosts = {name: self.containers.address(name) for name in ("postgres", "dynamodb-local")}
        machine.places = {path: machine.folder / "root" / path.strip("/") for path in machine.places}
        machine.places |= {target: self.checkout for kind, target in step.inputs if kind == "mount"}

    def _complete(self, step: Step) -> None:
        self._start(step)
        self._execute(step.on, step.what, shlex.split(step.what), self._folder(step.on), dict(step.env))

    def _serve(self, step: Step) -> None:
        self._start(step)
        machine = self.built[step.on]
        with (self.machine.folder / "tmp" / "served").open("ab") as log:
            try:
                self.served = subprocess.Popen(
                    [machine.local(part) for part in shlex.split(step.what)],
                    cwd=self._folder(step.on),
                    env=machine.variables(machine.localized(dict(step.env))),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                raise Failed(f"{step.what}: {error}") from error

    def _publish(self, step: Step) -> None:
        outer, _, inner = step.what.partition(":")
        name = f"published-{outer}"
        front = Container(Machine(self.machine.folder.parent / name, address=self.built[step.on].address), int(inner))
        front.publish(self.machine.address, int(outer), int(inner))
        self.containers.running[name] = front

    def _exec(self, step: Step) -> None:
        folder = self._folder(step.on, dict(step.inputs)["folder"])
        self._execute(step.on, step.what, ["sh", "-c", step.what], folder, dict(step.env))

    def _down(self, _: Step) -> None:
        self.machine.end()
        for container in self.containers.running.values():
            container.end()
        self.containers.running.clear()
