"""Measures short commands, whose time is mostly the start of the program."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

from measure import CRUDDUR, Cost, Target, alternate
from results import Ratio
from targets import dynamodb_local, endpoints, stack, table

from cruddur_cli.cli import tree

_NOTHING = (sys.executable, "-c", "pass")
_PACKAGES = {"typer", "rich", "botocore", "urllib3", "dateutil", "psycopg", "psycopg_binary", "cruddur_cli"}
_QUERY = (sys.executable, str(Path(__file__).parent / "peers" / "query.py"))


def help_pages(runs: int) -> Iterator[Ratio]:
    """The time of ``--help`` and ``--version`` against an interpreter that does nothing."""
    with stack() as target:
        help_, version, nothing = alternate(
            partial(target.cruddur, "--help"), partial(target.cruddur, "--version"), partial(target.run, *_NOTHING),
            runs=runs,
        )  # fmt: skip
    against = "`python -c pass`"
    yield Ratio("`cruddur --help`", help_.wall_ms, against, nothing.wall_ms, "ms", 12)
    yield Ratio("`cruddur --version`", version.wall_ms, against, nothing.wall_ms, "ms", 6)


def slowest_page(runs: int) -> Iterator[Ratio]:
    """The time of the slowest page of help, of all commands and groups, against an interpreter that does nothing."""
    with stack() as target:
        pages = [[*words, "--help"] for words in (*(name.split() for name in tree.GROUPS), *tree.paths())]
        took = alternate(*(partial(target.cruddur, *page) for page in pages), runs=min(runs, 3))
        slowest = max(zip(took, pages, strict=True), key=lambda each: each[0].cpu_ms)[1]
        page, nothing = alternate(partial(target.cruddur, *slowest), partial(target.run, *_NOTHING), runs=runs)
    name = f"`cruddur {' '.join(slowest)}`, the slowest help page"
    yield Ratio(name, page.wall_ms, "`python -c pass`", nothing.wall_ms, "ms", 12)


def completion(runs: int) -> Iterator[Ratio]:
    """The time of a completion after Tab, for values from a running store, against a limit."""
    with stack() as target:
        target.cruddur("setup")
        for what, line in (
            ("handles", "cruddur ddb list-conversations "),
            ("conversations", "cruddur ddb get-conversation "),
            ("tables", "cruddur ddb scan --table "),
        ):
            words = str(len(line.split()))
            asking = target.having(_CRUDDUR_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=words)
            if not asking.printed(*CRUDDUR):
                raise SystemExit(f"no {what} are completed")
            (took,) = alternate(asking.cruddur, runs=runs)
            yield Ratio(f"Tab completion of {what}", took.wall_ms, "the accepted time", 300, "ms", 1.0)


def shares(runs: int) -> dict[str, dict[str, float]]:
    """How a command's time divides into imports by package and the ``rest``, in milliseconds, by command.

    Python itself reports the time of imports, which makes the command a little slower.
    """
    with stack() as target:
        target.cruddur("setup")
        lines = {
            "--help": ["--help"],
            "ddb get-conversation -o json": ["ddb", "get-conversation", "-o", "json"],
            "db ping": ["db", "ping"],
        }
        return {name: _shares(target, line, runs) for name, line in lines.items()}


def _shares(target: Target, line: list[str], runs: int) -> dict[str, float]:
    runs_by_package: list[Counter[str]] = []
    for _ in range(runs):
        log = f"{target.folder}/imports"
        command = [sys.executable, "-X", "importtime", "-m", "cruddur_cli", *line]
        cost = target.run("/bin/sh", "-c", f'"$@" 2>{log}', "sh", *command)
        each: Counter[str] = Counter()
        for row in Path(log).read_text(encoding="utf-8").splitlines():
            own, _, name = row.removeprefix("import time:").rpartition("|")
            if own.partition("|")[0].strip().isdigit():
                package = name.strip().partition(".")[0]
                each[package if package in _PACKAGES else "the standard library"] += int(own.partition("|")[0])
        each["rest"] = max(0, round(cost.wall_ms * 1000) - each.total())
        runs_by_package.append(each)
    return {name: median(each[name] for each in runs_by_package) / 1000 for name in runs_by_package[0]}


def setting_up(runs: int) -> Iterator[Ratio]:
    """The time of a second ``cruddur setup`` against the first one on a machine without any state."""
    first: list[Cost] = []
    second: list[Cost] = []
    for _ in range(runs):
        with stack() as target:
            first.append(target.cruddur("setup"))
            second.append(target.cruddur("setup"))
    again, once = (median(cost.wall_ms for cost in costs) for costs in (second, first))
    yield Ratio("`cruddur setup`, second run", again, "first run", once, "ms", 1 / 3)
    yield from _setting_up_a_checkout(runs)


_MIGRATION = """class Migration:
    def migrate_sql():
        return "CREATE TABLE more_{0} (id int);"
    def rollback_sql():
        return "DROP TABLE more_{0};"

migration = Migration
"""


def _setting_up_a_checkout(runs: int) -> Iterator[Ratio]:
    """The same comparison in a checkout with five migrations."""
    first: list[Cost] = []
    second: list[Cost] = []
    for _ in range(runs):
        with stack() as target:
            folder = Path(target.folder) / "backend-flask" / "db" / "migrations"
            folder.mkdir(parents=True)
            for number in range(5):
                (folder / f"1681152861290431{number}_more.py").write_text(_MIGRATION.format(number), encoding="utf-8")
            first.append(target.cruddur("setup"))
            second.append(target.cruddur("setup"))
    again, once = (median(cost.wall_ms for cost in costs) for costs in (second, first))
    yield Ratio("`cruddur setup` with five migrations, second run", again, "first run", once, "ms", 0.3)


_TESTS = """import pytest

@pytest.mark.parametrize("number", range({count}))
def test_one(number, {fixture}):
    pass
"""
_TABLES = 100
_PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")


def plugin(runs: int) -> Iterator[Ratio]:
    """The extra time of a test with its own empty table, compared with the engines alone, against a limit."""
    with stack() as target:
        target.cruddur("setup")
        commands = []
        for fixture in ("cruddur_stores", "cruddur_table"):
            file = Path(target.folder) / f"test_{fixture}.py"
            file.write_text(_TESTS.format(count=_TABLES, fixture=fixture), encoding="utf-8")
            commands.append(partial(target.run, *_PYTEST, file.name))
        without, with_ = alternate(*commands, runs=runs)
    each = (with_.wall_ms - without.wall_ms) / _TABLES
    yield Ratio("fixture `cruddur_table`, per test", each, "the accepted time", 20, "ms", 1.0)


def conversations(runs: int) -> Iterator[Ratio]:
    """The time to read a conversation against a plain boto3 script with the same query."""
    with stack() as target:
        target.cruddur("setup")
        named = target.having(AWS_ENDPOINT_URL_DYNAMODB=endpoints(target)["aws"])
        yield from _read("embedded engine", named, runs)
        other = dynamodb_local()
        if other is None:
            return
        with table(target.having(AWS_ENDPOINT_URL_DYNAMODB=other)) as local:
            local.cruddur("ddb", "seed")
            yield from _read("DynamoDB Local", local, runs)


def _read(where: str, target: Target, runs: int) -> Iterator[Ratio]:
    read = partial(target.cruddur, "ddb", "get-conversation")
    as_json, drawn, bare = alternate(
        partial(read, "-o", "json"), partial(read, terminal=True), partial(target.run, *_QUERY), runs=runs
    )
    for what, cost, bar in (("-o json`", as_json, 1.0), ("` on a terminal", drawn, 1.2)):
        name = f"`get-conversation {what}, {where}".replace(" `", "`")
        cpu_bar = 0.8 if where == "embedded engine" and cost is as_json else bar
        yield Ratio(name, cost.cpu_ms, "script with boto3", bare.cpu_ms, "ms CPU time", cpu_bar)
        yield Ratio(name, cost.wall_ms, "script with boto3", bare.wall_ms, "ms", bar)
