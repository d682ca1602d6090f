"""The commands without a group: ``cruddur setup`` and ``cruddur config``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from .. import output, settings, table_name
from ..settings import Settings
from . import pages
from .options import command

NEXT = (
    ("cruddur ddb get-conversation", "read the conversation"),
    ("cruddur ddb scan", "look into the single table"),
    ("cruddur db ping", "see what the database is"),
)


@dataclass(frozen=True)
class Shown:
    """One setting: its value with secrets masked, and where it came from."""

    setting: str
    value: str | None
    origin: str


def register(app: typer.Typer) -> None:
    """Put the commands without a group on the front door."""

    @command(app, shows=True, changes=True, asks=True, table=True, waits=True, handles=True)
    def setup(
        s: Settings,
        script: Annotated[
            str | None, typer.Option("--script", metavar="FILE", help="Another conversation than ours.")
        ] = None,
    ) -> None:
        """Make everything that is missing: database, users, user pool, table, conversation. Safe to run every time."""
        from ..dynamodb import messages
        from . import confirm, steps, stores

        table_name.check(s.table, s.origins["table"])  # before anything is made
        lines, source = steps.read_script(script)
        at = stores.server(s)
        confirm.replace(s, what=at.label, name=at.database, remote=stores.is_foreign(at))
        done: list[steps.Step] = []
        steps.make_database(s, done)
        steps.make_pool(s, done)
        steps.sync_step(s, done)
        pair = None if s.dry_run and any(step.changed for step in done) else steps.people(s)
        with stores.dynamodb(s, changes=True) as dynamodb:
            steps.make_messages(s, dynamodb, done, pair, lines, source)
            groups = [] if s.dry_run or pair is None else messages.list_groups(dynamodb, pair[0].uuid)
            extra = {**steps.changes(done), "dry_run": s.dry_run}
            output.show(s, groups, draw=output.inbox, meter=dynamodb.meter, extra=extra)
        if not any(step.changed for step in done):
            output.note(s, "Nothing had to be done: everything is there.")
        gap = "\n    " if pages.IS_NARROW else "  "
        output.note(s, "\nNext:\n" + "\n".join(f"  {line:<30}{gap}{what}" for line, what in NEXT))

    @command(app, shows=True, table=True, handles=True, name="config")
    def config(s: Settings) -> None:
        """Show each setting, its value (secrets masked) and where it came from."""
        shown = [Shown("environment", s.environment, "--prod" if s.prod else "default")]
        for known in settings.KNOWN:
            value = getattr(s, known.name)
            text = settings.mask_url(value) if value else None
            unset = known.otherwise if not s.prod or known.prod_otherwise is None else known.prod_otherwise
            shown.append(Shown(known.name, text, s.origins[known.name] if value else f"unset: {unset}"))
        output.show(s, shown)
