"""How quickly many items are written and read, against what, in one run:

    python benchmarks/transfer.py [--items N] [--large N] [--json FILE]

Every figure is of whole processes, start-up included, that run alternately on the same engine: DynamoDB Local where
TEST_DYNAMODB_LOCAL names one (an empty one of its own is best), else the embedded one. Peak memory is the process's
own resident set, as the system accounts for it. The AWS CLI is measured where `aws` is to be found, or AWS_CLI says.
Exit code 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))
from run import CRUDDUR, workplace

PEER = (sys.executable, str(Path(__file__).with_name("bare_transfer.py")))
WIDTHS = (4, 8, 16)


@dataclass(frozen=True)
class Took:
    """What one process took: seconds, and the most memory that it had, in MB."""

    wall_s: float
    peak_mb: float


@dataclass(frozen=True)
class Ratio:
    """One figure against another; ``bar`` is what the ratio must reach, or with ``at_most`` must not pass."""

    what: str
    ours: float
    against: str
    theirs: float
    unit: str
    bar: float
    at_most: bool = False

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs

    @property
    def is_met(self) -> bool:
        return self.ratio <= self.bar if self.at_most else self.ratio >= self.bar


def run(command: Sequence[str], env: Mapping[str, str], folder: str) -> Took:
    """Run a command, which has to succeed."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"exit code {process.returncode} from {' '.join(command)}\n{errors.read().decode()}")
    return Took(wall_s, usage.ru_maxrss / 1024)


def middle(found: Sequence[Took]) -> Took:
    """The median of each figure."""
    return Took(median(each.wall_s for each in found), median(each.peak_mb for each in found))


@contextmanager
def engine() -> Iterator[tuple[str, dict[str, str], str]]:
    """The engine's name, an environment in which commands find it, and a folder for files."""
    with workplace() as (clean, folder):
        other = os.environ.get("TEST_DYNAMODB_LOCAL")
        env = {**clean, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_REGION": "us-east-1"}
        up = [*CRUDDUR, "db", "setup"] if other else [*CRUDDUR, "setup"]
        run(up, env, folder)
        if not other:
            status = subprocess.run(
                [*CRUDDUR, "local", "status", "-o", "json"], env=env, cwd=folder, capture_output=True, check=True
            )
            other = {each["name"]: each["endpoint"] for each in json.loads(status.stdout)["items"]}["aws"]
        name = "DynamoDB Local" if os.environ.get("TEST_DYNAMODB_LOCAL") else "embedded"
        yield name, {**env, "AWS_ENDPOINT_URL_DYNAMODB": other}, folder


@contextmanager
def table(env: Mapping[str, str], folder: str) -> Iterator[dict[str, str]]:
    """The environment with an empty table of its own."""
    own = {**env, "DDB_MESSAGE_TABLE": f"benchmark-{uuid.uuid4().hex[:8]}"}
    run([*CRUDDUR, "ddb", "schema-load"], own, folder)
    try:
        yield own
    finally:
        run([*CRUDDUR, "ddb", "drop", "--yes"], own, folder)


def written(command: Sequence[str], env: Mapping[str, str], folder: str) -> Took:
    """What it takes a command to fill an empty table."""
    with table(env, folder) as own:
        return run(command, own, folder)


def seeding(env: Mapping[str, str], folder: str, *, count: int, runs: int) -> Iterator[Ratio]:
    """``ddb seed`` against single puts, and against the best width of a bare loop of batches."""
    seed = partial(written, [*CRUDDUR, "ddb", "seed", "--messages", str(count)], env, folder)
    single = max(count // 10, 100)
    puts = partial(written, [*PEER, "puts", str(single), "1"], env, folder)
    batches = {width: partial(written, [*PEER, "batches", str(count), str(width)], env, folder) for width in WIDTHS}
    seed()  # the engine compiles what it runs often
    ours, slow = [], []
    bare: dict[int, list[Took]] = {width: [] for width in WIDTHS}
    for _ in range(runs):
        ours.append(seed())
        slow.append(puts())
        for width, peer in batches.items():
            bare[width].append(peer())
    rate = count / middle(ours).wall_s
    yield Ratio(f"`seed --messages {count}`", rate, "single puts", single / middle(slow).wall_s, "items/s", 12)
    best = min(bare, key=lambda width: middle(bare[width]).wall_s)
    theirs = count / middle(bare[best]).wall_s
    yield Ratio(f"`seed --messages {count}`", rate, f"bare batches, width {best} (best)", theirs, "items/s", 0.95)


def write_units(env: Mapping[str, str], folder: str, *, count: int) -> Ratio:
    """The write units of seeding against one for each KB begun of each item, the index included."""
    with table(env, folder) as own:
        done = subprocess.run(
            [*CRUDDUR, "ddb", "seed", "--messages", str(count), "-o", "json"],
            env=own, cwd=folder, capture_output=True, check=True,
        )  # fmt: skip
    # Each message is one unit, as the index does not hold it. The two group rows go in one transaction, under a claim
    # whose put is one: two each, as much in the index, and two each for the check of the claim and for its end.
    least = count + 1 + 2 * (2 + 2) + 2 + 2
    units = json.loads(done.stdout)["consumed_capacity"]["write_units"]
    return Ratio(f"`seed --messages {count}`", units, "the least there can be", least, "WCU", 1.0, at_most=True)


def reading(env: Mapping[str, str], folder: str, *, count: int, runs: int, aws: str | None) -> Iterator[Ratio]:
    """``ddb scan -o jsonl`` and ``ddb export`` of a full table, against a bare parallel loop and the AWS CLI."""
    with table(env, folder) as own:
        run([*CRUDDUR, "ddb", "seed", "--messages", str(count)], own, folder)
        spread = "64" if os.environ.get("TEST_DYNAMODB_LOCAL") else "1"
        commands = {
            "scan": [*CRUDDUR, "ddb", "scan", "-o", "jsonl"],
            "export": [*CRUDDUR, "ddb", "export", "out.jsonl"],
            **{f"bare {width}": [*PEER, "scan", spread, str(width)] for width in WIDTHS},
            # What somebody would write without the knowledge of how the engine walks its segments.
            **{f"plain {width}": [*PEER, "scan", str(width), str(width)] for width in WIDTHS},
        }
        found: dict[str, list[Took]] = {name: [] for name in commands}
        for _ in range(runs):
            for name, command in commands.items():
                found[name].append(run(command, own, folder))
        if aws:
            endpoint = own["AWS_ENDPOINT_URL_DYNAMODB"]
            scan = [aws, "dynamodb", "scan", "--table-name", own["DDB_MESSAGE_TABLE"], "--endpoint-url", endpoint]
            found["aws"] = [run([*scan, "--output", "json"], {**own, "AWS_DEFAULT_REGION": "us-east-1"}, folder)]
    rates = {name: count / middle(each).wall_s for name, each in found.items()}
    for kind, label in (("bare", f"bare loop, {spread} segments"), ("plain", "bare loop, a segment a thread")):
        best = max((name for name in rates if name.startswith(kind)), key=lambda name: rates[name])
        for ours in ("scan", "export"):
            what = f"`{ours}` of {count:,}"
            yield Ratio(what, rates[ours], f"{label}, width {best.split()[1]} (best)", rates[best], "items/s", 0.95)
    for ours in ("scan", "export") if "aws" in rates else ():
        yield Ratio(f"`{ours}` of {count:,}", rates[ours], "`aws dynamodb scan`", rates["aws"], "items/s", 2)


def memory(env: Mapping[str, str], folder: str, *, small: int, large: int) -> Iterator[Ratio]:
    """Peak memory of each command on a large table, against that on a small one."""
    peaks: dict[str, list[float]] = {}
    for count in (small, large):
        with table(env, folder) as own, table(env, folder) as other:
            into = {**own, "DDB_MESSAGE_TABLE": other["DDB_MESSAGE_TABLE"]}
            for name, command, where in (
                ("seed", ["seed", "--messages", str(count)], own),
                ("scan -o jsonl", ["scan", "-o", "jsonl"], own),
                ("export", ["export", "memory.jsonl.gz"], own),
                ("import", ["import", "memory.jsonl.gz"], into),
                ("import again", ["import", "memory.jsonl.gz"], into),
            ):
                peaks.setdefault(name, []).append(run([*CRUDDUR, "ddb", *command], where, folder).peak_mb)
    for name, (before, after) in peaks.items():
        yield Ratio(f"`{name}`, {large:,} items", after, f"{small:,} items", before, "MB peak", 1.2, at_most=True)


def report(ratios: Sequence[Ratio]) -> str:
    """The ratios as a table in Markdown."""
    lines = ["| what | ours | against | theirs | unit | ratio | bar |", "|---|--:|---|--:|---|--:|---|"]
    for each in ratios:
        bar = f"{'≤' if each.at_most else '≥'} {each.bar:g}: {'met' if each.is_met else 'MISSED'}"
        lines.append(
            f"| {each.what} | {each.ours:,.0f} | {each.against} | {each.theirs:,.0f} | {each.unit}"
            f" | {each.ratio:.2f} | {bar} |"
        )
    return "\n".join(lines)


def aws_cli(folder: str) -> str | None:
    """The AWS CLI that works here, from AWS_CLI or the path."""
    found = os.environ.get("AWS_CLI") or shutil.which("aws")
    if found is None:
        return None
    done = subprocess.run([found, "--version"], cwd=folder, capture_output=True, check=False)
    return found if done.returncode == 0 else None


def main() -> int:
    """The command."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--seeds", type=int, default=10_000, help="how many messages are seeded")
    options.add_argument("--items", type=int, default=100_000, help="how many items are scanned and exported")
    options.add_argument("--large", type=int, default=200_000, help="how many items peak memory is measured with")
    options.add_argument("--runs", type=int, default=3, help="how often each command runs; medians count")
    options.add_argument("--json", type=Path, help="write the figures to this file too")
    given = options.parse_args()
    with engine() as (name, env, folder):
        aws = aws_cli(folder)
        machine = f"{name}, Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores"
        print(machine + ("" if aws else ", no AWS CLI here"), flush=True)
        ratios: list[Ratio] = []
        for part in (
            seeding(env, folder, count=given.seeds, runs=given.runs),
            iter([write_units(env, folder, count=given.seeds)]),
            reading(env, folder, count=given.items, runs=given.runs, aws=aws),
            memory(env, folder, small=10_000, large=given.large),
        ):
            for ratio in part:
                ratios.append(ratio)
                print(report([ratio]).splitlines()[-1], file=sys.stderr, flush=True)
    print("\n" + report(ratios))
    if given.json:
        figures = [{**asdict(each), "ratio": each.ratio, "is_met": each.is_met} for each in ratios]
        given.json.write_text(json.dumps({"machine": machine, "ratios": figures}, indent=2) + "\n", encoding="utf-8")
    return 0 if all(each.is_met for each in ratios) else 1


if __name__ == "__main__":
    sys.exit(main())
