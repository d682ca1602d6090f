"""Change one thing at a time in the modules that decide about data, and list the changes that no test notices.

    python -m tests.mutation.run --seed 1 --count 20 --module capacity.limiter

Each mutant is a copy of the program in which one comparison, condition, number, flag or operator is turned round. The
module's own tests run against it. A mutant that they pass is alive: something that the program does is not tested.
``--seed`` chooses the mutants, the same ones every time. ``--module`` is part of a module's name, and can be repeated;
without it all modules take part in turn. ``--at LINE`` takes every mutant of one line. ``--wide`` runs the tests of the
commands as well against what is still alive. The exit code is 1 when a mutant is alive.

It takes long, so it is no part of ``.ci/run``. CONTRIBUTING.md lists the accepted mutants, with the reasons.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.mutation import mutants

ROOT = Path(__file__).resolve().parents[2]
_NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "*.egg-info")

# The tests of each module, the quickest first; behind them those of the commands that show what it does, for --wide.
# A test file that has the module's own name and place comes before all of them.
_OTHERS: dict[str, tuple[str, str]] = {
    "audit/accepted": ("", "commands/audit"),
    "audit/checks/alarms": ("audit/checks", "commands/audit"),
    "audit/checks/database": ("audit/checks", "commands/audit"),
    "audit/checks/network": ("audit/checks", "commands/audit"),
    "audit/checks/organisation": ("audit/checks", "commands/audit"),
    "audit/checks/security_group": ("audit/checks", "commands/audit"),
    "audit/checks/stream_function": ("audit/checks", "commands/audit"),
    "audit/checks/table": ("audit/checks", "commands/audit"),
    "audit/checks/trail": ("audit/checks", "commands/audit"),
    "audit/checks/user_pool": ("audit/checks", "commands/audit"),
    "aws/group_rules": ("aws/security_group", "commands/rds"),
    "aws/security_group": ("aws/group_rules", "commands/rds"),
    "dynamodb/conversations/group_rows": (
        "conversations/participants conversations/send conversations/seed",
        "ddb/send",
    ),
    "dynamodb/conversations/message_ids": ("conversations/send", "ddb/send"),
    "dynamodb/conversations/model": ("conversations/seed", "ddb/table"),
    "dynamodb/conversations/participants": (
        "conversations/group_rows conversations/send conversations/queries",
        "ddb/send ddb/conversations",
    ),
    "dynamodb/conversations/queries": ("conversations/sent_texts", "ddb/conversations explain"),
    "dynamodb/conversations/seed": ("", "ddb/table shared/people"),
    "dynamodb/conversations/send": ("conversations/sent_texts conversations/transactions", "ddb/send"),
    "dynamodb/conversations/transactions": ("conversations/send", "ddb/send"),
    "dynamodb/capacity/estimate": ("", "shared/capacity_guard ddb_capacity"),
    "dynamodb/capacity/explain": ("commands/explain", ""),
    "dynamodb/capacity/limiter": ("", "commands/limits"),
    "dynamodb/capacity/meter": ("", "ddb_capacity"),
    "dynamodb/capacity/rules": ("capacity/meter", "ddb_capacity"),
    "dynamodb/transfer/anonymized_copy": ("ddb/copy", "shared/capacity_guard"),
    "dynamodb/transfer/attribute_values": ("transfer/formats transfer/importer", ""),
    "dynamodb/transfer/backup_files": ("ddb/backups", "ddb/transfer"),
    "dynamodb/transfer/checkpoints": ("transfer/importer", "ddb/transfer"),
    "dynamodb/transfer/duplicate_keys": ("transfer/checkpoints", "ddb/transfer"),
    "dynamodb/transfer/exporter": ("transfer/importer transfer/checkpoints", "ddb/transfer"),
    "dynamodb/transfer/formats": ("transfer/importer", "ddb/transfer"),
    "dynamodb/transfer/importer": ("transfer/checkpoints", "ddb/transfer"),
    "dynamodb/transfer/input_files": ("transfer/formats transfer/importer transfer/checkpoints", "ddb/transfer"),
    "dynamodb/transfer/s3": ("", "ddb/s3"),
    "dynamodb/transfer/made_up": ("transfer/anonymized_copy", "ddb/copy"),
    "dynamodb/streams/checkpoints": ("streams/reader", "ddb/stream ddb/applying"),
    "dynamodb/streams/processor": ("streams/reader", "ddb/stream ddb/applying"),
    "dynamodb/streams/reader": ("", "ddb/stream ddb/applying"),
    "dynamodb/streams/records": ("streams/processor streams/reader", "ddb/stream ddb/applying"),
    "postgres/migrations/files": ("migrations/runner", "db/migrations"),
    "postgres/migrations/own_runners": ("migrations/python_files", "db/migrations"),
    "postgres/migrations/python_files": ("migrations/stand_ins migrations/own_runners", "db/migrations"),
    "postgres/migrations/runner": ("", "db/migrations"),
    "postgres/migrations/stand_ins": ("migrations/python_files", "db/migrations"),
    "postgres/production_marker": ("", "commands/stamped"),
    "postgres/users": ("shared/people db/database", "cognito ddb/copy"),
    "commands/db/users": ("db/database", "checks/cognito cognito"),
    "commands/shared/confirm": ("", "reset"),
    "commands/shared/connections": ("stamped", "local/command"),
    "commands/shared/expected_schema": ("db/diff", "db/migrations"),
    "commands/shared/targets": ("shared/connections", "local/command"),
    "commands/shared/try_database": ("", "db/diff"),
    "integrity/checks/between": ("integrity/checks", "doctor/examination"),
    "integrity/checks/cognito": ("integrity/checks", "doctor/examination"),
    "integrity/checks/dynamodb": ("integrity/checks", "doctor/examination"),
    "integrity/checks/machine": ("integrity/checks", "doctor/this_machine"),
    "integrity/checks/postgres": ("integrity/checks", "doctor/examination"),
    "integrity/differences": ("", "ddb/diff db/diff doctor/examination"),
    "integrity/names": ("", "doctor/fixes"),
    "integrity/rows": ("", "ddb/diff doctor/examination"),
    "local/frames": ("local/journal local/generations local/damage", "local/kills"),
    "local/generations": ("local/damage", "local/kills"),
    "local/journal": ("local/damage local/emulator", "local/kills"),
    "local/state_files": ("local/damage local/emulator", ""),
    "masking": ("", "commands/leaks"),
    "output/history": ("", "commands/history"),
    "settings": ("unreadable_urls", "shared/targets"),
    "trust": ("", ""),
    "times": ("", "ddb/conversations any_day"),
}


def _test(name: str) -> str:
    """The one file of tests that a name, or the end of its path, stands for."""
    folder, _, module = name.rpartition("/")
    found = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "tests").rglob(f"test_{module}.py"))
        if path.parent.as_posix().endswith(f"/{folder}" if folder else "/commands")
    ]
    if len(found) != 1:
        raise LookupError(f"{name!r} is not one file of tests: {found}")
    return found[0]


def _tests(module: str, own: str, wide: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    folder, _, name = f"tests/{module}".rpartition("/")
    named = f"{folder}/test_{name}.py"
    first = (named,) if (ROOT / named).exists() else ()
    return (*first, *map(_test, own.split())), tuple(map(_test, wide.split()))


TESTS = {f"{module}.py": _tests(module, *names) for module, names in _OTHERS.items()}


@dataclass(frozen=True)
class Result:
    """What became of one mutant: ``dead``, ``alive`` or ``too slow``; and the test that failed."""

    module: str
    mutant: mutants.Mutant
    state: str
    by: str = ""

    def __str__(self) -> str:
        place = f"{self.module}:{self.mutant.line}"
        return f"{self.state:8}  {place}  {self.mutant.before}  ->  {self.mutant.after}" + (
            f"  ({self.by})" if self.by else ""
        )


def choose(modules: list[str], *, seed: int, count: int, at: Sequence[int] = ()) -> list[tuple[str, mutants.Mutant]]:
    """``count`` mutants: one of each module in turn, so that a long one does not take the place of the others."""
    chance = random.Random(seed)
    piles = []
    for module in modules:
        pile = mutants.of((ROOT / "cruddur_cli" / module).read_text(encoding="utf-8"))
        chance.shuffle(pile)
        piles.append([(module, mutant) for mutant in pile if not at or mutant.line in at])
    chance.shuffle(piles)
    chosen: list[tuple[str, mutants.Mutant]] = []
    while any(piles) and len(chosen) < count:
        chosen += [pile.pop() for pile in piles if pile]
    return chosen[:count]


class BrokenTest(Exception):
    """A file of tests fails on the program as it is, so that it says nothing of mutants."""


class Copy:
    """A copy of the checkout in which one module at a time is a mutant."""

    def __init__(self, folder: Path, *, wide: bool, timeout_s: float) -> None:
        self._folder = folder
        self._wide = wide
        self._timeout_s = timeout_s
        self._passed: set[str] = set()
        shutil.copytree(ROOT, folder, ignore=_NOT_COPIED)

    def judge(self, module: str, mutant: mutants.Mutant) -> Result:
        """Run the module's tests against one mutant. Raises BrokenTest when one of them fails without it too."""
        path = self._folder / "cruddur_cli" / module
        original = path.read_text(encoding="utf-8")
        path.write_text(mutant.source(original), encoding="utf-8")
        try:
            own, wide = TESTS[module]
            for test in own + (wide if self._wide else ()):
                state, by = self.test(test)
                if state != "alive":
                    path.write_text(original, encoding="utf-8")
                    self._check(test)
                    return Result(module, mutant, state, by)
            return Result(module, mutant, "alive")
        finally:
            path.write_text(original, encoding="utf-8")

    def _check(self, test: str) -> None:
        """What fails without a mutant has found none; each file of tests that found one is run once to see that."""
        if test in self._passed:
            return
        state, by = self.test(test)
        if state != "alive":
            raise BrokenTest(f"{test} fails without any mutant as well: {by}")
        self._passed.add(test)

    def test(self, test: str) -> tuple[str, str]:
        """Run one file of tests: ``alive`` when it passes, and the first test that does not."""
        process = subprocess.Popen(
            [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--tb=no", test],
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": str(self._folder), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            # The next run of the tests clears away what this one started.
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return "too slow", test
        if process.returncode == 0:
            return "alive", ""
        failed = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return "dead", failed[0].split(" ")[1].rpartition("/")[2] if failed else test


def main() -> int:
    """Judge the chosen mutants; the exit code says whether one is alive."""
    assert __doc__
    parser = argparse.ArgumentParser(
        "python -m tests.mutation.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--module", action="append", default=[])
    parser.add_argument("--at", type=int, metavar="LINE", action="append", default=[])
    parser.add_argument("--wide", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=180, metavar="SECONDS", help="for one file of tests")
    given = parser.parse_args()
    asked = [name.replace(".", "/").removesuffix("/py") for name in given.module]
    modules = [name for name in TESTS if not asked or any(word in name for word in asked)]
    if not modules:
        parser.error(f"no module is called so; there are: {', '.join(TESTS)}")
    chosen = choose(modules, seed=given.seed, count=given.count, at=given.at)
    begin = time.monotonic()
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="cruddur-mutants-") as folder:
        copies = [
            Copy(Path(folder) / str(number), wide=given.wide, timeout_s=given.timeout) for number in range(given.jobs)
        ]

        def work(number: int) -> list[Result]:
            done = []
            for module, mutant in chosen[number :: given.jobs]:
                result = copies[number].judge(module, mutant)
                print(result, flush=True)
                done.append(result)
            return done

        try:
            with ThreadPoolExecutor(given.jobs) as pool:
                results = [result for done in pool.map(work, range(given.jobs)) for result in done]
        except BrokenTest as error:
            sys.exit(f"error: {error}")
    alive = [result for result in results if result.state == "alive"]
    slow = sum(result.state == "too slow" for result in results)
    print(
        f"{len(results)} mutants: {len(results) - len(alive) - slow} dead, {slow} too slow, {len(alive)} alive,"
        f" in {time.monotonic() - begin:.0f} s"
    )
    for result in alive:
        print(result)
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
