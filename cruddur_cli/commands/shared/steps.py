"""The record of one step of a set-up."""

from __future__ import annotations

from dataclasses import dataclass

from ... import output
from ...settings import Settings


@dataclass(frozen=True)
class Step:
    """One step of a set-up: its object and its result; ``changed`` is False where nothing had to be done."""

    step: str
    result: str
    changed: bool


def done(s: Settings, steps: list[Step], step: str, result: str, *, changed: bool) -> None:
    """Add a step to ``steps``, and print it."""
    steps.append(Step(step, result, changed))
    output.outcome(s, f"{step}: {result}", changed=changed)


def changes(steps: list[Step]) -> dict[str, int]:
    """How many steps changed something, and how many did not: the counts of a set-up in JSON."""
    changed = sum(step.changed for step in steps)
    return {"changed": changed, "unchanged": len(steps) - changed}
