"""Lists the checks of ``doctor``, in the order in which findings of one severity are shown."""

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
