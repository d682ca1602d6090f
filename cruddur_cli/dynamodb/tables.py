"""The table itself: made, described, compared with what the application expects, dropped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..errors import CannotConnect, NotFound, Protected, Refused
from .capacity import Index
from .client import DynamoDB

INDEX = "message-group-sk-index"
GROUPS = Index(INDEX, "message_group_uuid", "sk")
_KEYS = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
_INDEX_KEYS = [{"AttributeName": "message_group_uuid", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
_UNITS = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
_STREAM = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
_TAG = "cruddur:environment"
# What DynamoDB Local has in its ARNs where AWS has a region.
_UNTAGGED = "arn:aws:dynamodb:ddblocal:"
Say = Callable[[str], None]


@dataclass(frozen=True)
class TableName:
    """One table of the account and region."""

    table_name: str


@dataclass(frozen=True)
class Table:
    """What DescribeTable tells. On AWS ``items`` and ``bytes`` are up to six hours old."""

    table_name: str
    status: str
    items: int
    bytes: int
    keys: str
    indexes: dict[str, str]
    billing: str
    stream: str | None
    deletion_protection: bool
    created_at: datetime | None


def names(dynamodb: DynamoDB) -> Iterator[TableName]:
    """Every table of the account and region, all pages."""
    params: dict[str, Any] = {}
    while True:
        answer = dynamodb.call("list_tables", **params)
        yield from map(TableName, answer["TableNames"])
        if not answer.get("LastEvaluatedTableName"):
            return
        params = {"ExclusiveStartTableName": answer["LastEvaluatedTableName"]}


def describe(dynamodb: DynamoDB) -> Table:
    """What there is under the table's name. Raises NotFound."""
    return of_description(description(dynamodb))


def of_description(raw: dict[str, Any]) -> Table:
    """The table that an answer of ``description`` is about."""
    stream = raw.get("StreamSpecification") or {}
    types = {each["AttributeName"]: each["AttributeType"] for each in raw.get("AttributeDefinitions", [])}
    return Table(
        table_name=raw["TableName"],
        status=raw["TableStatus"],
        items=raw.get("ItemCount", 0),
        bytes=raw.get("TableSizeBytes", 0),
        keys=_key_text(raw["KeySchema"], types),
        indexes={index["IndexName"]: _index_text(index, types) for index in raw.get("GlobalSecondaryIndexes", [])},
        billing=_billing(raw),
        stream=stream.get("StreamViewType") if stream.get("StreamEnabled") else None,
        deletion_protection=bool(raw.get("DeletionProtectionEnabled")),
        created_at=raw.get("CreationDateTime"),
    )


def exists(dynamodb: DynamoDB) -> bool:
    """Whether there is a table of that name, in whatever state."""
    try:
        description(dynamodb)
    except NotFound:
        return False
    return True


def create(dynamodb: DynamoDB, *, on_demand: bool = False, stream: bool = False, say: Say, wait_s: float = 60) -> bool:
    """Make the table and wait until it and its index take writes; False where it was there already.

    ``stream`` gives a table that is made a stream of new items; ``enable_stream`` does it to one that was there.

    Raises CannotConnect when it is not ready after ``wait_s``.
    """
    billing: dict[str, Any] = {"BillingMode": "PAY_PER_REQUEST"} if on_demand else {"ProvisionedThroughput": _UNITS}
    index = {"IndexName": INDEX, "KeySchema": _INDEX_KEYS, "Projection": {"ProjectionType": "ALL"}}
    if not on_demand:
        index["ProvisionedThroughput"] = _UNITS
    if stream:
        billing["StreamSpecification"] = _STREAM
    while True:
        made = True
        try:
            dynamodb.call(
                "create_table",
                TableName=dynamodb.table,
                KeySchema=_KEYS,
                AttributeDefinitions=[
                    {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "message_group_uuid")
                ],
                GlobalSecondaryIndexes=[index],
                **billing,
            )
        except Refused as error:
            if not _in_use(error):
                raise
            made = False
        # One that was there may have been on its way out: then its name is free, and it is made after all.
        settled = _is_ready if made else lambda raw: raw is None or _is_ready(raw)
        _wait(dynamodb, settled, "is not ready yet", say=say, wait_s=wait_s)
        if made or exists(dynamodb):
            return made


def enable_stream(dynamodb: DynamoDB, *, say: Say, wait_s: float = 60, dry_run: bool = False) -> bool:
    """Turn on the table's stream of new items and wait for it; False where it has one that carries them.

    Raises Refused where there is a stream of another view: it has to be turned off first, and whoever reads it finds a
    new one under a new ARN.
    """
    table = describe(dynamodb)
    if table.stream in {"NEW_IMAGE", "NEW_AND_OLD_IMAGES"}:
        return False
    if table.stream is not None:
        raise Refused(
            f"Table {dynamodb.table!r} has a stream of {table.stream}, which does not carry new items.",
            hint=f"aws dynamodb update-table --table-name {dynamodb.table} --stream-specification StreamEnabled=false",
            code="stream_view",
        )
    if not dry_run:
        dynamodb.call("update_table", TableName=dynamodb.table, StreamSpecification=_STREAM)
        wait_ready(dynamodb, say=say, wait_s=wait_s)
    return True


def wait_ready(dynamodb: DynamoDB, *, say: Say, wait_s: float = 60) -> None:
    """Wait until the table and its indexes are ACTIVE. Raises NotFound, CannotConnect."""
    _wait(dynamodb, _is_ready, "is not ready yet", say=say, wait_s=wait_s)


def differences(table: Table) -> list[str]:
    """What an existing table has otherwise than the application expects; empty where it fits.

    Billing and streams are the owner's choice and no difference.
    """
    expected = {"keys": _key_text(_KEYS), INDEX: f"{_key_text(_INDEX_KEYS)}, projection ALL"}
    found = {"keys": table.keys, INDEX: table.indexes.get(INDEX, "missing")}
    return [f"{what}: {found[what]} (expected {expected[what]})" for what in expected if found[what] != expected[what]]


def stamp(dynamodb: DynamoDB) -> bool:
    """Tag the table as production, a second time changes nothing; False where the engine knows no tags."""
    tags = [{"Key": _TAG, "Value": "production"}]
    try:
        dynamodb.call("tag_resource", ResourceArn=description(dynamodb)["TableArn"], Tags=tags)
    except Refused as error:
        if _knows_no_tags(error):
            return False
        raise
    return True


def _knows_no_tags(error: Refused) -> bool:
    """Whether it is DynamoDB Local, on which no table can be stamped."""
    return error.fields.get("aws_code") == "UnknownOperationException"


def refuse_stamped(dynamodb: DynamoDB) -> None:
    """Raise Protected where the table is tagged as production: for what writes and came without --prod.

    That is two requests, which cost nothing, and one where there is no table, or the engine knows no tags.
    """
    try:
        arn = description(dynamodb)["TableArn"]
        if arn.startswith(_UNTAGGED):
            return
        answer = dynamodb.call("list_tags_of_resource", ResourceArn=arn)
    except NotFound:
        return
    except Refused as error:
        if _knows_no_tags(error):
            return
        raise
    if {"Key": _TAG, "Value": "production"} in answer.get("Tags", []):
        raise Protected(
            f"Table {dynamodb.table!r} is stamped as production, and this command came without --prod.",
            hint="--prod",
            code="stamped_production",
        )


def are_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two answers of ``description`` are about one table, however the way to its server is spelled.

    DynamoDB Local gives no TableId; there two tables of one name on two servers differ in the moment they were made.
    """
    names = ["TableId"] if "TableId" in one and "TableId" in other else ["TableArn", "CreationDateTime"]
    return all(one.get(name) == other.get(name) for name in names)


def drop(dynamodb: DynamoDB, *, say: Say, wait_s: float = 60) -> bool:
    """Drop the table and wait until its name is free; False where there was none.

    A table that is still being made or changed is waited for. Raises Refused where deletion protection is on.
    """
    try:
        table = describe(dynamodb)
        if table.status not in {"ACTIVE", "DELETING"}:
            _wait(dynamodb, _is_ready, f"is {table.status} and cannot be dropped yet", say=say, wait_s=wait_s)
        if table.deletion_protection:
            raise Refused(
                f"Table {dynamodb.table!r} has deletion protection.",
                hint=f"aws dynamodb update-table --table-name {dynamodb.table} --no-deletion-protection-enabled",
                code="deletion_protected",
            )
        if table.status != "DELETING":
            _delete(dynamodb, say=say, wait_s=wait_s)
    except NotFound:
        return False
    _wait(dynamodb, lambda raw: raw is None, "is still being deleted", say=say, wait_s=wait_s)
    return True


def _delete(dynamodb: DynamoDB, *, say: Say, wait_s: float) -> None:
    """Ask for the deletion, again while somebody else's change is under way."""
    patience = dynamodb.patience()
    while True:
        try:
            dynamodb.call("delete_table", TableName=dynamodb.table)
            return
        except Refused as error:
            if not _in_use(error) or not patience.wait():
                raise
        _wait(dynamodb, lambda raw: raw is None or _is_ready(raw), "is busy", say=say, wait_s=wait_s)


def _in_use(error: Refused) -> bool:
    return error.fields.get("aws_code") == "ResourceInUseException"


def description(dynamodb: DynamoDB) -> dict[str, Any]:
    """DescribeTable's ``Table``, as it comes. Raises NotFound."""
    raw: dict[str, Any] = dynamodb.call("describe_table", TableName=dynamodb.table)["Table"]
    return raw


def _wait(
    dynamodb: DynamoDB, done: Callable[[dict[str, Any] | None], bool], otherwise: str, *, say: Say, wait_s: float
) -> None:
    """Ask often at first, then once a second: botocore's own waiter asks every 20 seconds."""
    deadline, pause_s, told = time.monotonic() + wait_s, 0.05, ""
    while True:
        try:
            raw: dict[str, Any] | None = description(dynamodb)
        except NotFound:
            raw = None
        if done(raw):
            return
        if time.monotonic() >= deadline:
            raise CannotConnect(
                f"Table {dynamodb.table!r} {otherwise} after {wait_s:.0f} seconds.", hint="cruddur ddb describe-table"
            )
        state = _progress(raw)
        if state != told:
            say(f"table {dynamodb.table}: {state}")
            told = state
        time.sleep(pause_s)
        pause_s = min(1.0, pause_s * 1.6)


def _is_ready(raw: dict[str, Any] | None) -> bool:
    if raw is None:  # CreateTable was accepted, and DescribeTable may not know it yet
        return False
    states = [
        raw["TableStatus"],
        *(index.get("IndexStatus", "ACTIVE") for index in raw.get("GlobalSecondaryIndexes", [])),
    ]
    return all(state == "ACTIVE" for state in states)


def _progress(raw: dict[str, Any] | None) -> str:
    if raw is None:
        return "not visible yet"
    indexes = [
        f"{index['IndexName']} {index['IndexStatus']}"
        for index in raw.get("GlobalSecondaryIndexes", [])
        if "IndexStatus" in index
    ]
    return ", ".join([raw["TableStatus"], *indexes])


def _key_text(schema: list[dict[str, str]], types: Mapping[str, str] | None = None) -> str:
    """``pk (HASH), sk (RANGE)``; the type of a key is said where it is not a text."""
    parts = []
    for key in sorted(schema, key=lambda key: key["KeyType"]):
        kind = (types or {}).get(key["AttributeName"], "S")
        parts.append(f"{key['AttributeName']} ({key['KeyType']}{'' if kind == 'S' else f', {kind}'})")
    return ", ".join(parts)


def _index_text(index: dict[str, Any], types: Mapping[str, str]) -> str:
    projection = index.get("Projection", {}).get("ProjectionType", "?")
    return f"{_key_text(index['KeySchema'], types)}, projection {projection}"


def _billing(raw: dict[str, Any]) -> str:
    if (raw.get("BillingModeSummary") or {}).get("BillingMode") == "PAY_PER_REQUEST":
        return "on demand"
    units = raw.get("ProvisionedThroughput") or {}
    return f"provisioned, {units.get('ReadCapacityUnits', 0)} RCU / {units.get('WriteCapacityUnits', 0)} WCU"
