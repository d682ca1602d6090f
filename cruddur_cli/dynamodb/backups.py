"""DynamoDB's own backups of a table: creates, lists and finds them, and restores one into a new table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ..aws_client import waiting
from ..errors import BadInput, NotConfigured, NotFound, Protected, Refused
from ..times import sort_key
from . import tables
from .client import DynamoDB

AVAILABLE = "AVAILABLE"
# "CreateBackup": what BackupName may hold.
_NAME = re.compile(r"[a-zA-Z0-9_.\-]{3,255}")
_TYPES = {"USER": "on demand", "SYSTEM": "of a deleted table", "AWS_BACKUP": "AWS Backup"}
Say = Callable[[str], None]
LONGEST_S = 24 * 3600.0  # of a large table


@dataclass(frozen=True)
class Backup:
    """One backup. ``location`` is its ARN, or for a local engine the file."""

    backup: str
    table_name: str
    type: str
    status: str
    created_at: datetime | None
    bytes: int | None
    location: str


@dataclass(frozen=True)
class Restored:
    """A table that came from a backup; ``expected_items`` is what its source held, ``items`` what was counted in it."""

    table_name: str
    restored_from: str
    status: str
    expected_items: int | None
    items: int | None
    differences: tuple[str, ...]


def name_at(table: str, moment: datetime) -> str:
    """The name of a backup that a person did not name: the table and the second."""
    return f"{table}-{moment:%Y%m%dT%H%M%SZ}"[-255:]


def check_name(name: str) -> None:
    """Raise BadInput if DynamoDB does not accept the text as a backup's name."""
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} cannot be a backup's name.",
            hint="use 3 to 255 letters, digits, '_', '-' and '.'",
            code="backup_name",
        )


def listed(dynamodb: DynamoDB) -> list[Backup]:
    """Every backup of the table, the newest first; also works if the table no longer exists."""
    found: list[Backup] = []
    params: dict[str, Any] = {"TableName": dynamodb.table, "BackupType": "ALL"}
    while True:
        answer = dynamodb.call("list_backups", **params)
        found += [_backup(entry) for entry in answer.get("BackupSummaries", []) if entry["BackupStatus"] != "DELETED"]
        token = answer.get("LastEvaluatedBackupArn")
        if not token or token == params.get("ExclusiveStartBackupArn"):
            break
        params["ExclusiveStartBackupArn"] = token
    return sorted(found, key=_age, reverse=True)


def create(
    dynamodb: DynamoDB, name: str, *, say: Say = lambda _: None, wait_s: float = LONGEST_S
) -> tuple[Backup, bool]:
    """The backup with that name once it is available, and whether it was made now. Raises BadInput, Refused.

    If the table has a backup of that name already, that backup is returned. It copies the table without using capacity.
    """
    check_name(name)
    there = next((one for one in listed(dynamodb) if one.backup == name), None)
    if there is None:
        answer = _called(dynamodb, "create_backup", TableName=dynamodb.table, BackupName=name)
        details = {"TableName": dynamodb.table, **answer["BackupDetails"]}
    else:
        details = {"BackupArn": there.location}
    done = waiting.until(
        lambda: _described(dynamodb, details["BackupArn"]),
        done=lambda found: found["BackupDetails"]["BackupStatus"] != "CREATING",
        state=lambda found: f"backup {name}: {found['BackupDetails']['BackupStatus'].lower()}",
        say=say,
        wait_s=wait_s,
        hint="cruddur ddb list-backups --prod",
    )
    made = _backup({"TableName": dynamodb.table, **done["BackupDetails"]})
    if made.status != AVAILABLE:
        raise Refused(f"Backup {name!r} of table {dynamodb.table!r} is {made.status}.", code="backup_failed")
    return made, there is None


def find(dynamodb: DynamoDB, name: str) -> Backup:
    """The backup with that name or ARN. Raises NotFound, NotConfigured for several of one name; both list them."""
    found = listed(dynamodb)
    chosen = [one for one in found if name in {one.backup, one.location}]
    if len(chosen) == 1:
        return chosen[0]
    if not chosen and name.startswith("arn:"):
        return _backup(_described(dynamodb, name)["BackupDetails"])
    listing = "\n".join(
        f"{one.backup}  {sort_key(one.created_at)[:19] if one.created_at else ''}  {one.location}"
        for one in chosen or found
    )
    if chosen:
        raise NotConfigured(
            f"{len(chosen)} backups of table {dynamodb.table!r} are named {name!r}.",
            details=listing,
            hint=f"name the backup by its ARN, such as {chosen[0].location}",
            code="backup_ambiguous",
        )
    raise NotFound(
        f"Table {dynamodb.table!r} has no backup {name!r}.",
        details=listing or "It has no backup at all.",
        hint="cruddur ddb list-backups --prod",
        code="backup_not_found",
    )


def window(dynamodb: DynamoDB) -> tuple[datetime, datetime] | None:
    """The first and the last second that the table can be restored to; None without point-in-time recovery."""
    answer = dynamodb.call("describe_continuous_backups", TableName=dynamodb.table)
    found = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    if found.get("PointInTimeRecoveryStatus") != "ENABLED":
        return None
    return found["EarliestRestorableDateTime"], found["LatestRestorableDateTime"]


def check_moment(dynamodb: DynamoDB, moment: datetime) -> None:
    """Raise Refused where the table cannot be restored to that time, with the times that it can be restored to."""
    times = window(dynamodb)
    if times is None:
        raise Refused(
            f"Table {dynamodb.table!r} has no point-in-time recovery, so it cannot be restored to an earlier time.",
            hint="cruddur ddb list-backups --prod",
            code="no_point_in_time_recovery",
        )
    first, last = times
    if not first - timedelta(seconds=1) <= moment <= last + timedelta(seconds=1):
        raise Refused(
            f"Table {dynamodb.table!r} cannot be restored to {_text(moment)}.",
            hint=f"--to-time between {_text(first)} and {_text(last)}",
            code="outside_recovery_window",
        )


def restore(
    dynamodb: DynamoDB,
    into: str,
    *,
    backup: Backup | None = None,
    moment: datetime | None = None,
    say: Say = lambda _: None,
    wait_s: float = LONGEST_S,
) -> Restored:
    """The new table once it is there, compared with what it came from; one that is still being restored is waited for.

    ``backup`` or ``moment`` says what it holds. Raises Protected where ``into`` is another table, CannotConnect after
    ``wait_s``.
    """
    target = replace(dynamodb, table=into)
    source = _described(dynamodb, backup.location) if backup else {}
    expected = source.get("SourceTableDetails") or tables.description(dynamodb)
    if not _is_under_way(target, backup, moment):
        if backup:
            _called(dynamodb, "restore_table_from_backup", TargetTableName=into, BackupArn=backup.location)
        else:
            _called(
                dynamodb,
                "restore_table_to_point_in_time",
                SourceTableName=dynamodb.table,
                TargetTableName=into,
                RestoreDateTime=moment,
            )
    else:
        say(f"table {into}: its restore was started before")
    raw = waiting.until(
        lambda: _seen(target),
        done=tables.is_ready,
        state=lambda found: f"table {into}: {found['TableStatus'].lower() if found else 'not visible yet'}",
        say=say,
        wait_s=wait_s,
        hint="run the same command again: it waits for the same restore",
    )
    assert raw is not None
    indexes = source.get("SourceTableFeatureDetails", {}).get("GlobalSecondaryIndexes")
    return Restored(
        table_name=into,
        restored_from=backup.backup if backup else f"{dynamodb.table} at {_text(moment)}",
        status=raw["TableStatus"],
        expected_items=expected.get("ItemCount"),
        items=None,
        differences=tuple(_differences(expected, indexes, raw)),
    )


def count(dynamodb: DynamoDB) -> int:
    """How many items the table holds, read page by page, eventually consistent."""
    found = 0
    params: dict[str, Any] = {"TableName": dynamodb.table, "ProjectionExpression": "pk"}
    while True:
        answer = dynamodb.call("scan", **params)
        found += len(answer["Items"])
        if not answer.get("LastEvaluatedKey"):
            return found
        params = {**params, "ExclusiveStartKey": answer["LastEvaluatedKey"]}


def _seen(dynamodb: DynamoDB) -> dict[str, Any] | None:
    """The table's description; None where DynamoDB does not know yet that it was told to make it."""
    try:
        return tables.description(dynamodb)
    except NotFound:
        return None


def _is_under_way(target: DynamoDB, backup: Backup | None, moment: datetime | None) -> bool:
    """Whether the table is being, or was, restored from the same. Raises Protected where it is another table."""
    try:
        raw = tables.description(target)
    except NotFound:
        return False
    summary = raw.get("RestoreSummary") or {}
    if backup and summary.get("SourceBackupArn") == backup.location:
        return True
    restored_to = summary.get("RestoreDateTime")
    if (
        moment
        and restored_to
        and not summary.get("SourceBackupArn")
        and abs(restored_to - moment) < timedelta(seconds=1)
    ):
        return True
    raise Protected(
        f"There is a table {target.table!r} already, and a restore creates a new table.",
        hint=f"choose another name, such as --into {target.table}-restored",
        code="table_exists",
    )


def _differences(expected: Mapping[str, Any], indexes: Any, raw: Mapping[str, Any]) -> list[str]:
    """What the restored table has otherwise than its source, and than the application expects."""
    found = [] if expected["KeySchema"] == raw["KeySchema"] else ["the keys differ from those of the source"]
    wanted = {
        one["IndexName"] for one in (indexes if indexes is not None else expected.get("GlobalSecondaryIndexes", []))
    }
    there = {one["IndexName"] for one in raw.get("GlobalSecondaryIndexes", [])}
    found += [f"the index {name} is missing" for name in sorted(wanted - there)]
    return found + tables.differences(tables.of_description(dict(raw)))


def _described(dynamodb: DynamoDB, arn: str) -> dict[str, Any]:
    try:
        return dict(dynamodb.call("describe_backup", BackupArn=arn)["BackupDescription"])
    except Refused as error:
        if error.fields.get("aws_code") != "BackupNotFoundException":
            raise
        raise NotFound(
            f"There is no backup {arn}.", hint="cruddur ddb list-backups --prod", code="backup_not_found"
        ) from error


def _called(dynamodb: DynamoDB, operation: str, **params: Any) -> Any:
    """One change that DynamoDB may not take yet: "continuous backups are being enabled" for minutes after creation."""
    backoff = dynamodb.backoff()
    while True:
        try:
            return dynamodb.call(operation, **params)
        except Refused as error:
            if error.fields.get("aws_code") not in _NOT_YET or not backoff.wait():
                raise


_NOT_YET = {"ContinuousBackupsUnavailableException", "BackupInUseException", "TableInUseException"}


def _backup(entry: Mapping[str, Any]) -> Backup:
    arn = str(entry["BackupArn"])
    return Backup(
        backup=entry["BackupName"],
        table_name=entry.get("TableName") or arn.rsplit(":table/", maxsplit=1)[-1].partition("/")[0],
        type=_TYPES.get(entry.get("BackupType", ""), str(entry.get("BackupType", ""))),
        status=entry["BackupStatus"],
        created_at=entry.get("BackupCreationDateTime"),
        bytes=entry.get("BackupSizeBytes"),
        location=arn,
    )


def _age(one: Backup) -> str:
    return sort_key(one.created_at) if one.created_at else ""


def _text(moment: datetime | None) -> str:
    return sort_key(moment)[:19] + "Z" if moment else ""
