"""What a table has beside its keys and its items, read before it is dropped and given to the table that follows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import CruddurError, Refused
from . import protection, tables
from .client import DynamoDB
from .schema import INDEX

# What local engines answer to requests that they do not know.
_UNKNOWN = {"UnknownOperationException", "InvalidAction", "NotImplemented"}
# What is answered only to those who have the right: a table that is there, a condition that is false, keys of another
# schema. IAM is asked first.
_ALLOWED = {"ResourceInUseException", "ConditionalCheckFailedException", "ValidationException"}
_PROBE = {"pk": {"S": "cruddur#rights"}, "sk": {"S": "cruddur#rights"}}


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


def _known(ask: Callable[[], Any]) -> Any:
    """The answer; an empty one where the engine does not know the request."""
    try:
        return ask()
    except Refused as error:
        if error.fields.get("aws_code") in _UNKNOWN:
            return {}
        raise


def _time_to_live(dynamodb: DynamoDB) -> str | None:
    answer = _known(lambda: dynamodb.call("describe_time_to_live", TableName=dynamodb.table))
    found = answer.get("TimeToLiveDescription", {})
    is_on = found.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"}
    return str(found["AttributeName"]) if is_on else None


def _recovery(dynamodb: DynamoDB) -> dict[str, Any] | None:
    answer = _known(lambda: dynamodb.call("describe_continuous_backups", TableName=dynamodb.table))
    found = answer.get("ContinuousBackupsDescription", {}).get("PointInTimeRecoveryDescription", {})
    if found.get("PointInTimeRecoveryStatus") != "ENABLED":
        return None
    days = found.get("RecoveryPeriodInDays")
    return {"PointInTimeRecoveryEnabled": True, **({"RecoveryPeriodInDays": days} if days else {})}


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
        yield "point-in-time recovery", lambda: protection.set_recovery(dynamodb, wanted)
    if kept.tags:
        yield "tags", lambda: tables.tag(dynamodb, [dict(tag) for tag in kept.tags])
