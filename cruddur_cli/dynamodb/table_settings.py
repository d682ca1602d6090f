"""The settings of a table beside its keys: read them, give them to a new table, and turn protection on or off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import CruddurError, Refused
from . import tables
from .client import DynamoDB
from .schema import INDEX
from .tables import Say

WINDOW_DAYS = 35
"""How many days back point-in-time recovery can restore."""
CHANGED, UNCHANGED, UNKNOWN = "changed", "unchanged", "not known to this engine"
_NOT_YET = "ContinuousBackupsUnavailableException"

# Error codes of local engines for operations that they do not support.
_UNKNOWN = {"UnknownOperationException", "InvalidAction", "NotImplemented"}
# Error codes that prove a permission, because AWS checks IAM first: the table exists, the condition is false, or the
# keys do not match the schema.
_ALLOWED = {"ResourceInUseException", "ConditionalCheckFailedException", "ValidationException"}
_PROBE = {"pk": {"S": "cruddur#rights"}, "sk": {"S": "cruddur#rights"}}


@dataclass(frozen=True)
class Protection:
    """One setting that protects a table, before and after; ``result`` is CHANGED, UNCHANGED or UNKNOWN."""

    setting: str
    before: str
    after: str
    result: str


@dataclass(frozen=True)
class TableSettings:
    """The settings of a table.

    ``create`` and ``index_throughput`` are parameters of CreateTable. Time to live, point-in-time recovery and tags
    need requests of their own. ``stream_arn`` belongs to the old table, and cannot be given to a new one.
    """

    create: Mapping[str, Any] = field(default_factory=dict)
    index_throughput: Mapping[str, int] | None = None
    time_to_live: str | None = None
    recovery: Mapping[str, Any] | None = None
    tags: tuple[Mapping[str, str], ...] = ()
    stream_arn: str | None = None

    def __str__(self) -> str:
        return ", ".join(self.words())

    def words(self) -> Iterator[str]:
        """Yield each setting as text."""
        yield tables.billing_text(self.create)
        stream = self.create.get("StreamSpecification", {}).get("StreamViewType")
        yield f"stream {stream}" if stream else "no stream"
        if self.time_to_live:
            yield f"time to live by {self.time_to_live}"
        if self.recovery:
            yield "point-in-time recovery"
        if self.create.get("DeletionProtectionEnabled"):
            yield "deletion protection"
        if "SSESpecification" in self.create:
            yield "its own encryption key"
        if self.create.get("TableClass", "STANDARD") != "STANDARD":
            yield f"table class {self.create['TableClass']}"
        if self.tags:
            yield f"{len(self.tags)} {'tag' if len(self.tags) == 1 else 'tags'}"

    def lost(self) -> list[str]:
        """What a new table cannot have of the old one, one text each."""
        losses = []
        if self.stream_arn:
            losses.append(f"the stream's ARN {self.stream_arn}: create the event source mapping of a Lambda again")
        if self.recovery:
            losses.append("its earlier times: point-in-time recovery starts again")
        return losses


def read(dynamodb: DynamoDB) -> TableSettings:
    """The settings of a table. Raises NotFound."""
    raw = tables.description(dynamodb)
    stream = raw.get("StreamSpecification") or {}
    indexes = {index["IndexName"]: index for index in raw.get("GlobalSecondaryIndexes", [])}
    create: dict[str, Any] = {}
    if (raw.get("BillingModeSummary") or {}).get("BillingMode") == "PAY_PER_REQUEST":
        create["BillingMode"] = "PAY_PER_REQUEST"
        if raw.get("OnDemandThroughput"):
            create["OnDemandThroughput"] = raw["OnDemandThroughput"]
    else:
        create["ProvisionedThroughput"] = _units(raw)
    if stream.get("StreamEnabled"):
        create["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": stream["StreamViewType"]}
    if raw.get("DeletionProtectionEnabled"):
        create["DeletionProtectionEnabled"] = True
    encryption = raw.get("SSEDescription") or {}
    if encryption.get("Status") == "ENABLED" and encryption.get("SSEType") == "KMS":
        create["SSESpecification"] = {
            "Enabled": True,
            "SSEType": "KMS",
            **({"KMSMasterKeyId": encryption["KMSMasterKeyArn"]} if encryption.get("KMSMasterKeyArn") else {}),
        }
    table_class = (raw.get("TableClassSummary") or {}).get("TableClass")
    if table_class:
        create["TableClass"] = table_class
    return TableSettings(
        create=create,
        index_throughput=_units(indexes[INDEX]) if INDEX in indexes and "ProvisionedThroughput" in create else None,
        time_to_live=_time_to_live(dynamodb),
        recovery=_recovery(dynamodb),
        tags=_tags(dynamodb, raw["TableArn"]),
        stream_arn=raw.get("LatestStreamArn") if stream.get("StreamEnabled") else None,
    )


def _units(described: Mapping[str, Any]) -> dict[str, int]:
    throughput = described.get("ProvisionedThroughput") or {}
    # Some local engines do not store the capacity of an index, and return 0.
    return {name: throughput.get(name) or 5 for name in ("ReadCapacityUnits", "WriteCapacityUnits")}


def _answer(request: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """The answer to a request; None if the engine does not support the operation."""
    try:
        return request()
    except Refused as error:
        if error.fields.get("aws_code") in _UNKNOWN:
            return None
        raise


def _time_to_live(dynamodb: DynamoDB) -> str | None:
    answer = _answer(lambda: dynamodb.call("describe_time_to_live", TableName=dynamodb.table))
    described = (answer or {}).get("TimeToLiveDescription", {})
    is_on = described.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"}
    return str(described["AttributeName"]) if is_on else None


def _recovery(dynamodb: DynamoDB) -> dict[str, Any] | None:
    described = _answer(lambda: _point_in_time(dynamodb)) or {}
    if described.get("PointInTimeRecoveryStatus") != "ENABLED":
        return None
    days = described.get("RecoveryPeriodInDays")
    return {"PointInTimeRecoveryEnabled": True, **({"RecoveryPeriodInDays": days} if days else {})}


def _point_in_time(dynamodb: DynamoDB) -> dict[str, Any]:
    answer = dynamodb.call("describe_continuous_backups", TableName=dynamodb.table)
    return dict(answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {}))


def _tags(dynamodb: DynamoDB, arn: str) -> tuple[Mapping[str, str], ...]:
    """The tags that the owner set. Only AWS can set tags whose names begin with ``aws:``."""
    return tuple(tag for tag in tables.tags(dynamodb, arn) if not tag["Key"].startswith("aws:"))


def check_rights(dynamodb: DynamoDB, settings: TableSettings) -> None:
    """Raise Refused if a permission is missing to create the table again with these settings, and to fill it.

    Nothing is changed. Each request fails on an existing table, has a condition that is never true, deletes an item
    that does not exist, or sets what is set already. They use 3 write capacity units: a write with a false condition
    costs one, and so does a delete without an item ("DynamoDB read and write operations").
    """
    never = "attribute_exists(pk) AND attribute_not_exists(pk)"
    delete = {"DeleteRequest": {"Key": _PROBE}}
    _check_right(lambda: tables.send_create_table(dynamodb, settings.create, settings.index_throughput))
    _check_right(lambda: dynamodb.call("batch_write_item", RequestItems={dynamodb.table: [delete]}))
    _check_right(lambda: dynamodb.call("put_item", TableName=dynamodb.table, Item=_PROBE, ConditionExpression=never))
    _check_right(lambda: dynamodb.call("delete_item", TableName=dynamodb.table, Key=_PROBE, ConditionExpression=never))
    for _, turn_on in _requests(dynamodb, settings):
        _check_right(turn_on)


def _check_right(request: Callable[[], Any]) -> None:
    """Send a request. Raises Refused unless it succeeds, or its error proves the permission."""
    try:
        request()
    except Refused as error:
        if error.fields.get("aws_code") in _ALLOWED:
            return
        raise Refused(
            f"{error.message} Nothing was changed.", hint=error.hint, code=error.code, fields=error.fields
        ) from error


def restore(dynamodb: DynamoDB, settings: TableSettings) -> list[str]:
    """Turn on the settings that CreateTable does not take; return the failed ones, each with its reason."""
    failures = []
    for name, turn_on in _requests(dynamodb, settings):
        try:
            turn_on()
        except CruddurError as error:
            failures.append(f"{name}: {error.message}")
    return failures


def _requests(dynamodb: DynamoDB, settings: TableSettings) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the name of each setting that CreateTable does not take, and a function that turns it on."""
    if settings.time_to_live:
        specification = {"Enabled": True, "AttributeName": settings.time_to_live}
        yield (
            "time to live",
            lambda: dynamodb.call(
                "update_time_to_live", TableName=dynamodb.table, TimeToLiveSpecification=specification
            ),
        )
    if settings.recovery:
        recovery = dict(settings.recovery)
        yield "point-in-time recovery", lambda: _set_recovery(dynamodb, recovery)
    if settings.tags:
        yield "tags", lambda: tables.tag(dynamodb, [dict(tag) for tag in settings.tags])


def protect(
    dynamodb: DynamoDB, *, on: bool, production: bool, dry_run: bool, say: Say, wait_s: float = 300
) -> list[Protection]:
    """Turn deletion protection and point-in-time recovery on or off; return what happened to each.

    With ``production`` and ``on``, the table is also tagged as production. Turning protection off keeps this tag.
    Raises NotFound.
    """
    protections = [
        _set_deletion_protection(dynamodb, on=on, dry_run=dry_run, say=say, wait_s=wait_s),
        _set_point_in_time_recovery(dynamodb, on=on, dry_run=dry_run),
    ]
    return protections + ([_mark_production(dynamodb, dry_run=dry_run)] if on and production else [])


def _set_deletion_protection(dynamodb: DynamoDB, *, on: bool, dry_run: bool, say: Say, wait_s: float) -> Protection:
    before = tables.describe(dynamodb).deletion_protection
    after, result = on, CHANGED
    if before == on:
        result = UNCHANGED
    elif not dry_run:
        dynamodb.call("update_table", TableName=dynamodb.table, DeletionProtectionEnabled=on)
        tables.wait_ready(dynamodb, say=say, wait_s=wait_s)
        # DynamoDB Local accepts the parameter and ignores it.
        after = tables.describe(dynamodb).deletion_protection
        result = CHANGED if after == on else UNKNOWN
    return Protection("deletion protection", _on_or_off(before), _on_or_off(after), result)


def _set_point_in_time_recovery(dynamodb: DynamoDB, *, on: bool, dry_run: bool) -> Protection:
    name = "point-in-time recovery"
    described = _answer(lambda: _point_in_time(dynamodb))
    if described is None:
        return Protection(name, "off", "off", UNKNOWN)
    before = described.get("PointInTimeRecoveryStatus") == "ENABLED"
    text = _days(described) if before else "off"
    if before == on:
        return Protection(name, text, text, UNCHANGED)
    if not dry_run:
        _set_recovery(dynamodb, {"PointInTimeRecoveryEnabled": on})
    return Protection(name, text, f"on, {WINDOW_DAYS} days" if on else "off", CHANGED)


def _set_recovery(dynamodb: DynamoDB, specification: dict[str, Any]) -> None:
    """Turn point-in-time recovery on or off.

    It retries on a new table, for which DynamoDB refuses this for up to some minutes.
    """
    backoff = dynamodb.backoff()
    while True:
        try:
            dynamodb.call(
                "update_continuous_backups", TableName=dynamodb.table, PointInTimeRecoverySpecification=specification
            )
            return
        except Refused as error:
            if error.fields.get("aws_code") != _NOT_YET or not backoff.wait():
                raise


def _mark_production(dynamodb: DynamoDB, *, dry_run: bool) -> Protection:
    name = "tag of production"
    if tables.is_production(dynamodb):
        return Protection(name, "there", "there", UNCHANGED)
    is_supported = dry_run or tables.mark_production(dynamodb)
    return Protection(name, "missing", "there" if is_supported else "missing", CHANGED if is_supported else UNKNOWN)


def _on_or_off(on: bool) -> str:
    return "on" if on else "off"


def _days(described: dict[str, Any]) -> str:
    return f"on, {described.get('RecoveryPeriodInDays', WINDOW_DAYS)} days"
