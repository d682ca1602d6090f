"""Create, list and find DynamoDB's own backups of a table, and restore one into a new table."""

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
# "CreateBackup", BackupName: the allowed characters and lengths.
_NAME = re.compile(r"[a-zA-Z0-9_.\-]{3,255}")
_TYPES = {"USER": "on demand", "SYSTEM": "of a deleted table", "AWS_BACKUP": "AWS Backup"}
Say = Callable[[str], None]
LONGEST_S = 24 * 3600.0
"""The default wait in seconds: a backup or a restore of a large table takes hours."""


@dataclass(frozen=True)
class Backup:
    """One backup. ``location`` is its ARN, or the path of the file for a local engine."""

    backup: str
    table_name: str
    type: str
    status: str
    created_at: datetime | None
    bytes: int | None
    location: str


@dataclass(frozen=True)
class Restored:
    """A table that was restored.

    ``expected_items`` is the number of items of its source, ``items`` the number that was counted in the new table.
    ``differences`` are those from the source's keys and indexes and from the application's.
    """

    table_name: str
    restored_from: str
    status: str
    expected_items: int | None
    items: int | None
    differences: tuple[str, ...]


def name_at(table: str, moment: datetime) -> str:
    """The default name of a backup: the name of the table, and the time in seconds."""
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
    """Every backup of the table, newest first; also works if the table no longer exists."""
    backups: list[Backup] = []
    params: dict[str, Any] = {"TableName": dynamodb.table, "BackupType": "ALL"}
    while True:
        answer = dynamodb.call("list_backups", **params)
        backups += [_backup(entry) for entry in answer.get("BackupSummaries", []) if entry["BackupStatus"] != "DELETED"]
        token = answer.get("LastEvaluatedBackupArn")
        if not token or token == params.get("ExclusiveStartBackupArn"):
            break
        params["ExclusiveStartBackupArn"] = token
    return sorted(backups, key=_created_text, reverse=True)


def create(
    dynamodb: DynamoDB, name: str, *, say: Say = lambda _: None, wait_s: float = LONGEST_S
) -> tuple[Backup, bool]:
    """Create a backup and wait until it is available; return the backup, and whether this call created it.

    If the table has a backup with that name, that backup is returned. A backup uses no capacity units. Raises BadInput
    for a name that DynamoDB does not accept, Refused if the backup fails, CannotConnect after ``wait_s`` seconds.
    """
    check_name(name)
    existing = next((backup for backup in listed(dynamodb) if backup.backup == name), None)
    if existing is None:
        answer = _call_when_ready(dynamodb, "create_backup", TableName=dynamodb.table, BackupName=name)
        details = {"TableName": dynamodb.table, **answer["BackupDetails"]}
    else:
        details = {"BackupArn": existing.location}
    done = waiting.until(
        lambda: _described(dynamodb, details["BackupArn"]),
        done=lambda described: described["BackupDetails"]["BackupStatus"] != "CREATING",
        state=lambda described: f"backup {name}: {described['BackupDetails']['BackupStatus'].lower()}",
        say=say,
        wait_s=wait_s,
        hint="cruddur ddb list-backups --prod",
    )
    backup = _backup({"TableName": dynamodb.table, **done["BackupDetails"]})
    if backup.status != AVAILABLE:
        raise Refused(f"Backup {name!r} of table {dynamodb.table!r} is {backup.status}.", code="backup_failed")
    return backup, existing is None


def find(dynamodb: DynamoDB, name: str) -> Backup:
    """The backup with the name or ARN ``name``.

    Raises NotFound if there is none, and lists the table's backups. Raises NotConfigured if several have the name, and
    lists these.
    """
    backups = listed(dynamodb)
    matches = [backup for backup in backups if name in {backup.backup, backup.location}]
    if len(matches) == 1:
        return matches[0]
    if not matches and name.startswith("arn:"):
        return _backup(_described(dynamodb, name)["BackupDetails"])
    listing = "\n".join(
        f"{backup.backup}  {sort_key(backup.created_at)[:19] if backup.created_at else ''}  {backup.location}"
        for backup in matches or backups
    )
    if matches:
        raise NotConfigured(
            f"{len(matches)} backups of table {dynamodb.table!r} are named {name!r}.",
            details=listing,
            hint=f"name the backup by its ARN, such as {matches[0].location}",
            code="backup_ambiguous",
        )
    raise NotFound(
        f"Table {dynamodb.table!r} has no backup {name!r}.",
        details=listing or "It has no backup at all.",
        hint="cruddur ddb list-backups --prod",
        code="backup_not_found",
    )


def window(dynamodb: DynamoDB) -> tuple[datetime, datetime] | None:
    """The first and the last time that the table can be restored to; None without point-in-time recovery."""
    answer = dynamodb.call("describe_continuous_backups", TableName=dynamodb.table)
    described = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    if described.get("PointInTimeRecoveryStatus") != "ENABLED":
        return None
    return described["EarliestRestorableDateTime"], described["LatestRestorableDateTime"]


def check_moment(dynamodb: DynamoDB, moment: datetime) -> None:
    """Raise Refused if the table cannot be restored to that time; the error says which times are possible."""
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
    """Restore a backup, or the table as it was at ``moment``, into the new table ``into``; return it when it is ready.

    If the same restore was started before, it waits for that one. The result lists the differences from the source and
    from the schema that the application expects. Raises Protected if ``into`` is any other existing table, and
    CannotConnect after ``wait_s`` seconds.
    """
    target = replace(dynamodb, table=into)
    source = _described(dynamodb, backup.location) if backup else {}
    expected = source.get("SourceTableDetails") or tables.description(dynamodb)
    if not _is_started(target, backup, moment):
        if backup:
            _call_when_ready(dynamodb, "restore_table_from_backup", TargetTableName=into, BackupArn=backup.location)
        else:
            _call_when_ready(
                dynamodb,
                "restore_table_to_point_in_time",
                SourceTableName=dynamodb.table,
                TargetTableName=into,
                RestoreDateTime=moment,
            )
    else:
        say(f"table {into}: its restore was started before")
    raw = waiting.until(
        lambda: _description(target),
        done=tables.is_ready,
        state=lambda table: f"table {into}: {table['TableStatus'].lower() if table else 'not visible yet'}",
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
    """The number of items in the table, counted by an eventually consistent Scan of all pages."""
    total = 0
    params: dict[str, Any] = {"TableName": dynamodb.table, "ProjectionExpression": "pk"}
    while True:
        answer = dynamodb.call("scan", **params)
        total += len(answer["Items"])
        if not answer.get("LastEvaluatedKey"):
            return total
        params = {**params, "ExclusiveStartKey": answer["LastEvaluatedKey"]}


def _description(dynamodb: DynamoDB) -> dict[str, Any] | None:
    """The table's description; None if there is no table, or DynamoDB does not show the new table yet."""
    try:
        return tables.description(dynamodb)
    except NotFound:
        return None


def _is_started(target: DynamoDB, backup: Backup | None, moment: datetime | None) -> bool:
    """Whether this restore was started before, or is done. Raises Protected if the target is any other table."""
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
    """The differences of the restored table from its source, and from the schema that the application expects."""
    texts = [] if expected["KeySchema"] == raw["KeySchema"] else ["the keys differ from those of the source"]
    of_source = {
        index["IndexName"] for index in (indexes if indexes is not None else expected.get("GlobalSecondaryIndexes", []))
    }
    of_table = {index["IndexName"] for index in raw.get("GlobalSecondaryIndexes", [])}
    texts += [f"the index {name} is missing" for name in sorted(of_source - of_table)]
    return texts + tables.differences(tables.of_description(dict(raw)))


def _described(dynamodb: DynamoDB, arn: str) -> dict[str, Any]:
    try:
        return dict(dynamodb.call("describe_backup", BackupArn=arn)["BackupDescription"])
    except Refused as error:
        if error.fields.get("aws_code") != "BackupNotFoundException":
            raise
        raise NotFound(
            f"There is no backup {arn}.", hint="cruddur ddb list-backups --prod", code="backup_not_found"
        ) from error


def _call_when_ready(dynamodb: DynamoDB, operation: str, **params: Any) -> Any:
    """The answer to a request, retried while DynamoDB does not accept it yet.

    For example, a table has no continuous backups in the first minutes after its creation.
    """
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


def _created_text(backup: Backup) -> str:
    return sort_key(backup.created_at) if backup.created_at else ""


def _text(moment: datetime | None) -> str:
    return sort_key(moment)[:19] + "Z" if moment else ""
