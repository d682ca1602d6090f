"""Takes a backup before a production table is lost, and completes a table that a restore or import has created."""

from __future__ import annotations

from ... import output, times
from ...dynamodb import backups, table_settings
from ...dynamodb.client import DynamoDB
from ...settings import Settings
from ..shared.options import LONGEST_S


def backup_first(s: Settings, dynamodb: DynamoDB) -> None:
    """Back up a production table that will be dropped, and wait until the backup is available."""
    name = backups.name_at(s.table, times.now())
    result, _ = backups.create(dynamodb, name, say=lambda text: output.note(s, text), wait_s=LONGEST_S)
    output.tell(
        f"Backup {result.backup} is available. To restore it: cruddur ddb restore {result.backup} --into TABLE --prod"
    )


def settle(s: Settings, target: DynamoDB) -> None:
    """Tag a new table as production, and turn on its protection."""

    def say(text: str) -> None:
        output.note(s, text)

    for protection in table_settings.protect(target, on=True, production=True, dry_run=False, say=say):
        output.note(s, f"table {target.table}: {protection.setting} {protection.after}")


def switch_over(s: Settings, into: str) -> None:
    """Print what has to change so that the application uses the new table."""
    flag = " --prod" if s.prod else ""
    steps = [
        f"compare it: cruddur ddb stats --table {into}{flag}",
        f"let the application use it: DDB_MESSAGE_TABLE={into}, and table in cruddur.toml",
        f"turn on its stream, which no new table has: cruddur ddb schema-load --stream --table {into}{flag}",
        "give the stream's new ARN to the Lambda's event source, and the table's name to the policies",
    ]
    if into != s.table:
        lift = f"cruddur ddb protect --off --table {s.table}{flag}"
        steps.append(f"when nothing uses the old one: {lift}, then cruddur ddb drop --table {s.table}{flag}")
    lines = [f"  {number}. {step}" for number, step in enumerate(steps, 1)]
    if not s.quiet:  # output.tell, because advice does not belong in the history
        output.tell("\n".join([f"To switch over to table {into}:", *lines]))
