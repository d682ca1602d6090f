"""``cruddur ddb backup``, ``list-backups``, ``restore`` and ``protect``: back up a table, and restore it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ... import output, settings, times
from ...errors import BadInput, Exit, NotFound
from ...output.text import counted
from ...settings import Settings
from ..shared import completions
from ..shared.options import LONGEST_S, Wait, command

if TYPE_CHECKING:
    from ...dynamodb.backups import Backup, Restored
    from ...dynamodb.client import DynamoDB


# Read capacity units. A restored table whose count uses more is not counted.
_FREE_UNITS = 1000


@command(shows=True, changes=True, table=True)
def backup(
    s: Settings,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The backup's name. Default: the table's name and the time.")
    ] = None,
    wait_s: Wait = LONGEST_S,
) -> None:
    """Back up the table and wait until the backup is available. If a backup with this NAME exists, none is created.

    On AWS it is an on-demand backup. It uses no capacity and is kept until you delete it; its storage costs money. A
    local engine has no backups: the items are exported to a file.

    cruddur ddb backup before-the-migration --prod
    """
    from ...dynamodb import backups, tables
    from ..shared import connections

    backup_name = name or backups.name_at(s.table, times.now())
    backups.check_name(backup_name)
    with connections.dynamodb(s) as dynamodb:
        output.acting(s, f"backup {backup_name} of table {s.table}, {dynamodb.at.label}")
        if s.dry_run:
            size = tables.describe(dynamodb).bytes
            output.note(s, f"a backup {backup_name} of {size:,} bytes would be created")
            output.show(s, [], record=backups.Backup, extra={"written": 0, "unchanged": 0, "dry_run": True})
            return
        result, is_new = _create(s, dynamodb, backup_name, wait_s)
    extra = {"written": int(is_new), "unchanged": int(not is_new), "dry_run": False}
    output.show(s, [result], draw=output.details, extra=extra)
    state = "is available" if is_new else "exists already"
    output.note(s, f"The backup {state}. To restore it: cruddur ddb restore {result.backup} --into TABLE")


def _create(s: Settings, dynamodb: DynamoDB, name: str, wait_s: float) -> tuple[Backup, bool]:
    from ...dynamodb import backups, tables
    from ...dynamodb.transfer import backup_files
    from ...local import home

    def say(text: str) -> None:
        output.note(s, text)

    if not dynamodb.at.local:
        return backups.create(dynamodb, name, say=say, wait_s=wait_s)
    with output.progress(s, "backing up", tables.describe(dynamodb).items) as advance:
        return backup_files.create(dynamodb, home.backups(), name, say=say, advance=advance)


@command(shows=True, table=True)
def list_backups(s: Settings) -> None:
    """List the table's backups, newest first. Also works after the table was dropped.

    On AWS it lists on-demand backups and those of AWS Backup, and says which times point-in-time recovery covers.
    """
    from ...dynamodb import backups, tables
    from ...dynamodb.transfer import backup_files
    from ...local import home
    from ..shared import connections

    settings.check_table_name(s.table, s.origins["table"])
    with connections.dynamodb(s) as dynamodb:
        existing = backup_files.listed(home.backups(), s.table) if dynamodb.at.local else backups.listed(dynamodb)
        as_table = output.columns("backup", "type", "status", "created_at", "bytes")
        output.show(s, existing, draw=output.details if len(existing) == 1 else as_table, record=backups.Backup)
        if dynamodb.at.local:
            for name, target in backup_files.unfinished(home.backups(), s.table):
                output.note(
                    s,
                    f"Table {target} is incomplete, because its restore was interrupted. "
                    f"To complete it: cruddur ddb restore {name} --into {target}",
                )
        else:
            _report_window(s, dynamodb)
        is_missing = not tables.exists(dynamodb)
    flag = " --prod" if s.prod else ""
    if is_missing and not existing:
        output.note(s, f"There is no table {s.table} on {dynamodb.at.label}, and no backup of it.")
    elif is_missing:
        restore_command = f"cruddur ddb restore BACKUP --into {s.table}{flag}"
        output.note(s, f"Table {s.table} does not exist. To create it from a backup: {restore_command}")
    elif not existing:
        output.note(s, f"Table {s.table} has no backup: cruddur ddb backup{flag} creates one.")


def _report_window(s: Settings, dynamodb: DynamoDB) -> None:
    from ...dynamodb import backups

    try:
        window = backups.window(dynamodb)
    except NotFound:
        return
    if window is None:
        output.note(s, "Point-in-time recovery is off: cruddur ddb protect --prod turns it on.")
        return
    first, last = (end.astimezone(times.now().tzinfo) for end in window)
    output.note(s, f"Point-in-time recovery: --to-time from {first:%Y-%m-%dT%H:%M:%SZ} to {last:%Y-%m-%dT%H:%M:%SZ}")


@command(shows=True, changes=True, table=True)
def restore(
    s: Settings,
    into: Annotated[
        str,
        typer.Option(
            "--into",
            metavar="TABLE",
            help="Name of the new table. It may exist only if an interrupted restore created it.",
        ),
    ],
    backup: Annotated[
        str | None,
        typer.Argument(
            metavar="[BACKUP]",
            autocompletion=completions.backups,
            help="The backup's name or ARN; locally also a file.",
        ),
    ] = None,
    to_time: Annotated[
        str | None,
        typer.Option(
            "--to-time", metavar="TIME", help="Restore the table as it was at this time (point-in-time recovery)."
        ),
    ] = None,
    wait_s: Wait = LONGEST_S,
) -> int:
    """Restore a backup, or an earlier time, into a new table. The old table is not changed.

    It waits, compares the new table with its source, and says how to switch over. With --prod it marks the new table as
    production and protects it. After an interruption run the command again; it continues.

    cruddur ddb restore before-the-migration --into cruddur-messages-2 --prod
    """
    from ...dynamodb import backups, tables
    from ..shared import connections
    from . import way_back

    settings.check_table_name(into, "--into")
    if (backup is None) == (to_time is None):
        raise BadInput("Name a backup or a time to restore.", hint="cruddur ddb list-backups")
    point = times.parse(to_time, "--to-time") if to_time is not None else None
    with connections.dynamodb(s) as dynamodb:
        source_name = f"{s.table} at {point:%Y-%m-%dT%H:%M:%SZ}" if point else backup
        output.acting(s, f"table {into} from {source_name}, {dynamodb.at.label}")
        if not s.prod and not s.dry_run:
            tables.refuse_production(replace(dynamodb, table=into))
        source = _source(s, dynamodb, backup, point)
        if s.dry_run:
            output.note(s, f"table {into} would be created; table {s.table} is not changed")
            output.show(s, [], record=backups.Restored, extra={"written": 0, "dry_run": True})
            return Exit.DONE
        result = _restore(s, dynamodb, into, source, point, wait_s)
        output.show(s, [result], draw=output.details, extra={"written": 1, "dry_run": False})
        if s.prod:
            way_back.settle(s, replace(dynamodb, table=into))
    way_back.switch_over(s, into)
    for difference in result.differences:
        output.warn(difference)
    return Exit.NO if result.differences or _is_incomplete(result) else Exit.DONE


def _source(s: Settings, dynamodb: DynamoDB, name: str | None, moment: datetime | None) -> Backup | None:
    from ...dynamodb import backups
    from ...dynamodb.transfer import backup_files
    from ...local import home

    if name is not None:
        return backup_files.find(home.backups(), s.table, name) if dynamodb.at.local else backups.find(dynamodb, name)
    assert moment is not None
    if dynamodb.at.local:
        raise BadInput("A local engine has no point-in-time recovery.", hint="cruddur ddb list-backups")
    backups.check_moment(dynamodb, moment)
    return None


def _restore(
    s: Settings, dynamodb: DynamoDB, into: str, source: Backup | None, moment: datetime | None, wait_s: float
) -> Restored:
    from ...dynamodb import backups
    from ...dynamodb.transfer import backup_files
    from ...local import home

    def say(text: str) -> None:
        output.note(s, text)

    if dynamodb.at.local:
        assert source is not None
        with output.progress(s, "restoring", None) as advance:
            return backup_files.restore(dynamodb, home.backups(), into, source, say=say, advance=advance)
    result = backups.restore(dynamodb, into, backup=source, moment=moment, say=say, wait_s=wait_s)
    return replace(result, items=_count_items(s, replace(dynamodb, table=into)))


def _count_items(s: Settings, target: DynamoDB) -> int | None:
    """The number of items in a new table, or None where counting uses many units. DynamoDB's own number is old."""
    from ...dynamodb import backups, tables

    size = tables.describe(target).bytes
    if size > _FREE_UNITS * 2 * 4096:
        units = size // (2 * 4096)
        output.note(
            s,
            f"the restored items were not counted, because that uses about {units:,} RCU. To count them: "
            f"cruddur ddb stats --table {target.table}",
        )
        return None
    return backups.count(target)


def _is_incomplete(result: Restored) -> bool:
    """Whether no item was restored although the source had some; the source's number is up to six hours old."""
    return result.items is not None and result.items == 0 and bool(result.expected_items)


@command(shows=True, changes=True, asks=True, table=True)
def protect(
    s: Settings,
    off: Annotated[
        bool, typer.Option("--off", help="Turn both off. Then the table cannot be restored to an earlier time.")
    ] = False,
) -> None:
    """Turn on deletion protection and point-in-time recovery. With --prod, also tag the table as production.

    Recovery reaches back 35 days, and costs money by the size of the table. Deletion protection and tags cost nothing.

    cruddur ddb protect --prod --dry-run
    """
    from ...dynamodb import table_settings, tables
    from ..shared import confirm, connections, targets

    with connections.dynamodb(s, changes=True) as dynamodb:
        table = tables.describe(dynamodb)
        if off and not s.dry_run:
            losing = "deletion protection and point-in-time recovery"
            confirm.agree(
                s,
                f"Table {s.table} on {dynamodb.at.label} ({counted(table.items, 'item')}) will lose {losing}. Only "
                "backups can then restore it.",
                name=s.table,
                remote=targets.is_far(dynamodb.at),
                losing=losing,
            )
        protections = table_settings.protect(
            dynamodb, on=not off, production=s.prod, dry_run=s.dry_run, say=lambda text: output.note(s, text)
        )
    changed = sum(protection.result == table_settings.CHANGED for protection in protections)
    unchanged = sum(protection.result == table_settings.UNCHANGED for protection in protections)
    output.show(
        s,
        protections,
        record=table_settings.Protection,
        extra={"updated": changed, "unchanged": unchanged, "dry_run": s.dry_run},
    )
    for protection in protections:
        if protection.result == table_settings.UNKNOWN:
            output.note(s, f"{protection.setting}: {dynamodb.at.label} does not support it")
    if not off and not dynamodb.at.local:
        output.note(s, f"Point-in-time recovery costs money for each GB: the table has {table.bytes / 2**30:.3f} GB.")
