"""Everything that ``doctor`` checks, each declared once, in the order that findings of one severity are shown in."""

from __future__ import annotations

from ..model import Check
from . import between, cognito, dynamodb, machine, postgres

CHECKS: tuple[Check, ...] = (
    *machine.CHECKS,
    *postgres.CHECKS,
    *dynamodb.CHECKS,
    *cognito.CHECKS,
    *between.CHECKS,
)
