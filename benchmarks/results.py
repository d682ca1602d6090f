"""What was found: its records, the file that keeps them, and the tables that show them."""

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
    """One figure against another; ``bar`` is what the ratio must not pass, or with ``at_least`` must reach."""

    what: str
    ours: float
    against: str
    theirs: float
    unit: str
    bar: float | None = None
    at_least: bool = False

    @property
    def ratio(self) -> float:
        """Ours by theirs."""
        return self.ours / self.theirs

    @property
    def is_met(self) -> bool:
        """Whether the bar is kept; where there is none, it is."""
        return self.bar is None or (self.ratio >= self.bar if self.at_least else self.ratio <= self.bar)


@dataclass(frozen=True)
class Grown:
    """What one command takes on one size of table."""

    command: str
    items: int
    seconds: float
    cpu_s: float
    peak_mb: float


def save(
    machine: Mapping[str, str],
    ratios: Sequence[Ratio],
    grown: Sequence[Grown],
    shares: Mapping[str, Mapping[str, float]],
    *,
    anew: bool,
) -> None:
    """Write everything to ``LAST``, in place of what stood there; without ``anew``, what was measured now in its place,
    and all else stays."""
    measured = [{**asdict(each), "ratio": each.ratio, "is_met": each.is_met} for each in ratios]
    found: dict[str, Any] = {"ratios": measured, "growth": [asdict(each) for each in grown], "shares": shares}
    if not anew:
        before = json.loads(LAST.read_text(encoding="utf-8"))
        now = {_subject(each): each for each in measured}
        kept = [now.pop(_subject(each), each) for each in before["ratios"]]
        found = {
            "ratios": [*kept, *now.values()],
            "growth": found["growth"] or before["growth"],
            "shares": found["shares"] or before["shares"],
        }
    found = {"date": datetime.now(UTC).date().isoformat(), "machine": machine, **found}  # noqa: TID251  # no test looks at it
    LAST.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _subject(ratio: Mapping[str, Any]) -> tuple[str, ...]:
    """What is compared with what; which width is best may be another one each time."""
    return ratio["what"], re.sub(r", \d+ at once.*", "", ratio["against"]), ratio["unit"]


def saved() -> dict[str, str]:
    """What ``save`` wrote last, as pieces of Markdown by name."""
    last = json.loads(LAST.read_text(encoding="utf-8"))
    about = ", ".join(f"{name} {value}" for name, value in last["machine"].items())
    ratios = [Ratio(**{name: each[name] for name in Ratio.__dataclass_fields__}) for each in last["ratios"]]
    return {
        "machine": f"Measured on {last['date']}: {about}.",
        "ratios": ratio_table(ratios),
        "growth": growth_table([Grown(**each) for each in last["growth"]]),
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
            f"| {each.what} | {each.ours:,.0f} | {each.against} | {each.theirs:,.0f} | {each.unit}"
            f" | {each.ratio:.{digits}f} | {bar} |"
        )
    return "\n".join(lines)


def growth_table(grown: Sequence[Grown]) -> str:
    """Seconds and peak memory by command and size, as a table in Markdown."""
    sizes = list(dict.fromkeys(each.items for each in grown))
    lines = [f"| command | {' | '.join(f'{size:,} items' for size in sizes)} |", "|---|" + "--:|" * len(sizes)]
    for command in dict.fromkeys(each.command for each in grown):
        cells = [f"{each.seconds:,.2f} s, {each.peak_mb:.0f} MB" for each in grown if each.command == command]
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
