"""``cruddur ddb export s3://…`` and ``import s3://…``: exports and imports that DynamoDB runs itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ... import output, settings
from ...errors import BadInput, Exit, Protected
from ...settings import Settings

if TYPE_CHECKING:
    from ...dynamodb.transfer import s3


def is_place(name: str) -> bool:
    """Whether a file's name is an S3 URL."""
    from ...dynamodb.transfer import s3

    return name.startswith(s3.SCHEME)


def export(s: Settings, url: str, wait_s: float) -> None:
    """Start DynamoDB's export of the table, wait for it, and print how to import it."""
    from ...dynamodb.transfer import s3
    from ..shared import connections

    location = _location(s, url)
    with connections.dynamodb(s) as dynamodb:
        output.acting(s, f"export of table {s.table} to {location}, by DynamoDB itself: it uses no capacity")
        result = s3.export(dynamodb, location, say=lambda text: output.note(s, text), wait_s=wait_s)
    output.show(s, [result], draw=output.details)
    output.note(s, f"exported: cruddur ddb import {result.location} --into TABLE --prod")


def import_(s: Settings, url: str, into: str | None, wait_s: float) -> int:
    """Start DynamoDB's import into a new table, wait, compare, and mark and protect the table; returns the exit code.

    It is 1 where items were not imported, or the table differs from what is expected.
    """
    from ...dynamodb import tables
    from ...dynamodb.transfer import s3
    from ..shared import connections
    from . import way_back

    location = _location(s, url)
    if into is None:
        raise BadInput(
            "An import from S3 creates a new table.", hint="pass --into TABLE with the name of the new table"
        )
    settings.check_table_name(into, "--into")
    with connections.dynamodb(s) as dynamodb:
        target = replace(dynamodb, table=into)
        output.acting(s, f"import of {location} into the new table {into}, by DynamoDB itself")
        if s.dry_run:
            if tables.exists(target):
                raise Protected(
                    f"There is a table {into!r} already.", hint="pass another name with --into", code="table_exists"
                )
            output.note(s, f"table {into} would be created; its import costs money by the size of the files")
            output.show(s, [], record=s3.S3Import, extra={"written": 0, "dry_run": True})
            return Exit.DONE
        result = s3.import_into(dynamodb, location, into, say=lambda text: output.note(s, text), wait_s=wait_s)
        output.show(s, [result], draw=output.details, extra={"written": result.items, "dry_run": False})
        if not result.items and not result.errors:
            output.warn(f"no item was imported: {location} holds no items of an export. To drop the new table:")
            output.tell(f"  cruddur ddb drop --table {into} --no-backup --prod")
            return Exit.NO
        way_back.settle(s, target)
    for difference in result.differences:
        output.warn(difference)
    if result.errors:
        output.warn(f"{result.errors:,} items were not imported; CloudWatch's log group /aws-dynamodb/imports says why")
    way_back.switch_over(s, into)
    return Exit.NO if result.errors or result.differences else Exit.DONE


def _location(s: Settings, url: str) -> s3.S3Location:
    from ...dynamodb.transfer import s3

    location = s3.parse(url)
    if not s.prod:
        raise BadInput("Only AWS can export to S3 and import from it.", hint="pass --prod, or name a local file")
    return location
