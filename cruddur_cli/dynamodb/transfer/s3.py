"""DynamoDB's own export to S3 and import from it, which use none of the table's capacity. AWS does the work."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...aws_client import waiting
from ...errors import BadInput, NotFound, Protected, Refused
from .. import backups, tables
from ..client import DynamoDB
from ..schema import INDEX, INDEX_KEYS, KEY_TYPES, KEYS

SCHEME = "s3://"
COMPLETED, RUNNING = "COMPLETED", "IN_PROGRESS"
_FORM = "DYNAMODB_JSON"
# "Bucket naming rules".
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_EXPORT = re.compile(r"(?:.*/)?AWSDynamoDB/[^/]+")
# What an emulator answers that knows no such operation.
_UNKNOWN = {"UnknownOperationException", "InvalidAction", "NotImplemented", "404", "501"}
Say = Callable[[str], None]


@dataclass(frozen=True)
class S3Location:
    """A bucket, and the beginning of the keys in it."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}"


@dataclass(frozen=True)
class S3Export:
    """What an export to S3 left; ``location`` is what an import takes."""

    location: str
    status: str
    items: int
    bytes: int
    export_arn: str


@dataclass(frozen=True)
class S3Import:
    """What an import from S3 made: items in the new table, and lines that DynamoDB did not take."""

    table_name: str
    status: str
    items: int
    errors: int
    differences: tuple[str, ...]
    import_arn: str


def parse(url: str) -> S3Location:
    """The place that ``s3://BUCKET/PREFIX`` names. Raises BadInput."""
    bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
    if not url.startswith(SCHEME) or not _BUCKET.fullmatch(bucket):
        raise BadInput(f"{url!r} is not an S3 URL.", hint="write s3://BUCKET/PREFIX")
    return S3Location(bucket, prefix.strip("/"))


def export(dynamodb: DynamoDB, place: S3Location, *, say: Say, wait_s: float) -> S3Export:
    """The export once it is complete; one to the same place that runs already is waited for.

    Raises Refused without point-in-time recovery, which DynamoDB exports from, and where the export fails.
    """
    if backups.window(dynamodb) is None:
        raise Refused(
            f"Table {dynamodb.table!r} has no point-in-time recovery, which an export by DynamoDB needs.",
            hint=f"cruddur ddb protect --table {dynamodb.table} --prod",
            code="no_point_in_time_recovery",
        )
    arn = tables.description(dynamodb)["TableArn"]
    running = next((one for one in _exports(dynamodb, arn) if _is_to(one, place)), None)
    if running is None:
        params: dict[str, Any] = {"TableArn": arn, "S3Bucket": place.bucket, "ExportFormat": _FORM}
        if place.prefix:
            params["S3Prefix"] = place.prefix
        running = dynamodb.call("export_table_to_point_in_time", **params)["ExportDescription"]
    else:
        say(f"an export to {place} is running already")
    name = running["ExportArn"]
    found = waiting.until(
        lambda: dict(dynamodb.call("describe_export", ExportArn=name)["ExportDescription"]),
        done=lambda one: one["ExportStatus"] != RUNNING,
        state=lambda one: f"export to {place}: {_word(one['ExportStatus'])}",
        say=say,
        wait_s=wait_s,
        hint="run the same command again: it waits for the same export",
    )
    _check(found, "ExportStatus", f"The export of table {dynamodb.table!r} to {place}", place)
    return S3Export(
        location=str(S3Location(place.bucket, _data(found, place))),
        status=_word(found["ExportStatus"]),
        items=int(found.get("ItemCount", 0)),
        bytes=int(found.get("BilledSizeBytes", 0)),
        export_arn=name,
    )


def _exports(dynamodb: DynamoDB, arn: str) -> Iterator[dict[str, Any]]:
    """The exports of a table that are running."""
    params: dict[str, Any] = {"TableArn": arn}
    while True:
        answer = dynamodb.call("list_exports", **params)
        for one in answer.get("ExportSummaries", []):
            if one["ExportStatus"] == RUNNING:
                yield dynamodb.call("describe_export", ExportArn=one["ExportArn"])["ExportDescription"]
        token = answer.get("NextToken")
        if not token or token == params.get("NextToken"):
            return
        params["NextToken"] = token


def _is_to(one: Mapping[str, Any], place: S3Location) -> bool:
    return one.get("S3Bucket") == place.bucket and (one.get("S3Prefix") or "").strip("/") == place.prefix


def _data(found: Mapping[str, Any], place: S3Location) -> str:
    """Where the export's items are; its manifest stands beside them."""
    manifest = str(found.get("ExportManifest") or "")
    folder = manifest.rpartition("/")[0]
    if not folder:
        folder = "/".join(filter(None, [place.prefix, "AWSDynamoDB", str(found["ExportArn"]).rpartition("/")[2]]))
    return f"{folder}/data/"


def import_into(dynamodb: DynamoDB, place: S3Location, into: str, *, say: Say, wait_s: float) -> S3Import:
    """The new table once the import is complete; the same import that runs, or is done, is taken up.

    The place is an export of DynamoDB's: gzipped files of DynamoDB JSON. Raises Protected where there is another table
    of that name, Refused where the import fails: DynamoDB leaves the table then.
    """
    place = replace(place, prefix=f"{place.prefix}/data/" if _EXPORT.fullmatch(place.prefix) else place.prefix)
    target = replace(dynamodb, table=into)
    name = _import_under_way(target, place)
    if name is None:
        name = _begin(target, place)
    else:
        say(f"the import into table {into} was started before")
    found = waiting.until(
        lambda: dict(dynamodb.call("describe_import", ImportArn=name)["ImportTableDescription"]),
        done=lambda one: one["ImportStatus"] != RUNNING,
        state=lambda one: (
            f"import into table {into}: {_word(one['ImportStatus'])}, {one.get('ProcessedItemCount', 0):,} items"
        ),
        say=say,
        wait_s=wait_s,
        hint="run the same command again: it waits for the same import",
    )
    _check(found, "ImportStatus", f"The import of {place} into table {into!r}", place)
    tables.wait_ready(target, say=say)
    return S3Import(
        table_name=into,
        status=_word(found["ImportStatus"]),
        items=int(found.get("ImportedItemCount", 0)),
        errors=int(found.get("ErrorCount", 0)),
        differences=tuple(tables.differences(tables.describe(target))),
        import_arn=name,
    )


def _import_under_way(target: DynamoDB, place: S3Location) -> str | None:
    """The import that makes, or made, the table from that place. Raises Protected where the table is another one."""
    try:
        arn = tables.description(target)["TableArn"]
    except NotFound:
        return None
    for one in _imports(target, arn):
        source = one.get("S3BucketSource", {})
        same = source.get("S3Bucket") == place.bucket
        if same and str(source.get("S3KeyPrefix", "")).strip("/") == place.prefix.strip("/"):
            return str(one["ImportArn"])
    raise Protected(
        f"There is a table {target.table!r} already, and an import from S3 creates a new table.",
        hint=f"choose another name, such as --into {target.table}-imported",
        code="table_exists",
    )


def _imports(target: DynamoDB, arn: str) -> list[dict[str, Any]]:
    try:
        found = target.call("list_imports", TableArn=arn).get("ImportSummaryList", [])
    except Refused as error:
        if error.fields.get("aws_code") not in _UNKNOWN:
            raise
        return []
    return [one for one in found if one.get("ImportStatus") in {RUNNING, COMPLETED}]


def _begin(target: DynamoDB, place: S3Location) -> str:
    index = {"IndexName": INDEX, "KeySchema": INDEX_KEYS, "Projection": {"ProjectionType": "ALL"}}
    source = {"S3Bucket": place.bucket, **({"S3KeyPrefix": place.prefix} if place.prefix else {})}
    answer = target.call(
        "import_table",
        # The same request again within eight hours is the same import.
        ClientToken=hashlib.sha256(f"{place} {target.table}".encode()).hexdigest()[:36],
        S3BucketSource=source,
        InputFormat=_FORM,
        InputCompressionType="GZIP",
        TableCreationParameters={
            "TableName": target.table,
            "KeySchema": KEYS,
            "AttributeDefinitions": KEY_TYPES,
            "GlobalSecondaryIndexes": [index],
            "BillingMode": "PAY_PER_REQUEST",
        },
    )
    return str(answer["ImportTableDescription"]["ImportArn"])


def _check(found: Mapping[str, Any], status: str, what: str, place: S3Location) -> None:
    if found[status] != COMPLETED:
        why = found.get("FailureMessage") or found.get("FailureCode") or "AWS does not say why"
        ended = {"FAILED": "failed", "CANCELLED": "was cancelled"}.get(found[status], f"is {_word(found[status])}")
        raise Refused(
            f"{what} {ended}: {str(why).rstrip('.')}.",
            hint=f"check the bucket, its region and who may use it: aws s3 ls {shlex.quote(f'{SCHEME}{place.bucket}')}",
            code="aws_job_failed",
        )


def _word(status: str) -> str:
    return status.lower().replace("_", " ")
