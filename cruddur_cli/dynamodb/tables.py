"""Create, describe and drop the table, and compare its schema with the one that the application expects."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..aws_client.client import TIMEOUTS, Backoff
from ..errors import CannotConnect, NotFound, Protected, Refused
from .client import DynamoDB
from .schema import INDEX, INDEX_KEYS, KEY_TYPES, KEYS

_UNITS = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
_ON_DEMAND = "PAY_PER_REQUEST"
_STREAM: dict[str, Any] = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
_TAG = "cruddur:environment"
# The ARNs of DynamoDB Local begin with this. It does not support tags.
UNTAGGED = "arn:aws:dynamodb:ddblocal:"
Say = Callable[[str], None]


@dataclass(frozen=True)
class TableName:
    """One table of the account and region."""

    table_name: str


@dataclass(frozen=True)
class Table:
    """A table as DescribeTable describes it.

    ``keys``, ``indexes`` (by name) and ``billing`` are texts for people. ``stream`` is the stream's view type, or None
    without a stream. On AWS, ``items`` and ``bytes`` can be six hours old.
    """

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
    """Yield the name of every table of the account and region, from all pages."""
    params: dict[str, Any] = {}
    while True:
        answer = dynamodb.call("list_tables", **params)
        yield from map(TableName, answer["TableNames"])
        if not answer.get("LastEvaluatedTableName"):
            return
        params = {"ExclusiveStartTableName": answer["LastEvaluatedTableName"]}


def describe(dynamodb: DynamoDB) -> Table:
    """The table as a record. Raises NotFound if there is no such table."""
    return of_description(description(dynamodb))


def of_description(raw: dict[str, Any]) -> Table:
    """The record of a table, from the result of ``description``."""
    stream = raw.get("StreamSpecification") or {}
    types = {each["AttributeName"]: each["AttributeType"] for each in raw.get("AttributeDefinitions", [])}
    return Table(
        table_name=raw["TableName"],
        status=raw["TableStatus"],
        items=raw.get("ItemCount", 0),
        bytes=raw.get("TableSizeBytes", 0),
        keys=_key_text(raw["KeySchema"], types),
        indexes={index["IndexName"]: _index_text(index, types) for index in raw.get("GlobalSecondaryIndexes", [])},
        billing=billing_text(raw),
        stream=stream.get("StreamViewType") if stream.get("StreamEnabled") else None,
        deletion_protection=bool(raw.get("DeletionProtectionEnabled")),
        created_at=raw.get("CreationDateTime"),
    )


def exists(dynamodb: DynamoDB) -> bool:
    """Whether the table exists, in any state."""
    try:
        description(dynamodb)
    except NotFound:
        return False
    return True


def create(
    dynamodb: DynamoDB,
    *,
    on_demand: bool = False,
    stream: bool = False,
    protected: bool = False,
    like: Mapping[str, Any] | None = None,
    index_throughput: Mapping[str, int] | None = None,
    say: Say = lambda _: None,
    wait_s: float = TIMEOUTS.table,
) -> bool:
    """Create the table and wait until it and its index accept writes; return False if the table existed already.

    The options apply only to a new table. ``stream`` turns on a stream of new items (``enable_stream`` does this for an
    existing table), ``protected`` turns on deletion protection. ``like`` holds parameters of CreateTable, taken from
    another table; ``on_demand`` and ``stream`` override them. ``index_throughput`` is the provisioned capacity of the
    index; the default is that of the table. ``say`` is called with each new state of the table.

    Raises CannotConnect if the table is not ready after ``wait_s`` seconds.
    """
    settings = dict(like or {"ProvisionedThroughput": _UNITS})
    if on_demand and settings.get("BillingMode") != _ON_DEMAND:
        settings.pop("ProvisionedThroughput", None)
        settings["BillingMode"] = _ON_DEMAND
    if stream and not _carries_new_items(settings.get("StreamSpecification", {}).get("StreamViewType")):
        settings["StreamSpecification"] = _STREAM
    if protected:
        settings["DeletionProtectionEnabled"] = True
    while True:
        created = True
        try:
            send_create_table(dynamodb, settings, index_throughput)
        except Refused as error:
            if not _in_use(error):
                raise
            created = False
        # An existing table may be in deletion. Once it is deleted, the loop creates the table.
        settled = is_ready if created else lambda raw: raw is None or is_ready(raw)
        _wait(dynamodb, settled, "is not ready yet", say=say, wait_s=wait_s)
        if created or exists(dynamodb):
            return created


def send_create_table(
    dynamodb: DynamoDB, settings: Mapping[str, Any], index_throughput: Mapping[str, int] | None = None
) -> None:
    """Send one CreateTable request with the application's keys and index, and with the parameters ``settings``.

    Raises Refused if the table exists.
    """
    index: dict[str, Any] = {"IndexName": INDEX, "KeySchema": INDEX_KEYS, "Projection": {"ProjectionType": "ALL"}}
    if settings.get("BillingMode") != _ON_DEMAND:
        index["ProvisionedThroughput"] = dict(index_throughput or settings["ProvisionedThroughput"])
    dynamodb.call(
        "create_table",
        TableName=dynamodb.table,
        KeySchema=KEYS,
        AttributeDefinitions=KEY_TYPES,
        GlobalSecondaryIndexes=[index],
        **settings,
    )


def make_on_demand(
    dynamodb: DynamoDB, *, say: Say = lambda _: None, wait_s: float = TIMEOUTS.table, dry_run: bool = False
) -> tuple[str, str] | None:
    """Switch an existing table to on-demand billing; return its billing before and after, as texts.

    Returns None if the table is on demand already. Raises Refused if AWS allows no further change within 24 hours.
    """
    before = describe(dynamodb).billing
    if before == "on demand":
        return None
    if dry_run:
        return before, "on demand"
    dynamodb.call("update_table", TableName=dynamodb.table, BillingMode=_ON_DEMAND)
    wait_ready(dynamodb, say=say, wait_s=wait_s)
    return before, describe(dynamodb).billing


def _carries_new_items(view: str | None) -> bool:
    return view in {"NEW_IMAGE", "NEW_AND_OLD_IMAGES"}


def stream_off(table: str, url: str | None) -> str:
    """The shell command that turns off a table's stream: at the endpoint ``url``, or in AWS without ``url``."""
    command = ["aws", "dynamodb", "update-table", "--table-name", table]
    command += ["--stream-specification", "StreamEnabled=false", *(["--endpoint-url", url] if url else [])]
    return shlex.join(command)


def enable_stream(
    dynamodb: DynamoDB, *, say: Say = lambda _: None, wait_s: float = TIMEOUTS.table, dry_run: bool = False
) -> bool:
    """Turn on the table's stream of new items and wait for it; return False if it has such a stream already.

    Raises Refused if the table has a stream with a view type that lacks new images. That stream must be turned off
    first, and a new stream gets a new ARN.
    """
    table = describe(dynamodb)
    if _carries_new_items(table.stream):
        return False
    if table.stream is not None:
        raise Refused(
            f"Table {dynamodb.table!r} has a stream with the view type {table.stream}, which lacks the new image.",
            hint=stream_off(dynamodb.table, dynamodb.at.url),
            code="stream_view",
        )
    if not dry_run:
        dynamodb.call("update_table", TableName=dynamodb.table, StreamSpecification=_STREAM)
        wait_ready(dynamodb, say=say, wait_s=wait_s)
    return True


def wait_ready(dynamodb: DynamoDB, *, say: Say = lambda _: None, wait_s: float = TIMEOUTS.table) -> None:
    """Wait until the table and its indexes are ACTIVE. Raises NotFound, CannotConnect."""
    _wait(dynamodb, is_ready, "is not ready yet", say=say, wait_s=wait_s)


def differences(table: Table) -> list[str]:
    """The differences between the table's keys and index and those that the application expects, one text each.

    Billing and streams are not compared, because the table's owner chooses them.
    """
    expected = {"keys": _key_text(KEYS), INDEX: f"{_key_text(INDEX_KEYS)}, projection ALL"}
    actual = {"keys": table.keys, INDEX: table.indexes.get(INDEX, "missing")}
    return [
        f"{part}: {actual[part]} (expected {expected[part]})" for part in expected if actual[part] != expected[part]
    ]


def shape(raw: dict[str, Any], *, is_production: bool) -> tuple[dict[str, str], dict[str, str]]:
    """The actual and the expected shape of a table: two mappings from the name of a part to its text.

    Billing and streams are the owner's choice, so the actual value is also the expected one. There are two exceptions:
    an index with less write capacity than the table, and a stream that the stream processor cannot read. With
    ``is_production``, deletion protection is expected, because `setup --prod` turns it on.
    """
    table = of_description(raw)
    index_billing = next(
        (
            billing_text({**each, "BillingModeSummary": raw.get("BillingModeSummary")})
            for each in raw.get("GlobalSecondaryIndexes", [])
            if each["IndexName"] == INDEX
        ),
        None,
    )
    actual = {"keys": table.keys, **{f"index {name}": text for name, text in table.indexes.items()}}
    wanted = {"keys": _key_text(KEYS), f"index {INDEX}": f"{_key_text(INDEX_KEYS)}, projection ALL"}
    actual["billing"] = wanted["billing"] = table.billing
    if index_billing is not None:
        actual[f"billing of {INDEX}"] = index_billing
        wanted[f"billing of {INDEX}"] = table.billing if _is_slower(raw) else index_billing
    if table.stream is not None:
        actual["stream"] = table.stream
        wanted["stream"] = table.stream if _carries_new_items(table.stream) else _STREAM["StreamViewType"]
    if is_production:
        actual["deletion protection"] = "on" if table.deletion_protection else "off"
        wanted["deletion protection"] = "on"
    return actual, wanted


def _is_slower(raw: dict[str, Any]) -> bool:
    """Whether the index has less write capacity than its provisioned table. Such an index throttles the table."""
    if billing_text(raw) == "on demand":
        return False
    indexes = {each["IndexName"]: each for each in raw.get("GlobalSecondaryIndexes", [])}
    index = indexes.get(INDEX, {})
    of_index, of_table = (
        (each.get("ProvisionedThroughput") or {}).get("WriteCapacityUnits", 0) for each in (index, raw)
    )
    return bool(0 < of_index < of_table)


def mark_production(dynamodb: DynamoDB) -> bool:
    """Tag the table as production; return False if the engine does not support tags. Safe to repeat."""
    return tag(dynamodb, [{"Key": _TAG, "Value": "production"}])


def tag(dynamodb: DynamoDB, tags: list[dict[str, str]]) -> bool:
    """Add tags to the table; return False if the engine does not support tags. Safe to repeat."""
    arn = description(dynamodb)["TableArn"]
    dynamodb.tags.pop(arn, None)
    try:
        dynamodb.call("tag_resource", ResourceArn=arn, Tags=tags)
    except Refused as error:
        if _has_no_tags(error):
            return False
        raise
    return True


def _has_no_tags(error: Refused) -> bool:
    """Whether an error means that the engine does not support tags, as DynamoDB Local."""
    return error.fields.get("aws_code") == "UnknownOperationException"


def tags(dynamodb: DynamoDB, arn: str) -> list[dict[str, str]]:
    """The tags of the table with this ARN, kept in ``dynamodb.tags``; empty if the engine does not support tags."""
    if arn in dynamodb.tags:
        return dynamodb.tags[arn]
    read_tags: list[dict[str, str]] = []
    params: dict[str, Any] = {"ResourceArn": arn}
    try:
        while not arn.startswith(UNTAGGED):
            answer = dynamodb.call("list_tags_of_resource", **params)
            read_tags += answer.get("Tags", [])
            if not answer.get("NextToken"):
                break
            params["NextToken"] = answer["NextToken"]
    except Refused as error:
        if not _has_no_tags(error):
            raise
    dynamodb.tags[arn] = read_tags
    return read_tags


def is_production(dynamodb: DynamoDB) -> bool:
    """Whether the table is tagged as production; False if the engine does not support tags, or without a table.

    It usually sends two requests, which use no capacity units. A table's tags are read once.
    """
    try:
        return {"Key": _TAG, "Value": "production"} in tags(dynamodb, description(dynamodb)["TableArn"])
    except NotFound:
        return False


def refuse_production(dynamodb: DynamoDB) -> None:
    """Raise Protected if the table is tagged as production. Call it before a write in a command without --prod."""
    if is_production(dynamodb):
        raise Protected(
            f"Table {dynamodb.table!r} is marked as production, and this command was run without --prod.",
            hint="to run it on production, pass --prod",
            code="stamped_production",
        )


def are_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two results of ``description`` describe the same table, even if they come from two URLs of one server.

    DynamoDB Local gives no TableId. There the ARN and the time of creation identify a table.
    """
    names = ["TableId"] if "TableId" in one and "TableId" in other else ["TableArn", "CreationDateTime"]
    return all(one.get(name) == other.get(name) for name in names)


def drop(dynamodb: DynamoDB, *, say: Say = lambda _: None, wait_s: float = TIMEOUTS.table) -> bool:
    """Drop the table and wait until it is deleted; return False if it did not exist.

    If the table is being created or changed, it first waits until that is done. Raises Protected if the table has
    deletion protection, and CannotConnect if the table still exists after ``wait_s`` seconds.
    """
    try:
        dropped = description(dynamodb)
        table = of_description(dropped)
        if table.status not in {"ACTIVE", "DELETING"}:
            _wait(dynamodb, is_ready, f"is {table.status} and cannot be dropped yet", say=say, wait_s=wait_s)
        refuse_protected(dynamodb, table)
        if table.status != "DELETING":
            _delete(dynamodb, say=say, wait_s=wait_s)
    except NotFound:
        return False

    def is_gone(raw: dict[str, Any] | None) -> bool:
        return raw is None or not are_same(raw, dropped)  # another command may have created it again meanwhile

    _wait(dynamodb, is_gone, "is still being deleted", say=say, wait_s=wait_s)
    return True


def refuse_protected(dynamodb: DynamoDB, table: Table) -> None:
    """Raise Protected if the table has deletion protection."""
    if table.deletion_protection:
        flag = "" if dynamodb.at.local else " --prod"
        raise Protected(
            f"Table {dynamodb.table!r} has deletion protection. It was not dropped.",
            hint=f"cruddur ddb protect --off --table {dynamodb.table}{flag}",
            code="deletion_protected",
        )


def unprotect(dynamodb: DynamoDB, *, say: Say = lambda _: None, wait_s: float = TIMEOUTS.table) -> None:
    """Turn off deletion protection, before a drop that the user has confirmed with the table's name."""
    dynamodb.call("update_table", TableName=dynamodb.table, DeletionProtectionEnabled=False)
    wait_ready(dynamodb, say=say, wait_s=wait_s)


def _delete(dynamodb: DynamoDB, *, say: Say, wait_s: float) -> None:
    """Request the deletion, and retry while another change is in progress."""
    backoff = dynamodb.backoff()
    while True:
        try:
            dynamodb.call("delete_table", TableName=dynamodb.table)
            return
        except Refused as error:
            if not _in_use(error) or not backoff.wait():
                raise
        _wait(dynamodb, lambda raw: raw is None or is_ready(raw), "is busy", say=say, wait_s=wait_s)


def _in_use(error: Refused) -> bool:
    return error.fields.get("aws_code") == "ResourceInUseException"


def description(dynamodb: DynamoDB) -> dict[str, Any]:
    """The ``Table`` of DescribeTable's answer. Raises NotFound."""
    raw: dict[str, Any] = dynamodb.call("describe_table", TableName=dynamodb.table)["Table"]
    return raw


def _wait(
    dynamodb: DynamoDB, done: Callable[[dict[str, Any] | None], bool], otherwise: str, *, say: Say, wait_s: float
) -> None:
    """Poll the table until ``done(description)`` is true; the description is None while there is no table.

    It polls often at first, then once a second. botocore's own waiter polls every 20 seconds. Raises CannotConnect,
    with ``otherwise`` in the message, after ``wait_s`` seconds.
    """
    backoff, reported = Backoff(busy_s=wait_s, most_s=1.0), ""
    while True:
        try:
            raw: dict[str, Any] | None = description(dynamodb)
        except NotFound:
            raw = None
        if done(raw):
            return
        state = _progress(raw)
        if state != reported:
            say(f"table {dynamodb.table}: {state}")
            reported = state
        if not backoff.wait():
            raise CannotConnect(
                f"Table {dynamodb.table!r} {otherwise} after {wait_s:.0f} seconds.", hint="cruddur ddb describe-table"
            )


def is_ready(raw: dict[str, Any] | None) -> bool:
    """Whether the table of a description and all its indexes are ACTIVE. Without a description, False."""
    if raw is None:  # after CreateTable, DescribeTable may not find the table yet
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
    """A key schema as text: ``pk (HASH), sk (RANGE)``. The type is added only if it is not S."""
    parts = []
    for key in sorted(schema, key=lambda key: key["KeyType"]):
        kind = (types or {}).get(key["AttributeName"], "S")
        parts.append(f"{key['AttributeName']} ({key['KeyType']}{'' if kind == 'S' else f', {kind}'})")
    return ", ".join(parts)


def _index_text(index: dict[str, Any], types: Mapping[str, str]) -> str:
    projection = index.get("Projection", {}).get("ProjectionType", "?")
    return f"{_key_text(index['KeySchema'], types)}, projection {projection}"


def billing_text(raw: Mapping[str, Any]) -> str:
    """A table's billing as text, from DescribeTable's answer or from CreateTable's parameters."""
    if _ON_DEMAND in {raw.get("BillingMode"), (raw.get("BillingModeSummary") or {}).get("BillingMode")}:
        return "on demand"
    units = raw.get("ProvisionedThroughput") or {}
    return f"provisioned, {units.get('ReadCapacityUnits', 0)} RCU / {units.get('WriteCapacityUnits', 0)} WCU"


@dataclass(frozen=True)
class Expected:
    """The keys that the application expects, as text in the form of ``describe``."""

    keys: str
    index_keys: str


def expected() -> Expected:
    """The keys of the table and of its index that the application expects."""
    return Expected(_key_text(KEYS), _key_text(INDEX_KEYS))
