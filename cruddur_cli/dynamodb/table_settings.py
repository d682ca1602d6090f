"""What a table has beside its keys and its items: what protects it, and what the table that follows it is given."""

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
"""How far point-in-time recovery reaches back."""
CHANGED, UNCHANGED, UNKNOWN = "changed", "unchanged", "not known to this engine"
_NOT_YET = "ContinuousBackupsUnavailableException"

# What local engines answer to requests that they do not know.
_UNKNOWN = {"UnknownOperationException", "InvalidAction", "NotImplemented"}
# What is answered only to those who have the right: a table that is there, a condition that is false, keys of another
# schema. IAM is asked first.
_ALLOWED = {"ResourceInUseException", "ConditionalCheckFailedException", "ValidationException"}
_PROBE = {"pk": {"S": "cruddur#rights"}, "sk": {"S": "cruddur#rights"}}


@dataclass(frozen=True)
class Protection:
    """One setting that protects a table: what it was, what it is, and whether it was changed."""

    setting: str
    before: str
    after: str
    result: str


@dataclass(frozen=True)
class TableSettings:
    """What CreateTable is given beside the keys (``create``), and what is turned on in requests of its own."""

    create: Mapping[str, Any] = field(default_factory=dict)
    index_throughput: Mapping[str, int] | None = None
    time_to_live: str | None = None
    recovery: Mapping[str, Any] | None = None
    tags: tuple[Mapping[str, str], ...] = ()
    stream_arn: str | None = None

    def __str__(self) -> str:
        return ", ".join(self.words())

    def words(self) -> Iterator[str]:
        """Each setting, in words."""
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
        """What no new table can have of the old one."""
        found = []
        if self.stream_arn:
            found.append(f"the stream's ARN {self.stream_arn}: create the event source mapping of a Lambda again")
        if self.recovery:
            found.append("its earlier times: point-in-time recovery starts again")
        return found


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
    found = described.get("ProvisionedThroughput") or {}
    # An index that says 0 is one of an engine that does not keep the figure.
    return {name: found.get(name) or 5 for name in ("ReadCapacityUnits", "WriteCapacityUnits")}


def _known(ask: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """The answer; None where the engine does not know the request."""
    try:
        return ask()
    except Refused as error:
        if error.fields.get("aws_code") in _UNKNOWN:
            return None
        raise


def _time_to_live(dynamodb: DynamoDB) -> str | None:
    answer = _known(lambda: dynamodb.call("describe_time_to_live", TableName=dynamodb.table))
    found = (answer or {}).get("TimeToLiveDescription", {})
    is_on = found.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"}
    return str(found["AttributeName"]) if is_on else None


def _recovery(dynamodb: DynamoDB) -> dict[str, Any] | None:
    found = _known(lambda: _point_in_time(dynamodb)) or {}
    if found.get("PointInTimeRecoveryStatus") != "ENABLED":
        return None
    days = found.get("RecoveryPeriodInDays")
    return {"PointInTimeRecoveryEnabled": True, **({"RecoveryPeriodInDays": days} if days else {})}


def _point_in_time(dynamodb: DynamoDB) -> dict[str, Any]:
    answer = dynamodb.call("describe_continuous_backups", TableName=dynamodb.table)
    return dict(answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {}))


def _tags(dynamodb: DynamoDB, arn: str) -> tuple[Mapping[str, str], ...]:
    """Those of its owner: names that begin with ``aws:`` only AWS can give."""
    return tuple(tag for tag in tables.tags(dynamodb, arn) if not tag["Key"].startswith("aws:"))


def check_rights(dynamodb: DynamoDB, kept: TableSettings) -> None:
    """Raise Refused where a right is missing to make the table again, and to fill it; nothing is changed.

    Each request is one that a table which is there refuses, or one that asks for what is so already. They cost 2 WCU.
    """
    never = "attribute_exists(pk) AND attribute_not_exists(pk)"
    delete = {"DeleteRequest": {"Key": _PROBE}}
    _ask(lambda: tables.create_again(dynamodb, kept.create, kept.index_throughput))
    _ask(lambda: dynamodb.call("batch_write_item", RequestItems={dynamodb.table: [delete]}))
    _ask(lambda: dynamodb.call("put_item", TableName=dynamodb.table, Item=_PROBE, ConditionExpression=never))
    _ask(lambda: dynamodb.call("delete_item", TableName=dynamodb.table, Key=_PROBE, ConditionExpression=never))
    for _, turn_on in _requests(dynamodb, kept):
        _ask(turn_on)


def _ask(request: Callable[[], Any]) -> None:
    try:
        request()
    except Refused as error:
        if error.fields.get("aws_code") in _ALLOWED:
            return
        raise Refused(
            f"{error.message} Nothing was changed.", hint=error.hint, code=error.code, fields=error.fields
        ) from error


def restore(dynamodb: DynamoDB, kept: TableSettings) -> list[str]:
    """Turn on what a new table does not have from the start; what could not be, with the reason."""
    failed = []
    for what, turn_on in _requests(dynamodb, kept):
        try:
            turn_on()
        except CruddurError as error:
            failed.append(f"{what}: {error.message}")
    return failed


def _requests(dynamodb: DynamoDB, kept: TableSettings) -> Iterator[tuple[str, Callable[[], Any]]]:
    if kept.time_to_live:
        specification = {"Enabled": True, "AttributeName": kept.time_to_live}
        yield (
            "time to live",
            lambda: dynamodb.call(
                "update_time_to_live", TableName=dynamodb.table, TimeToLiveSpecification=specification
            ),
        )
    if kept.recovery:
        wanted = dict(kept.recovery)
        yield "point-in-time recovery", lambda: _set_recovery(dynamodb, wanted)
    if kept.tags:
        yield "tags", lambda: tables.tag(dynamodb, [dict(tag) for tag in kept.tags])


def protect(
    dynamodb: DynamoDB, *, on: bool, production: bool, dry_run: bool, say: Say, wait_s: float = 300
) -> list[Protection]:
    """Turn a table's protection on or off; a setting that is so already, or unknown to the engine, is not changed.

    ``production`` marks the table too. Off keeps the mark: what is production stays production. Raises NotFound.
    """
    settings = [
        _deletion(dynamodb, on=on, dry_run=dry_run, say=say, wait_s=wait_s),
        _recover(dynamodb, on=on, dry_run=dry_run),
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


def _recover(dynamodb: DynamoDB, *, on: bool, dry_run: bool) -> Protection:
    name = "point-in-time recovery"
    found = _known(lambda: _point_in_time(dynamodb))
    if found is None:
        return Protection(name, "off", "off", UNKNOWN)
    before = found.get("PointInTimeRecoveryStatus") == "ENABLED"
    text = _days(found) if before else "off"
    if before == on:
        return Protection(name, text, text, UNCHANGED)
    if not dry_run:
        wanted: dict[str, Any] = {"PointInTimeRecoveryEnabled": on}
        _set_recovery(dynamodb, wanted)
    return Protection(name, text, f"on, {WINDOW_DAYS} days" if on else "off", CHANGED)


def _set_recovery(dynamodb: DynamoDB, wanted: dict[str, Any]) -> None:
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
