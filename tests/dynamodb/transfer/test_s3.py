"""DynamoDB's export and import: what moto lacks (running jobs, manifests, failures, ListImports) is injected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.transfer import s3
from cruddur_cli.dynamodb.transfer.s3 import S3Location
from cruddur_cli.errors import BadInput, CannotConnect, Protected, Refused
from tests.commands import production
from tests.dynamodb import aws_by_moto

PLACE = S3Location("cruddur-exports", "nightly")


@pytest.fixture
def aws() -> Iterator[DynamoDB]:
    with aws_by_moto.store() as found:
        where = {"LocationConstraint": production.REGION}
        production.client("s3").create_bucket(Bucket=PLACE.bucket, CreateBucketConfiguration=where)
        found.call(
            "update_continuous_backups",
            TableName=found.table,
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
        )
        yield found


def silent(_: str) -> None:
    pass


def exports(aws: DynamoDB) -> int:
    arn = aws.call("describe_table", TableName=aws.table)["Table"]["TableArn"]
    return len(aws.call("list_exports", TableArn=arn)["ExportSummaries"])


def exporting(**more: Any) -> aws_by_moto.Change:
    return lambda parsed: parsed["ExportDescription"].update({"ExportStatus": "IN_PROGRESS", **more})


def importing(**more: Any) -> aws_by_moto.Change:
    return lambda parsed: parsed["ImportTableDescription"].update({"ImportStatus": "IN_PROGRESS", **more})


@pytest.mark.parametrize(
    ("url", "place"),
    [("s3://bucket/a/b/", S3Location("bucket", "a/b")), ("s3://bucket", S3Location("bucket", ""))],
)
def test_places_are_read(url: str, place: S3Location) -> None:
    assert s3.parse(url) == place
    assert s3.parse(str(place)) == place


@pytest.mark.parametrize("url", ["s3://", "s3://UPPER/x", "s3:///x", "https://bucket/x", "bucket", "s3://a b/x"])
def test_what_is_no_place_is_refused(url: str) -> None:
    with pytest.raises(BadInput):
        s3.parse(url)


def test_an_export_is_waited_for_and_the_manifest_says_where_it_is(aws: DynamoDB) -> None:
    manifest = {
        "ExportManifest": "nightly/AWSDynamoDB/01-ab/manifest-summary.json",
        "ExportStatus": "COMPLETED",
        "ItemCount": 3,
        "BilledSizeBytes": 1234,
    }
    aws_by_moto.answers(
        aws, "DescribeExport", exporting(), exporting(), lambda parsed: parsed["ExportDescription"].update(manifest)
    )
    said: list[str] = []
    done = s3.export(aws, PLACE, say=said.append, wait_s=30)
    assert done.location == "s3://cruddur-exports/nightly/AWSDynamoDB/01-ab/data/"
    assert (done.status, done.items, done.bytes) == ("completed", 3, 1234)
    assert said == ["export to s3://cruddur-exports/nightly: in progress"]


def test_an_export_whose_manifest_counts_nothing_has_no_items(aws: DynamoDB) -> None:
    def uncounted(parsed: dict[str, Any]) -> None:
        for name in ("ItemCount", "BilledSizeBytes"):
            parsed["ExportDescription"].pop(name, None)

    aws_by_moto.answers(aws, "DescribeExport", *[uncounted] * 3)
    done = s3.export(aws, PLACE, say=silent, wait_s=30)
    assert (done.items, done.bytes) == (0, 0)


def test_an_export_that_runs_to_the_same_place_is_taken_up(aws: DynamoDB) -> None:
    aws_by_moto.answers(aws, "DescribeExport", *[exporting()] * 3)
    with pytest.raises(CannotConnect, match="AWS continues by itself"):
        s3.export(aws, PLACE, say=silent, wait_s=0)

    def running(parsed: dict[str, Any]) -> None:
        for one in parsed["ExportSummaries"]:
            one["ExportStatus"] = "IN_PROGRESS"

    aws_by_moto.answers(aws, "ListExports", running, running)
    said: list[str] = []
    s3.export(aws, PLACE, say=said.append, wait_s=30)
    assert said[0] == "an export to s3://cruddur-exports/nightly is running already"
    assert exports(aws) == 1
    s3.export(aws, S3Location(PLACE.bucket, "elsewhere"), say=silent, wait_s=30)
    assert exports(aws) == 2


def test_an_export_that_fails_says_why(aws: DynamoDB) -> None:
    why = exporting(ExportStatus="FAILED", FailureMessage="AccessDenied to the bucket")
    aws_by_moto.answers(aws, "DescribeExport", why)
    with pytest.raises(Refused, match="failed: AccessDenied to the bucket"):
        s3.export(aws, PLACE, say=silent, wait_s=30)


def test_an_import_is_waited_for_with_progress(aws: DynamoDB) -> None:
    data = _exported(aws)
    aws_by_moto.answers(aws, "DescribeImport", importing(ProcessedItemCount=2))
    said: list[str] = []
    done = s3.import_into(aws, data, "copied", say=said.append, wait_s=30)
    assert (done.items, done.errors, done.differences) == (3, 0, ())
    assert said[0] == "import into table copied: in progress, 2 items"


def test_the_folder_of_an_export_is_enough(aws: DynamoDB) -> None:
    data = _exported(aws)
    folder = S3Location(data.bucket, data.prefix.removesuffix("/data"))
    assert s3.import_into(aws, folder, "copied", say=silent, wait_s=30).items == 3


def test_an_import_that_was_begun_before_is_taken_up_and_another_table_is_refused(aws: DynamoDB) -> None:
    data = _exported(aws)
    first = s3.import_into(aws, data, "copied", say=silent, wait_s=30)
    # moto knows no ListImports, and says so with a 404.
    aws_by_moto.refuses(aws, "ListImports", "UnknownOperationException")
    with pytest.raises(Protected, match="already"):
        s3.import_into(aws, data, "copied", say=silent, wait_s=30)
    source = {"S3Bucket": data.bucket, "S3KeyPrefix": f"{data.prefix}/"}
    summary = {"ImportArn": first.import_arn, "ImportStatus": "COMPLETED", "S3BucketSource": source}
    aws_by_moto.answered(aws, "ListImports", {"ImportSummaryList": [summary]})
    said: list[str] = []
    again = s3.import_into(aws, data, "copied", say=said.append, wait_s=30)
    assert (again.import_arn, said) == (first.import_arn, ["the import into table copied was started before"])


def test_an_import_that_fails_says_why(aws: DynamoDB) -> None:
    why = importing(ImportStatus="FAILED", FailureCode="S3NoSuchBucket", FailureMessage="no such bucket")
    aws_by_moto.answers(aws, "DescribeImport", why)
    with pytest.raises(Refused, match="failed: no such bucket"):
        s3.import_into(aws, _exported(aws), "copied", say=silent, wait_s=30)


def _exported(aws: DynamoDB) -> S3Location:
    """Where an export's items are; moto names the folder otherwise than the export."""
    s3.export(aws, PLACE, say=silent, wait_s=30)
    (entry,) = production.client("s3").list_objects_v2(Bucket=PLACE.bucket)["Contents"]
    return S3Location(PLACE.bucket, entry["Key"].rpartition("/")[0])
