"""Owns the results of the benchmarks: their records, the file last.json, and tables in Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LAST = Path(__file__).with_name("last.json")


@dataclass(frozen=True)
class Ratio:
    """One figure (``value``) compared with another (``reference``).

    ``bar`` is the largest ratio that is accepted, or with ``at_least`` the smallest; None for no limit.
    """

    what: str
    value: float
    against: str
    reference: float
    unit: str
    bar: float | None = None
    at_least: bool = False

    @property
    def ratio(self) -> float:
        """``value`` divided by ``reference``."""
        return self.value / self.reference

    @property
    def is_met(self) -> bool:
        """Whether the ratio is within its bar; True without a bar."""
        return self.bar is None or (self.ratio >= self.bar if self.at_least else self.ratio <= self.bar)


@dataclass(frozen=True)
class Measurement:
    """The cost of one command on a table with ``items`` items."""

    command: str
    items: int
    seconds: float
    cpu_s: float
    peak_mb: float


def save(
    machine: Mapping[str, str],
    ratios: Sequence[Ratio],
    measurements: Sequence[Measurement],
    shares: Mapping[str, Mapping[str, float]],
    *,
    replaces_all: bool,
) -> None:
    """Write the results to ``LAST``; without ``replaces_all`` keep the earlier results of what was not measured."""
    measured = [{**asdict(each), "ratio": each.ratio, "is_met": each.is_met} for each in ratios]
    content: dict[str, Any] = {"ratios": measured, "growth": [asdict(each) for each in measurements], "shares": shares}
    if not replaces_all:
        before = json.loads(LAST.read_text(encoding="utf-8"))
        now = {_subject(each): each for each in measured}
        merged = [now.pop(_subject(each), each) for each in before["ratios"]]
        content = {
            "ratios": [*merged, *now.values()],
            "growth": content["growth"] or before["growth"],
            "shares": content["shares"] or before["shares"],
        }
    today = datetime.now(UTC).date().isoformat()  # noqa: TID251  # no test reads it
    LAST.write_text(json.dumps({"date": today, "machine": machine, **content}, indent=1) + "\n", encoding="utf-8")


def _subject(ratio: Mapping[str, Any]) -> tuple[str, ...]:
    """The key of a comparison, without the best width, which may differ from run to run."""
    return ratio["what"], re.sub(r", \d+ at once.*", "", ratio["against"]), ratio["unit"]


def saved() -> dict[str, str]:
    """The results in ``LAST`` as Markdown: ``machine``, and the tables ``ratios``, ``growth`` and ``shares``."""
    last = json.loads(LAST.read_text(encoding="utf-8"))
    about = ", ".join(f"{name} {value}" for name, value in last["machine"].items())
    ratios = [Ratio(**{name: each[name] for name in Ratio.__dataclass_fields__}) for each in last["ratios"]]
    return {
        "machine": f"Measured on {last['date']}: {about}.",
        "ratios": ratio_table(ratios),
        "growth": growth_table([Measurement(**each) for each in last["growth"]]),
        "shares": share_table(last["shares"]),
    }


def ratio_table(ratios: Sequence[Ratio]) -> str:
    """The ratios as a table in Markdown."""
    lines = [
        "| measured | `cruddur` | compared with | its figure | unit | ratio | target |",
        "|---|--:|---|--:|---|--:|---|",
    ]
    for each in ratios:
        sign = "≥" if each.at_least else "≤"
        # Two digits would show a narrowly missed target as met.
        digits = 2 if each.is_met or each.bar is None or f"{each.ratio:.2f}" != f"{each.bar:.2f}" else 4
        bar = "–" if each.bar is None else f"{sign} {each.bar:.2f}: {'met' if each.is_met else '**missed**'}"
        lines.append(
            f"| {each.what} | {each.value:,.0f} | {each.against} | {each.reference:,.0f} | {each.unit}"
            f" | {each.ratio:.{digits}f} | {bar} |"
        )
    return "\n".join(lines)


def growth_table(measurements: Sequence[Measurement]) -> str:
    """Seconds and peak memory by command and size, as a table in Markdown."""
    sizes = list(dict.fromkeys(each.items for each in measurements))
    lines = [f"| command | {' | '.join(f'{size:,} items' for size in sizes)} |", "|---|" + "--:|" * len(sizes)]
    for command in dict.fromkeys(each.command for each in measurements):
        cells = [f"{each.seconds:,.2f} s, {each.peak_mb:.0f} MB" for each in measurements if each.command == command]
        lines.append(f"| {code(command)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def code(command: str) -> str:
    """A command as Markdown code; words after a comma stay plain text."""
    name, comma, remark = command.partition(",")
    return f"`{name}`{comma}{remark}"


def share_table(shares: Mapping[str, Mapping[str, float]]) -> str:
    """Milliseconds by command and package, as a table in Markdown."""
    packages = sorted({name for each in shares.values() for name in each}, key=lambda name: (name == "rest", name))
    lines = [f"| command | {' | '.join(packages)} |", "|---|" + "--:|" * len(packages)]
    for command, each in shares.items():
        cells = [f"{each[name]:.0f}" if name in each else "–" for name in packages]
        lines.append(f"| `cruddur {command}` | {' | '.join(cells)} |")
    return "\n".join(lines)
