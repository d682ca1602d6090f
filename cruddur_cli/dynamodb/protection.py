"""What keeps a table from being lost: deletion protection, point-in-time recovery, and the mark of production."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import Refused
from . import tables
from .client import DynamoDB
from .tables import Say

WINDOW_DAYS = 35
CHANGED, UNCHANGED, UNKNOWN = "changed", "unchanged", "not known to this engine"
_NOT_YET = "ContinuousBackupsUnavailableException"


@dataclass(frozen=True)
class Protection:
    """One setting that protects a table: what it was, what it is, and whether it was changed."""

    setting: str
    before: str
    after: str
    result: str


def protect(
    dynamodb: DynamoDB, *, on: bool, production: bool, dry_run: bool, say: Say, wait_s: float = 300
) -> list[Protection]:
    """Turn a table's protection on or off; a setting that is so already, or unknown to the engine, is not changed.

    ``production`` marks the table too. Off keeps the mark: what is production stays production. Raises NotFound.
    """
    settings = [
        _deletion(dynamodb, on=on, dry_run=dry_run, say=say, wait_s=wait_s),
        _recovery(dynamodb, on=on, dry_run=dry_run),
    ]
    return settings + ([_mark(dynamodb, dry_run=dry_run)] if on and production else [])


def _deletion(dynamodb: DynamoDB, *, on: bool, dry_run: bool, say: Say, wait_s: float) -> Protection:
    before = tables.describe(dynamodb).deletion_protection
    after, result = on, CHANGED
    if before == on:
        result = UNCHANGED
    elif not dry_run:
        dynamodb.call("update_table", TableName=dynamodb.table, DeletionProtectionEnabled=on)
        tables.wait_ready(dynamodb, say=say, wait_s=wait_s)
        # DynamoDB Local takes the parameter and forgets it.
        after = tables.describe(dynamodb).deletion_protection
        result = CHANGED if after == on else UNKNOWN
    return Protection("deletion protection", _word(before), _word(after), result)


def _recovery(dynamodb: DynamoDB, *, on: bool, dry_run: bool) -> Protection:
    name = "point-in-time recovery"
    try:
        found = _described(dynamodb)
    except Refused as error:
        if error.fields.get("aws_code") not in {"UnknownOperationException", "InvalidAction", "NotImplemented"}:
            raise
        return Protection(name, "off", "off", UNKNOWN)
    before = found.get("PointInTimeRecoveryStatus") == "ENABLED"
    text = _days(found) if before else "off"
    if before == on:
        return Protection(name, text, text, UNCHANGED)
    if not dry_run:
        wanted: dict[str, Any] = {"PointInTimeRecoveryEnabled": on}
        set_recovery(dynamodb, wanted)
    return Protection(name, text, f"on, {WINDOW_DAYS} days" if on else "off", CHANGED)


def set_recovery(dynamodb: DynamoDB, wanted: dict[str, Any]) -> None:
    """Turn point-in-time recovery on or off.

    A table that is new cannot have it at once: DynamoDB says so for up to minutes.
    """
    backoff = dynamodb.backoff()
    while True:
        try:
            dynamodb.call(
                "update_continuous_backups", TableName=dynamodb.table, PointInTimeRecoverySpecification=wanted
            )
            return
        except Refused as error:
            if error.fields.get("aws_code") != _NOT_YET or not backoff.wait():
                raise


def _described(dynamodb: DynamoDB) -> dict[str, Any]:
    answer = dynamodb.call("describe_continuous_backups", TableName=dynamodb.table)
    return dict(answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {}))


def _mark(dynamodb: DynamoDB, *, dry_run: bool) -> Protection:
    name, marked = "tag of production", tables.is_stamped(dynamodb)
    if marked:
        return Protection(name, "there", "there", UNCHANGED)
    known = dry_run or tables.mark_production(dynamodb)
    return Protection(name, "missing", "there" if known else "missing", CHANGED if known else UNKNOWN)


def _word(on: bool) -> str:
    return "on" if on else "off"


def _days(found: dict[str, Any]) -> str:
    return f"on, {found.get('RecoveryPeriodInDays', WINDOW_DAYS)} days"
