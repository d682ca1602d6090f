"""What is measured against what, in one run:  python benchmarks/run.py [--runs N] [--json FILE]

A process is measured as the system accounts for it: CPU is user and system time, wall is from start to end. Figures are
medians, and what is compared runs alternately, so that whatever else the machine does hits both. The embedded stack is
a new one and is deleted afterwards; with TEST_DYNAMODB_LOCAL, reading is also measured on DynamoDB Local. Exit code 1
when a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from statistics import median

CRUDDUR = (sys.executable, "-m", "cruddur_cli")
BARE = (sys.executable, str(Path(__file__).with_name("bare.py")))
NOTHING = (sys.executable, "-c", "pass")
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Cost:
    """What one process took, in milliseconds."""

    cpu_ms: float
    wall_ms: float


@dataclass(frozen=True)
class Comparison:
    """Two medians and how they compare; ``bar`` is the ratio that must not be passed, of the figure that it names."""

    what: str
    against: str
    ours: Cost
    theirs: Cost
    bar: float | None = None
    figure: str = "cpu_ms"

    @property
    def ratio(self) -> float:
        """Ours by theirs, for the figure that counts."""
        return float(getattr(self.ours, self.figure) / getattr(self.theirs, self.figure))

    @property
    def is_met(self) -> bool:
        return self.bar is None or self.ratio <= self.bar


def cost(command: Sequence[str], env: Mapping[str, str], folder: str) -> Cost:
    """What it takes to run a command, which has to succeed."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_ms = (time.perf_counter() - began) * 1000
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"exit code {process.returncode} from {' '.join(command)}\n{errors.read().decode()}")
    return Cost((usage.ru_utime + usage.ru_stime) * 1000, wall_ms)


def middle(costs: Sequence[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(median(each.cpu_ms for each in costs), median(each.wall_ms for each in costs))


def alternate(ours: Callable[[], Cost], theirs: Callable[[], Cost], *, runs: int) -> tuple[Cost, Cost]:
    """The medians of two that take turns, after one run of each that does not count."""
    pairs = [(ours(), theirs()) for _ in range(runs + 1)][1:]
    return middle([pair[0] for pair in pairs]), middle([pair[1] for pair in pairs])


@contextmanager
def workplace() -> Iterator[tuple[dict[str, str], str]]:
    """An environment without anybody's settings, and an empty folder; a stack started there goes at the end."""
    with tempfile.TemporaryDirectory(prefix="cruddur-benchmark-") as folder:
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": folder,
            "CRUDDUR_HOME": f"{folder}/stack",
            "CRUDDUR_LOCAL_DYNAMODB": NOWHERE,
            "AWS_EC2_METADATA_DISABLED": "true",
            "LC_ALL": "C.UTF-8",
            "DDB_MESSAGE_TABLE": "cruddur-messages",
        }
        try:
            yield env, folder
        finally:
            cost([*CRUDDUR, "local", "reset", "--yes"], env, folder)


def starting(runs: int) -> Iterator[Comparison]:
    """What it takes until a person sees help, against an interpreter that does nothing."""
    with workplace() as (env, folder):
        for option in ("--version", "--help"):
            ours, theirs = alternate(
                partial(cost, [*CRUDDUR, option], env, folder), partial(cost, NOTHING, env, folder), runs=runs
            )
            yield Comparison(f"`cruddur {option}`", "`python -c pass`", ours, theirs)


def setting_up(runs: int) -> Comparison:
    """A second ``cruddur setup`` against the first one on a machine without any state."""
    first, second = [], []
    for _ in range(runs):
        with workplace() as (env, folder):
            first.append(cost([*CRUDDUR, "setup"], env, folder))
            second.append(cost([*CRUDDUR, "setup"], env, folder))
    return Comparison("`cruddur setup` again", "the first one", middle(second), middle(first), 1 / 3, "wall_ms")


def reading(runs: int) -> Iterator[Comparison]:
    """Reading a conversation as JSON, against a bare boto3 script that makes the same query."""
    with workplace() as (env, folder):
        cost([*CRUDDUR, "setup"], env, folder)
        status = subprocess.run(
            [*CRUDDUR, "local", "status", "-o", "json"], env=env, stdout=subprocess.PIPE, text=True, check=True
        )
        engines = {engine["name"]: engine["endpoint"] for engine in json.loads(status.stdout)["items"]}
        named = {**env, "AWS_ENDPOINT_URL_DYNAMODB": engines["aws"]}
        # Without a name cruddur finds the engine by itself; the bare script has to be told.
        yield _read("embedded", env, named, folder, runs)
        yield _read("embedded, endpoint named", named, named, folder, runs)
        other = os.environ.get("TEST_DYNAMODB_LOCAL")
        if other:
            table = f"benchmark-{uuid.uuid4().hex[:8]}"
            local = {**env, "AWS_ENDPOINT_URL_DYNAMODB": other, "DDB_MESSAGE_TABLE": table}
            cost([*CRUDDUR, "ddb", "setup"], local, folder)
            try:
                yield _read("DynamoDB Local", local, local, folder, runs)
            finally:
                cost([*CRUDDUR, "ddb", "drop", "--yes"], local, folder)


def _read(where: str, ours: Mapping[str, str], theirs: Mapping[str, str], folder: str, runs: int) -> Comparison:
    read = [*CRUDDUR, "ddb", "get-conversation", "-o", "json"]
    costs = alternate(partial(cost, read, ours, folder), partial(cost, BARE, theirs, folder), runs=runs)
    return Comparison(f"`get-conversation -o json`, {where}", "bare boto3", *costs, bar=1.15)


def report(comparisons: Sequence[Comparison]) -> str:
    """The comparisons as a table in Markdown."""
    lines = [
        "| what | CPU ms | wall ms | against | CPU ms | wall ms | ratio | bar |",
        "|---|--:|--:|---|--:|--:|--:|---|",
    ]
    for each in comparisons:
        figure = each.figure.removesuffix("_ms")
        bar = "–" if each.bar is None else f"{figure} ≤ {each.bar:.2f}: {'met' if each.is_met else 'MISSED'}"
        lines.append(
            f"| {each.what} | {each.ours.cpu_ms:.0f} | {each.ours.wall_ms:.0f} | {each.against} "
            f"| {each.theirs.cpu_ms:.0f} | {each.theirs.wall_ms:.0f} | {each.ratio:.2f} | {bar} |"
        )
    return "\n".join(lines)


def main() -> int:
    """The command."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--runs", type=int, default=25, help="how often each of two commands runs")
    options.add_argument("--setups", type=int, default=5, help="how often a first and a second set-up run")
    options.add_argument("--json", type=Path, help="write the figures to this file too")
    given = options.parse_args()
    versions = {name: metadata.version(name) for name in ("cruddur", "boto3", "typer", "psycopg")}
    machine = f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores"
    print(f"{machine}, {', '.join(f'{name} {version}' for name, version in versions.items())}\n", flush=True)
    comparisons = [*starting(given.runs), *reading(given.runs), setting_up(given.setups)]
    print(report(comparisons))
    if given.json:
        figures = [{**asdict(each), "ratio": each.ratio, "is_met": each.is_met} for each in comparisons]
        body = {"machine": machine, "versions": versions, "comparisons": figures}
        given.json.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    return 0 if all(each.is_met for each in comparisons) else 1


if __name__ == "__main__":
    sys.exit(main())
