"""A step of a set-up: what it is about and what was done, kept and said."""

from __future__ import annotations

from dataclasses import dataclass

from ... import output
from ...settings import Settings


@dataclass(frozen=True)
class Step:
    """One step of a set-up: what it is about, and what was done (nothing: it was there)."""

    step: str
    result: str
    changed: bool


def done(s: Settings, steps: list[Step], step: str, result: str, *, changed: bool) -> None:
    """Keep a step, and say it."""
    steps.append(Step(step, result, changed))
    output.outcome(s, f"{step}: {result}", changed=changed)


def changes(steps: list[Step]) -> dict[str, int]:
    """How many steps changed something, and how many found everything there."""
    made = sum(step.changed for step in steps)
    return {"changed": made, "unchanged": len(steps) - made}
