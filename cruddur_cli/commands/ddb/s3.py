"""``cruddur ddb export s3://…`` and ``import s3://…``: what AWS does by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ... import output, settings
from ...errors import BadInput, Exit, Protected
from ...settings import Settings

if TYPE_CHECKING:
    from ...dynamodb.transfer import s3


def is_place(name: str) -> bool:
    """Whether a file's name is a place in S3."""
    from ...dynamodb.transfer import s3

    return name.startswith(s3.SCHEME)


def export(s: Settings, url: str, wait_s: float) -> None:
    """Have DynamoDB export the table, wait with progress, and say how to import it."""
    from ...dynamodb.transfer import s3
    from ..shared import connections

    place = _location(s, url)
    with connections.dynamodb(s) as dynamodb:
        output.acting(s, f"export of table {s.table} to {place}, by DynamoDB itself: it uses no capacity")
        done = s3.export(dynamodb, place, say=lambda text: output.note(s, text), wait_s=wait_s)
    output.show(s, [done], draw=output.details)
    output.note(s, f"exported: cruddur ddb import {done.location} --into TABLE --prod")


def import_(s: Settings, url: str, into: str | None, wait_s: float) -> int:
    """Have DynamoDB import an export into a new table, compare, mark and protect it; 1 where lines were not taken."""
    from ...dynamodb import tables
    from ...dynamodb.transfer import s3
    from ..shared import connections
    from . import way_back

    place = _location(s, url)
    if into is None:
        raise BadInput(
            "An import from S3 creates a new table.", hint="pass --into TABLE with the name of the new table"
        )
    settings.check_table_name(into, "--into")
    with connections.dynamodb(s) as dynamodb:
        target = replace(dynamodb, table=into)
        output.acting(s, f"import of {place} into the new table {into}, by DynamoDB itself")
        if s.dry_run:
            if tables.exists(target):
                raise Protected(
                    f"There is a table {into!r} already.", hint="pass another name with --into", code="table_exists"
                )
            output.note(s, f"table {into} would be created; its import costs money by the size of the files")
            output.show(s, [], record=s3.S3Import, extra={"written": 0, "dry_run": True})
            return Exit.DONE
        done = s3.import_into(dynamodb, place, into, say=lambda text: output.note(s, text), wait_s=wait_s)
        output.show(s, [done], draw=output.details, extra={"written": done.items, "dry_run": False})
        if not done.items and not done.errors:
            output.warn(f"no item was imported: {place} holds no items of an export. To drop the new table:")
            output.tell(f"  cruddur ddb drop --table {into} --no-backup --prod")
            return Exit.NO
        way_back.settle(s, target)
    for difference in done.differences:
        output.warn(difference)
    if done.errors:
        output.warn(f"{done.errors:,} items were not imported; CloudWatch's log group /aws-dynamodb/imports says why")
    way_back.switch_over(s, into)
    return Exit.NO if done.errors or done.differences else Exit.DONE


def _location(s: Settings, url: str) -> s3.S3Location:
    from ...dynamodb.transfer import s3

    place = s3.parse(url)
    if not s.prod:
        raise BadInput("Only AWS can export to S3 and import from it.", hint="pass --prod, or name a local file")
    return place
