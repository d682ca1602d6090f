"""A machine on which a recipe runs: an address, a HOME and a PATH of its own, and what its image has installed.

Its address is one of the loopback network, so that each port is the one that the recipe names. Wherever the recipe
says ``localhost``, it gets that address.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import clock, runs

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "workspaces"
APPLICATION = ROOT / "examples" / "testing-your-app"
NOWHERE = "http://127.0.0.1:9"
# What every image has. There is no python, no pip and no cruddur among them.
TOOLS = ("bash", "sh", "cat", "chmod", "cp", "dirname", "env", "ls", "mkdir", "rm", "sed", "sleep", "touch", "true")
_numbers = itertools.count(1)


class Failed(AssertionError):
    """A recipe fails: which step, and what it printed."""


class Unknown(AssertionError):
    """A recipe has something that these stand-ins do not know."""


def known(found: Mapping[str, object], names: Iterable[str], where: str) -> None:
    """Raise Unknown for the keys of ``found`` that are not in ``names``."""
    if others := sorted(set(map(str, found)) - set(names)):
        raise Unknown(f"{where}: {', '.join(others)}")


def _line(pid: int) -> Iterator[int]:
    """A process, the one that started it, and so on."""
    with suppress(OSError):
        while pid > 1:
            yield pid
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def address() -> str:
    """An address on the loopback network that no other machine of these tests has."""
    number = next(_numbers)
    return f"127.{1 + os.getpid() // 250 % 250}.{1 + os.getpid() % 250}.{1 + number % 250}"


@dataclass
class Machine:
    """One machine; ``places`` are the folders of its image that are mounted from elsewhere, by their path there."""

    folder: Path
    address: str = field(default_factory=address)
    hosts: dict[str, str] = field(default_factory=dict)
    places: dict[str, Path] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    printed: str = ""
    user: int | None = None  # who runs everything on it; None is who runs the tests

    def __post_init__(self) -> None:
        for place in (self.home, self.folder / "tmp", self.folder / "bin"):
            place.mkdir(parents=True)
        self.install(*TOOLS)

    @property
    def home(self) -> Path:
        """HOME, empty at first."""
        return self.folder / "home"

    @property
    def hasty(self) -> bool:
        """Whether nothing waits long on it: with a part of the recipe deleted, most waiting is in vain."""
        return "WAIT_S" in self.environment

    def install(self, *tools: str | Path) -> None:
        """Put programs of this computer on its PATH."""
        for tool in tools:
            found = shutil.which(tool)
            assert found is not None, f"the tests of the recipes need {tool}"
            (self.folder / "bin" / Path(tool).name).symlink_to(found)

    def python(self, folder: Path | None = None) -> Path:
        """An empty environment of Python on it; where its programs are."""
        made = folder or self.folder / "python"
        subprocess.run([sys.executable, str(Path(__file__).with_name("pip_stand_in.py")), str(made), "new"], check=True)
        return made / "bin"

    def local(self, text: str) -> str:
        """A text of the recipe as it is true here: addresses and folders."""
        if self.hasty:
            text = re.sub(r"--wait \d+", "--wait 1", text)
        text = re.sub(r"(?<![\w.])(?:127\.0\.0\.1|0\.0\.0\.0|localhost)\b(?!\.)", self.address, text)
        for host, where in self.hosts.items():
            # Not a user of the same name, who is followed by a password and an @.
            text = re.sub(rf"(?<=[@/]){re.escape(host)}(?=[:/]|$)(?![^/\s]*@)", where, text)
        for place, where_it_is in self.places.items():
            text = re.sub(rf"(?<![\w/.-]){re.escape(place)}(?![\w.-])", str(where_it_is), text)
        return text

    def localized(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Variables of the recipe as they are true here."""
        return {name: self.local(value) for name, value in variables.items()}

    def variables(self, more: Mapping[str, str]) -> dict[str, str]:
        """The environment of a process on it."""
        addresses = ["127.0.0.1", "localhost", self.address, *self.hosts.values()]
        return {
            "HOME": str(self.home),
            "PATH": os.pathsep.join([*self.path, str(self.folder / "bin")]),
            "TMPDIR": str(self.folder / "tmp"),
            "LC_ALL": "C.UTF-8",
            # What `localhost` is where a program has it as its default.
            "FLASK_RUN_HOST": self.address,
            "CRUDDUR_LOCAL_DYNAMODB": f"http://{self.address}:8000",
            # No way off this computer.
            "HTTP_PROXY": NOWHERE,
            "HTTPS_PROXY": NOWHERE,
            "NO_PROXY": ",".join(addresses),
            "AWS_EC2_METADATA_DISABLED": "true",
            "CRUDDUR_ADDRESS_SERVICES": f"{NOWHERE},http://localhost:9",
            **clock.environment(),
            **self.environment,
            **more,
        }

    def run(
        self, name: str, command: Sequence[str], *, folder: Path, env: Mapping[str, str], timeout_s: float = 120
    ) -> str:
        """What a command printed, once it has ended well. Raises Failed."""
        log = self.folder / "tmp" / "printed"
        other: dict[str, Any] = {}
        if self.user is not None:
            other = {"user": self.user, "group": self.user, "extra_groups": []}
            self.own()
        with log.open("wb") as printed:
            try:
                process = subprocess.Popen(
                    [self.local(part) for part in command],
                    cwd=folder,
                    env=self.variables(env),
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    **other,
                )
            except OSError as error:
                raise Failed(f"{name}: {error}") from error
            try:
                code: int | str = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                code = f"none within {timeout_s} s"
        text = log.read_text(encoding="utf-8", errors="replace")
        self.printed += text
        if code != 0:
            raise Failed(f"{name}: exit code {code}\n{text}")
        return text

    def own(self) -> None:
        """Give all its files to its user, also those that the tests have put there."""
        assert self.user is not None
        for folder, _, names in os.walk(self.folder):
            for path in (Path(folder), *(Path(folder, name) for name in names)):
                os.chown(path, self.user, self.user, follow_symlinks=False)

    def processes(self) -> set[int]:
        """What runs on it."""
        return {pid for pid, _ in runs.processes(self.folder)}

    def end(self, kept: Iterable[int] = ()) -> None:
        """Kill what runs on it, as switching it off does; all but ``kept`` and what these have started."""
        deadline = time.monotonic() + 20
        staying = set(kept)
        while found := {pid: name for pid, name in runs.processes(self.folder) if not staying & set(_line(pid))}:
            assert time.monotonic() < deadline, found
            for pid, program in found.items():
                with suppress(ProcessLookupError):
                    # PostgreSQL's immediate stop: its children end as well.
                    os.kill(pid, signal.SIGQUIT if program.endswith("postgres") else signal.SIGKILL)
            time.sleep(0.02)

    def stacks(self) -> list[Path]:
        """The folders of embedded stacks on it."""
        return sorted({found.parent.parent for found in self.folder.rglob("alive")})

    def remove(self) -> None:
        """Switch it off, and delete its files with what an embedded stack of root keeps elsewhere."""
        self.end()
        runs.remove(self.folder)
