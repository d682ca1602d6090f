"""What is done with a recipe: its steps in their order, and the same with each of its parts deleted."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from jsonschema import ValidationError

from cruddur_cli.local import stack
from tests.recipes.containers import Containers
from tests.recipes.machine import Failed, Machine

Document = Any


@dataclass(frozen=True)
class Step:
    """One thing that is done; two are equal if the same happens."""

    kind: str
    what: str = ""
    on: str = ""
    inputs: tuple[tuple[str, str], ...] = ()
    env: tuple[tuple[str, str], ...] = ()


def pairs(found: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """A mapping of the recipe, as a step holds it."""
    return tuple((name, str(value)) for name, value in (found or {}).items())


class Job(Protocol):
    """Where steps are done. ``state`` is what is known beside the machine's files; it can be copied."""

    machine: Machine
    containers: Containers
    state: Any

    def do(self, step: Step) -> None:
        """Raises Failed."""

    def finish(self) -> None:
        """What is done after the last step, and whether the recipe did what it is for. Raises Failed."""


def needless(
    job: Job, document: Document, plan: Callable[[Document], Sequence[Step]], deletions: Mapping[str, Document]
) -> list[str]:
    """Run the recipe, and name the deletions with which it runs as well.

    What is done with a deletion is the same up to a step. So the recipe runs once, and before each step those run to
    their end whose next step is another one; then everything is as it was before.
    """
    steps = list(plan(document))
    others: dict[str, list[Step]] = {}
    for name, changed in deletions.items():
        try:
            others[name] = list(plan(changed))
        except (Failed, ValidationError):
            continue
    found = []
    for number in range(len(steps) + 1):
        here = {name: other[number:] for name, other in others.items() if _common(steps, other) == number}
        if here:
            kept = _Kept(job, steps[:number])
            tried: list[list[Step]] = []
            for name, rest in here.items():
                # What is done is the same as with another deletion, which is named if it is needless.
                if rest in tried:
                    continue
                tried.append(rest)
                job.machine.environment["WAIT_S"] = "2"
                try:
                    for step in rest:
                        job.do(step)
                    job.finish()
                except Failed:
                    pass
                else:
                    found.append(name)
                kept.restore()
            kept.remove()
        if number < len(steps):
            job.do(steps[number])
    job.finish()
    return found


def run(job: Job, steps: Sequence[Step]) -> None:
    """Run a recipe. Raises Failed."""
    for step in steps:
        job.do(step)
    job.finish()


def _common(one: Sequence[Step], other: Sequence[Step]) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


class _Kept:
    """How everything was. An embedded stack that runs by then is left as it is: no later step changes its data."""

    def __init__(self, job: Job, done: Sequence[Step]) -> None:
        self.done = done
        self.job, self.machine = job, job.machine
        self.processes, self.stacks = self.machine.processes(), self.machine.stacks()
        self.state, self.path = copy.deepcopy(job.state), list(self.machine.path)
        self.environment, self.printed = dict(self.machine.environment), self.machine.printed
        self.containers, self.filled = list(job.containers.running), job.containers.filled()
        self.files = self.machine.folder.with_name(f"{self.machine.folder.name}-kept")
        self._copy(self.machine.folder, self.files)

    def restore(self) -> None:
        self.machine.end(self.processes)
        for found in self.machine.stacks():
            if found not in self.stacks:
                remove_stack(found)
        self._put_back(self.files, self.machine.folder)
        for name in list(self.job.containers.running):
            if name not in self.containers or not self.filled:
                self.job.containers.running.pop(name).end()
        self.job.state, self.machine.path = copy.deepcopy(self.state), list(self.path)
        self.machine.environment, self.machine.printed = dict(self.environment), self.printed
        if not self.filled:
            # Their data may have been changed.
            for step in self.done:
                if step.kind == "service":
                    self.job.do(step)

    def remove(self) -> None:
        shutil.rmtree(self.files)

    def _copy(self, source: Path, target: Path) -> None:
        def engines(folder: str, names: list[str]) -> list[str]:
            return [name for name in names if Path(folder, name) in self.stacks]

        shutil.copytree(source, target, symlinks=True, ignore=engines, dirs_exist_ok=True)

    def _put_back(self, source: Path, target: Path) -> None:
        """Only what has changed: a program that runs may read the rest at this moment."""
        for entry in target.iterdir():
            before = source / entry.name
            if entry in self.stacks:
                continue
            if entry.is_symlink() or not entry.is_dir():
                if not os.path.lexists(before) or _look(before) != _look(entry):
                    entry.unlink()
            elif not before.is_dir():
                shutil.rmtree(entry)
        for before in source.iterdir():
            entry = target / before.name
            if before.is_dir() and not before.is_symlink():
                entry.mkdir(exist_ok=True)
                self._put_back(before, entry)
            elif not os.path.lexists(entry):
                shutil.copy2(before, entry, follow_symlinks=False)


def _look(path: Path) -> tuple[int, ...] | str:
    found = path.lstat()
    return str(path.readlink()) if path.is_symlink() else (found.st_mode, found.st_size, found.st_mtime_ns)


def remove_stack(home: Path) -> None:
    """Delete an embedded stack, whose programs have ended, with what root keeps elsewhere."""
    import pytest

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRUDDUR_HOME", str(home))
        stack.reset()
    shutil.rmtree(home, ignore_errors=True)


def without(document: Document, *lists: str, mappings: Sequence[str] = ()) -> dict[str, Document]:
    """The document without each entry of the lists, and of the mappings, that have these names, wherever they are.

    A text of several lines in them is a list of lines.
    """
    found: dict[str, Document] = {}
    for path in _places(document, lists, mappings):
        changed = copy.deepcopy(document)
        *way, last = path
        inner = changed
        for key in way:
            inner = inner[key]
        if isinstance(inner, str):
            raise AssertionError(path)
        name = "/".join(map(str, path))
        if isinstance(last, _Line):
            lines = inner[last.key].splitlines()
            name = f"{'/'.join(map(str, way))}/{last.key}: {lines[last.number].strip()}"
            del lines[last.number]
            inner[last.key] = "\n".join(lines) + "\n"
        else:
            del inner[last]
        found[name] = changed
    return found


@dataclass(frozen=True)
class _Line:
    key: str | int
    number: int


def _places(document: Document, lists: Sequence[str], mappings: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    def walk(value: Any, way: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                here = (*way, key)
                if key in mappings and isinstance(inner, dict):
                    yield from ((*here, name) for name in inner)
                if key in lists and isinstance(inner, list):
                    yield from ((*here, number) for number in range(len(inner)))
                if key in lists and isinstance(inner, str) and len(inner.splitlines()) > 1:
                    yield from ((*way, _Line(key, number)) for number in range(len(inner.splitlines())))
                yield from walk(inner, here)
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                if way and way[-1] in lists and isinstance(inner, str) and len(inner.splitlines()) > 1:
                    yield from ((*way, _Line(number, line)) for line in range(len(inner.splitlines())))
                yield from walk(inner, (*way, number))

    return walk(document, ())
