"""DynamoDB's export and import: what moto lacks (running jobs, manifests, failures, ListImports) is injected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.transfer import s3
from cruddur_cli.dynamodb.transfer.s3 import S3Location
from cruddur_cli.errors import BadInput, CannotConnect, Protected, Refused
from tests import faults
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
def test_urls_of_s3_are_parsed(url: str, place: S3Location) -> None:
    assert s3.parse(url) == place
    assert s3.parse(str(place)) == place


@pytest.mark.parametrize("url", ["s3://", "s3://UPPER/x", "s3:///x", "https://bucket/x", "bucket", "s3://a b/x"])
def test_a_url_that_is_not_an_s3_location_is_refused(url: str) -> None:
    with pytest.raises(BadInput):
        s3.parse(url)


def test_an_export_is_waited_for_and_located_by_its_manifest(aws: DynamoDB) -> None:
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


def test_an_export_without_a_count_has_no_items(aws: DynamoDB) -> None:
    def uncounted(parsed: dict[str, Any]) -> None:
        for name in ("ItemCount", "BilledSizeBytes"):
            parsed["ExportDescription"].pop(name, None)

    aws_by_moto.answers(aws, "DescribeExport", *[uncounted] * 3)
    done = s3.export(aws, PLACE, say=silent, wait_s=30)
    assert (done.items, done.bytes) == (0, 0)


def test_a_running_export_to_the_same_place_is_waited_for(aws: DynamoDB) -> None:
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


def test_a_running_export_is_found_on_a_later_page(aws: DynamoDB) -> None:
    s3.export(aws, PLACE, say=silent, wait_s=30)

    def earlier_page(parsed: dict[str, Any]) -> None:
        parsed |= {"ExportSummaries": [], "NextToken": "next"}

    def last_page(parsed: dict[str, Any]) -> None:
        for one in parsed["ExportSummaries"]:
            one["ExportStatus"] = "IN_PROGRESS"

    aws_by_moto.answers(aws, "ListExports", earlier_page, last_page)
    s3.export(aws, PLACE, say=silent, wait_s=30)
    assert exports(aws) == 1


def test_a_repeated_page_ends_the_list_of_exports(aws: DynamoDB) -> None:
    same_page = aws_by_moto.answers(aws, "ListExports", *[lambda parsed: parsed.update(NextToken="same")] * 5)
    s3.export(aws, PLACE, say=silent, wait_s=30)
    assert len(same_page) == 2


@pytest.mark.parametrize("prefix", ["nightly", ""])
def test_an_export_names_the_bucket_and_the_prefix_if_there_is_one(aws: DynamoDB, prefix: str) -> None:
    asked = faults.asked(aws.client, "ExportTableToPointInTime")
    aws_by_moto.refuses(aws, "ExportTableToPointInTime", "LimitExceeded")
    with pytest.raises(Refused):
        s3.export(aws, S3Location(PLACE.bucket, prefix), say=silent, wait_s=30)
    assert [(each["S3Bucket"], each.get("S3Prefix", "")) for each in asked] == [(PLACE.bucket, prefix)]


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


def test_an_import_without_a_count_has_no_items(aws: DynamoDB) -> None:
    def uncounted(parsed: dict[str, Any]) -> None:
        for name in ("ProcessedItemCount", "ImportedItemCount", "ErrorCount"):
            parsed["ImportTableDescription"].pop(name, None)

    def begun(parsed: dict[str, Any]) -> None:
        uncounted(parsed)
        importing()(parsed)

    aws_by_moto.answers(aws, "DescribeImport", begun, uncounted)
    said: list[str] = []
    done = s3.import_into(aws, _exported(aws), "copied", say=said.append, wait_s=30)
    assert said[0] == "import into table copied: in progress, 0 items"
    assert (done.items, done.errors) == (0, 0)


def test_a_repeated_import_sends_the_same_request(aws: DynamoDB) -> None:
    asked = faults.asked(aws.client, "ImportTable")
    aws_by_moto.refuses(aws, "ImportTable", *["LimitExceeded"] * 4)
    for prefix, into in (("nightly", "one"), ("nightly", "one"), ("nightly", "two"), ("", "one")):
        with pytest.raises(Refused):
            s3.import_into(aws, S3Location(PLACE.bucket, prefix), into, say=silent, wait_s=30)
    assert asked[0] == asked[1]
    tokens = [each["ClientToken"] for each in asked]
    assert ({len(token) for token in tokens}, len(set(tokens))) == ({36}, 3)
    sources = [each["S3BucketSource"] for each in asked]
    assert sources == [{"S3Bucket": PLACE.bucket, "S3KeyPrefix": "nightly"}] * 3 + [{"S3Bucket": PLACE.bucket}]


def test_the_folder_of_an_export_can_be_imported(aws: DynamoDB) -> None:
    data = _exported(aws)
    folder = S3Location(data.bucket, data.prefix.removesuffix("/data"))
    assert s3.import_into(aws, folder, "copied", say=silent, wait_s=30).items == 3


def test_a_started_import_is_waited_for_and_another_table_is_refused(aws: DynamoDB) -> None:
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


@pytest.mark.parametrize(("bucket", "prefix"), [("another", "{}"), (PLACE.bucket, "another")])
def test_a_table_that_was_imported_from_another_place_is_refused(aws: DynamoDB, bucket: str, prefix: str) -> None:
    data = _exported(aws)
    first = s3.import_into(aws, data, "copied", say=silent, wait_s=30)
    source = {"S3Bucket": bucket, "S3KeyPrefix": prefix.format(data.prefix)}
    summary = {"ImportArn": first.import_arn, "ImportStatus": "COMPLETED", "S3BucketSource": source}
    aws_by_moto.answered(aws, "ListImports", {"ImportSummaryList": [summary]})
    with pytest.raises(Protected, match="There is a table 'copied' already"):
        s3.import_into(aws, data, "copied", say=silent, wait_s=30)


def test_an_import_that_fails_says_why(aws: DynamoDB) -> None:
    why = importing(ImportStatus="FAILED", FailureCode="S3NoSuchBucket", FailureMessage="no such bucket")
    aws_by_moto.answers(aws, "DescribeImport", why)
    with pytest.raises(Refused, match="failed: no such bucket"):
        s3.import_into(aws, _exported(aws), "copied", say=silent, wait_s=30)


def _exported(aws: DynamoDB) -> S3Location:
    """The place of an export's items, because moto names the folder differently."""
    s3.export(aws, PLACE, say=silent, wait_s=30)
    (entry,) = production.client("s3").list_objects_v2(Bucket=PLACE.bucket)["Contents"]
    return S3Location(PLACE.bucket, entry["Key"].rpartition("/")[0])
