"""Start DynamoDB's own export to S3 and import from S3, and wait for them. They use no capacity of the table."""

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
# Error codes of emulators for operations that they do not support.
_UNKNOWN = {"UnknownOperationException", "InvalidAction", "NotImplemented", "404", "501"}
Say = Callable[[str], None]


@dataclass(frozen=True)
class S3Location:
    """A bucket, and a prefix of the keys in it."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}"


@dataclass(frozen=True)
class S3Export:
    """The result of an export to S3. ``location`` can be imported. ``bytes`` is the billed size."""

    location: str
    status: str
    items: int
    bytes: int
    export_arn: str


@dataclass(frozen=True)
class S3Import:
    """The result of an import from S3.

    ``items`` is the number of items in the new table, ``errors`` that of the items that DynamoDB did not accept.
    """

    table_name: str
    status: str
    items: int
    errors: int
    differences: tuple[str, ...]
    import_arn: str


def parse(url: str) -> S3Location:
    """The location of a URL ``s3://BUCKET/PREFIX``. Raises BadInput."""
    bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
    if not url.startswith(SCHEME) or not _BUCKET.fullmatch(bucket):
        raise BadInput(f"{url!r} is not an S3 URL.", hint="write s3://BUCKET/PREFIX")
    return S3Location(bucket, prefix.strip("/"))


def export(dynamodb: DynamoDB, place: S3Location, *, say: Say, wait_s: float) -> S3Export:
    """Export the table to S3, and return the export when it is complete.

    If an export to the same place is running, it waits for that one. Raises Refused if the table has no point-in-time
    recovery, from which DynamoDB exports, or if the export fails. Raises CannotConnect after ``wait_s`` seconds.
    """
    if backups.window(dynamodb) is None:
        raise Refused(
            f"Table {dynamodb.table!r} has no point-in-time recovery, which an export by DynamoDB needs.",
            hint=f"cruddur ddb protect --table {dynamodb.table} --prod",
            code="no_point_in_time_recovery",
        )
    arn = tables.description(dynamodb)["TableArn"]
    running = next((export for export in _running_exports(dynamodb, arn) if _is_to(export, place)), None)
    if running is None:
        params: dict[str, Any] = {"TableArn": arn, "S3Bucket": place.bucket, "ExportFormat": _FORM}
        if place.prefix:
            params["S3Prefix"] = place.prefix
        running = dynamodb.call("export_table_to_point_in_time", **params)["ExportDescription"]
    else:
        say(f"an export to {place} is running already")
    name = running["ExportArn"]
    ended = waiting.until(
        lambda: dict(dynamodb.call("describe_export", ExportArn=name)["ExportDescription"]),
        done=lambda export: export["ExportStatus"] != RUNNING,
        state=lambda export: f"export to {place}: {_status_text(export['ExportStatus'])}",
        say=say,
        wait_s=wait_s,
        hint="run the same command again: it waits for the same export",
    )
    _check_completed(ended, "ExportStatus", f"The export of table {dynamodb.table!r} to {place}", place)
    return S3Export(
        location=str(S3Location(place.bucket, _data_prefix(ended, place))),
        status=_status_text(ended["ExportStatus"]),
        items=int(ended.get("ItemCount", 0)),
        bytes=int(ended.get("BilledSizeBytes", 0)),
        export_arn=name,
    )


def _running_exports(dynamodb: DynamoDB, arn: str) -> Iterator[dict[str, Any]]:
    """Yield the exports of a table that are running."""
    params: dict[str, Any] = {"TableArn": arn}
    while True:
        answer = dynamodb.call("list_exports", **params)
        for summary in answer.get("ExportSummaries", []):
            if summary["ExportStatus"] == RUNNING:
                yield dynamodb.call("describe_export", ExportArn=summary["ExportArn"])["ExportDescription"]
        token = answer.get("NextToken")
        if not token or token == params.get("NextToken"):
            return
        params["NextToken"] = token


def _is_to(export: Mapping[str, Any], place: S3Location) -> bool:
    return export.get("S3Bucket") == place.bucket and (export.get("S3Prefix") or "").strip("/") == place.prefix


def _data_prefix(export: Mapping[str, Any], place: S3Location) -> str:
    """The prefix of the export's data files. The folder of its manifest contains them."""
    manifest = str(export.get("ExportManifest") or "")
    folder = manifest.rpartition("/")[0]
    if not folder:
        folder = "/".join(filter(None, [place.prefix, "AWSDynamoDB", str(export["ExportArn"]).rpartition("/")[2]]))
    return f"{folder}/data/"


def import_into(dynamodb: DynamoDB, place: S3Location, into: str, *, say: Say, wait_s: float) -> S3Import:
    """Import DynamoDB's export (gzipped DynamoDB JSON) into the new table ``into``; return it when it is complete.

    If the same import was started before, it waits for that one. Raises Protected if ``into`` is any other existing
    table. Raises Refused if the import fails; DynamoDB does not delete the new table then.
    """
    place = replace(place, prefix=f"{place.prefix}/data/" if _EXPORT.fullmatch(place.prefix) else place.prefix)
    target = replace(dynamodb, table=into)
    name = _started_import(target, place)
    if name is None:
        name = _start_import(target, place)
    else:
        say(f"the import into table {into} was started before")
    ended = waiting.until(
        lambda: dict(dynamodb.call("describe_import", ImportArn=name)["ImportTableDescription"]),
        done=lambda running: running["ImportStatus"] != RUNNING,
        state=lambda running: (
            f"import into table {into}: {_status_text(running['ImportStatus'])},"
            f" {running.get('ProcessedItemCount', 0):,} items"
        ),
        say=say,
        wait_s=wait_s,
        hint="run the same command again: it waits for the same import",
    )
    _check_completed(ended, "ImportStatus", f"The import of {place} into table {into!r}", place)
    tables.wait_ready(target, say=say)
    return S3Import(
        table_name=into,
        status=_status_text(ended["ImportStatus"]),
        items=int(ended.get("ImportedItemCount", 0)),
        errors=int(ended.get("ErrorCount", 0)),
        differences=tuple(tables.differences(tables.describe(target))),
        import_arn=name,
    )


def _started_import(target: DynamoDB, place: S3Location) -> str | None:
    """The ARN of the import that creates or created the table from that place; None if there is no table.

    Raises Protected if the table exists and comes from elsewhere.
    """
    try:
        arn = tables.description(target)["TableArn"]
    except NotFound:
        return None
    for summary in _imports(target, arn):
        source = summary.get("S3BucketSource", {})
        same_bucket = source.get("S3Bucket") == place.bucket
        if same_bucket and str(source.get("S3KeyPrefix", "")).strip("/") == place.prefix.strip("/"):
            return str(summary["ImportArn"])
    raise Protected(
        f"There is a table {target.table!r} already, and an import from S3 creates a new table.",
        hint=f"choose another name, such as --into {target.table}-imported",
        code="table_exists",
    )


def _imports(target: DynamoDB, arn: str) -> list[dict[str, Any]]:
    try:
        summaries = target.call("list_imports", TableArn=arn).get("ImportSummaryList", [])
    except Refused as error:
        if error.fields.get("aws_code") not in _UNKNOWN:
            raise
        return []
    return [summary for summary in summaries if summary.get("ImportStatus") in {RUNNING, COMPLETED}]


def _start_import(target: DynamoDB, place: S3Location) -> str:
    index = {"IndexName": INDEX, "KeySchema": INDEX_KEYS, "Projection": {"ProjectionType": "ALL"}}
    source = {"S3Bucket": place.bucket, **({"S3KeyPrefix": place.prefix} if place.prefix else {})}
    answer = target.call(
        "import_table",
        # A repeated request within eight hours does not start another import.
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


def _check_completed(ended: Mapping[str, Any], status: str, what: str, place: S3Location) -> None:
    if ended[status] != COMPLETED:
        why = ended.get("FailureMessage") or ended.get("FailureCode") or "AWS does not say why"
        verbs = {"FAILED": "failed", "CANCELLED": "was cancelled"}
        verb = verbs.get(ended[status], f"is {_status_text(ended[status])}")
        raise Refused(
            f"{what} {verb}: {str(why).rstrip('.')}.",
            hint=f"check the bucket, its region and who may use it: aws s3 ls {shlex.quote(f'{SCHEME}{place.bucket}')}",
            code="aws_job_failed",
        )


def _status_text(status: str) -> str:
    return status.lower().replace("_", " ")
