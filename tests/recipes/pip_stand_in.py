"""Stands in for pip: installs, into an environment of its own, what the environment of these tests has.

    pip_stand_in.py PREFIX new
    pip_stand_in.py PREFIX install [--quiet] [-r FILE] [REQUIREMENT | FOLDER]...

It links the files of the named distributions and of what they require, with the extras that are named and no others. It
reads no network. The folder that pip keeps its cache in gets a file for each distribution.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_LAUNCHER = """\
#!{python}
import sys
from {module} import {function}
sys.exit({function}())
"""
_PYTHON = """\
#!/bin/sh
if [ "$1 $2" = "-m pip" ]; then shift 2; exec {pip} "$@"; fi
if [ "$1 $2" = "-m venv" ]; then exec {stand_in} "$3" new; fi
exec {python} "$@"
"""


def create(prefix: Path) -> None:
    """An empty environment: its own python, and this file as its pip."""
    programs = prefix / "bin"
    programs.mkdir(parents=True)
    base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    (prefix / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
    (programs / ".python").symlink_to(base)
    _packages(prefix).mkdir(parents=True)
    stand_in = f"{sys.executable} {Path(__file__)}"
    pip = f"{stand_in} {prefix}"
    names = {"pip": f'#!/bin/sh\nexec {pip} "$@"\n'}
    for name in ("python", "python3"):
        names[name] = _PYTHON.format(pip=pip, stand_in=stand_in, python=programs / ".python")
    for name, text in names.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)


def _packages(prefix: Path) -> Path:
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(prefix), "platbase": str(prefix)}))


def install(prefix: Path, arguments: list[str]) -> None:
    """Install what a command line of pip names."""
    cache = Path(os.environ.get("PIP_CACHE_DIR") or Path.home() / ".cache" / "pip")
    cache.mkdir(parents=True, exist_ok=True)
    done: set[tuple[str, str]] = set()
    for requirement in _named(arguments):
        _install(prefix, cache, requirement, done)


def _named(arguments: list[str]) -> Iterator[Requirement]:
    rest = [each for each in arguments if each not in ("-q", "--quiet")]
    while rest:
        argument = rest.pop(0)
        if argument == "-r":
            path = Path(rest.pop(0))
            if not path.exists():
                sys.exit(f"ERROR: Could not open requirements file: {path}")
            lines = path.read_text().splitlines()
            yield from map(_requirement, filter(None, (line.partition("#")[0].strip() for line in lines)))
        elif argument.startswith("-"):
            sys.exit(f"ERROR: the stand-in for pip does not know {argument}")
        else:
            yield _requirement(argument)


def _requirement(text: str) -> Requirement:
    if found := re.fullmatch(r"(\.{0,2}/[^\[]*|\.)(\[[\w,]+\])?", text):
        project = Path(found[1], "pyproject.toml")
        if not project.exists():
            sys.exit(f"ERROR: {text} is not a Python project")
        return Requirement(tomllib.loads(project.read_text())["project"]["name"] + (found[2] or ""))
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        sys.exit(f"ERROR: Invalid requirement: {error}")
    if requirement.url and not re.fullmatch(r"git\+https://[\w.-]+(/[\w.-]+)+(@[\w.-]+)?", requirement.url):
        sys.exit(f"ERROR: not the URL of a git repository: {requirement.url}")
    if canonicalize_name(requirement.name) == "cruddur" and not requirement.url:
        sys.exit("ERROR: cruddur is in no package index: name its folder or its git URL")
    return requirement


def _install(prefix: Path, cache: Path, requirement: Requirement, done: set[tuple[str, str]]) -> None:
    name = canonicalize_name(requirement.name)
    for extra in ("", *sorted(requirement.extras)):
        if (name, extra) in done:
            continue
        done.add((name, extra))
        found = metadata.distribution(name)
        if extra and extra not in (found.metadata.get_all("Provides-Extra") or []):
            print(f"WARNING: {name} does not provide the extra '{extra}'")
        if not extra:
            print(f"{'Using cached' if (cache / name).exists() else 'Downloading'} {name}")
            (cache / name).touch()
            _link(prefix, found)
        for text in found.requires or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                _install(prefix, cache, needed, done)


def _link(prefix: Path, found: metadata.Distribution) -> None:
    packages = _packages(prefix)
    for top in {file.parts[0] for file in found.files or [] if file.parts[0] not in ("..", "__pycache__")}:
        target = packages / top
        if not target.is_symlink():
            target.symlink_to(Path(str(found.locate_file(top))))
    for entry in found.entry_points:
        if entry.group == "console_scripts":
            launcher = prefix / "bin" / entry.name
            text = _LAUNCHER.format(python=prefix / "bin" / ".python", module=entry.module, function=entry.attr)
            launcher.write_text(text)
            launcher.chmod(0o755)


if __name__ == "__main__":
    _prefix, _command, *_arguments = sys.argv[1:]
    if _command == "new":
        create(Path(_prefix).absolute())
    elif _command == "install":
        install(Path(_prefix), _arguments)
    else:
        sys.exit(f"ERROR: the stand-in for pip does not know {_command}")
