"""Measures cruddur against other programs, and prints the comparisons as Markdown.

    python benchmarks/run.py [--quick] [--only PART …] [--save]

Every figure is of a whole process, start-up included. Compared commands take turns, and medians count, so that other
work of the machine slows both. Many items are measured on the DynamoDB Local that TEST_DYNAMODB_LOCAL names, else on
the embedded engine. Use a new DynamoDB Local: it gets slower with every item that it has stored. The AWS CLI takes part
if `aws` is in PATH, or if AWS_CLI names it, and psql if it is installed. All other programs are started here, and their
data is deleted afterwards. A run takes about a quarter of an hour.

--save writes benchmarks/last.json, from which docs/generate.py makes the tables of docs/performance.md. With --only it
replaces only the results of those parts. The exit code is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from typing import Any

import results
import starting
import transfer
from results import Measurement, Ratio
from targets import aws_cli, dynamodb_local, engine, stack


def parts(quick: bool, measurements: list[Measurement]) -> dict[str, Callable[[], Iterator[Ratio]]]:
    """The parts that can be measured, by name. Each returns its comparisons; ``growth`` adds to ``measurements``."""
    runs, few, large = (3, 1, 10_000) if quick else (25, 5, 1_000_000)
    aws = aws_cli()

    def many(measure: Callable[..., Iterator[Ratio]], **options: Any) -> Iterator[Ratio]:
        with engine() as (_, target):
            yield from measure(target, **options)

    def growth() -> Iterator[Ratio]:
        with engine() as (_, target):
            for each in transfer.growth(target, largest=large // 10):
                measurements.append(each)
                note(f"{each.command}, {each.items:,} items: {each.seconds:.2f} s, {each.peak_mb:.0f} MB")
        yield from transfer.other_memory(measurements)

    def memory() -> Iterator[Ratio]:
        with stack() as target:
            target.cruddur("db", "setup")
            yield from transfer.memory(target, small=large // 10, large=large, runs=min(few, 3))

    def user_part(name: str) -> Iterator[Ratio]:
        import users

        yield from getattr(users, name)(count=min(10_000, items), runs=few)

    items = large // 10
    return {
        # First, while this process is small: a new process starts with the peak memory of its parent.
        "memory": memory,
        "help": partial(starting.help_pages, runs),
        "pages": partial(starting.slowest_page, runs),
        "conversation": partial(starting.conversations, runs),
        "setup": partial(starting.setting_up, few),
        "completion": partial(starting.completion, runs),
        "plugin": partial(starting.plugin, min(few, 3)),
        "seed": partial(many, transfer.seeding, count=min(10_000, items), runs=few),
        "units": partial(many, transfer.write_units, count=min(10_000, items)),
        "read": partial(
            many, transfer.reading, count=items // 2, runs=min(few, 3), aws=aws, is_local=dynamodb_local() is not None
        ),
        "growth": growth,
        "users": partial(user_part, "identities"),
        "sql": partial(user_part, "sql_file"),
    }  # fmt: skip


def machine() -> dict[str, str]:
    """The machine, the engine and the versions that the figures depend on."""
    versions = {
        name: metadata.version(name) for name in ("cruddur", "botocore", "typer", "rich", "psycopg", "ministack")
    }
    return {
        "cores": str(os.cpu_count()),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "engine": "DynamoDB Local" if dynamodb_local() else "the embedded engine",
        **versions,
    }


def note(text: str) -> None:
    """Print a line of progress on stderr."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Run the benchmarks; 1 if a bar is missed, else 0."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--quick", action="store_true", help="few runs over few items, to see that it works")
    options.add_argument("--only", nargs="+", metavar="PART", help="some of the parts")
    options.add_argument("--save", action="store_true", help=f"write {results.LAST.name}")
    given = options.parse_args()
    measurements: list[Measurement] = []
    available = parts(given.quick, measurements)
    ratios: list[Ratio] = []
    for name in given.only or available:
        for ratio in available[name]():
            ratios.append(ratio)
            note(results.ratio_table([ratio]).splitlines()[-1])
    print(", ".join(f"{name} {value}" for name, value in machine().items()), results.ratio_table(ratios), sep="\n\n")
    shares = starting.shares(3 if given.quick else 9) if not given.only or "growth" in given.only else {}
    for table in (
        results.growth_table(measurements) if measurements else "",
        results.share_table(shares) if shares else "",
    ):
        print("\n" + table)
    if given.save:
        results.save(machine(), ratios, measurements, shares, replaces_all=not given.only)
    return 0 if all(each.is_met for each in ratios) else 1


if __name__ == "__main__":
    sys.exit(main())
