"""``cruddur ddb copy``: copies production's table to the local table, with the people anonymized."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ... import output, settings
from ...errors import BadInput, CruddurError, Exit, NotFound, Protected
from ...output.text import counted
from ...settings import Settings
from ..shared import completions
from ..shared.options import command
from . import transfer

if TYPE_CHECKING:
    from ...aws_client.client import Endpoint
    from ...dynamodb import tables
    from ...dynamodb.client import DynamoDB
    from ...dynamodb.schema import Item
    from ...dynamodb.transfer import anonymized_copy
    from ...dynamodb.transfer import importer as importing
    from ...postgres import users


class CopySource(StrEnum):
    """The values of ``--from``."""

    PROD = "prod"


@command(shows=True, changes=True, asks=True, table=True, explains=True, paced=True)
def copy(
    s: Settings,
    source: Annotated[CopySource, typer.Option("--from", help="Copy from production. `prod` is the only value.")],
    handle: Annotated[
        str | None,
        typer.Option(
            "--handle",
            metavar="HANDLE",
            autocompletion=completions.local_handles,
            help="Copy only this person's conversations. Needs PROD_CONNECTION_URL to find the person.",
        ),
    ] = None,
    verbatim: Annotated[
        bool, typer.Option("--verbatim", help="Copy names and texts as they are, instead of made-up ones.")
    ] = False,
    segments: transfer.Segments = None,
) -> int:
    """Copy production to the local table, anonymized. Production is only read.

    The people of the rows are added to the local database with the same made-up names, so that list-conversations
    works. To show a person under the real handle again, run cruddur db add-user HANDLE. That works only if cruddur db
    add-user added the person to production, because add-user makes the UUID from the handle.

    Local rows that are not in production are kept. The command asks before it overwrites a local row that differs
    from production's and that no earlier copy wrote. Without --verbatim it skips rows with an unusual id, or with an
    sk that is not a time, because these rows may contain personal data. Like a real run, --dry-run reads production.
    --explain, --max-units and --rate apply to the requests to production.

    An interrupted copy starts from the beginning. That is safe: existing rows count as unchanged.

    cruddur ddb copy --from prod --handle andrewbrown
    """
    from ...dynamodb import tables
    from ...dynamodb.transfer import anonymized_copy
    from ...dynamodb.transfer import importer as importing
    from ..shared import capacity_guard, connections, targets

    if s.prod:
        raise BadInput(
            "copy writes only to the local table; --from prod says that it reads production.", hint="leave out --prod"
        )
    del source  # `prod` is the only value
    production_settings = _production(s)
    at = targets.message_endpoint(production_settings)
    # Its client refuses writes; the settings of the command say whether this is a dry run.
    with connections.dynamodb(replace(production_settings, dry_run=s.dry_run), at=at) as production:
        region = production.at.region or "the default region"
        output.tell(f"production, only read: table {production.table} in {region}, {production.at.label}")
        description = _description(production)
        with connections.dynamodb(replace(s, explain=False), changes=True, at=_local(s)) as local:
            if tables.are_same(tables.description(local), description):
                raise Protected(
                    f"Production's table and the local one are the same: {local.table} on {local.at.label}.",
                    code="same_table",
                )
            people = anonymized_copy.People()
            importer = importing.Importer(local, dry_run=s.dry_run)
            table = tables.of_description(description)
            total = None if handle else table.items
            skipped = anonymized_copy.LeftOut()
            production_rows = _rows(production_settings, production, table, handle, segments)
            copied = anonymized_copy.copied(production_rows, skipped, verbatim=verbatim)
            estimate = capacity_guard.of_person if handle else capacity_guard.of_scan
            with capacity_guard.limited(production_settings, production, estimate, done=lambda: importer.lines):
                if importing.is_empty(local):
                    _write(s, importer, people.noted(row.item for row in copied), total)
                else:
                    _compare_and_write(s, local, importer, copied, people, total)
            _warn_of_skipped(skipped)
            used = production.meter.total()
            output.note(s, f"read from production: {used.read_units:g} RCU in {counted(used.requests, 'request')}")
            new_people, is_whole = _add_people(s, people)
            transfer.show(s, local, importer, "production", people=new_people, read_from_production=used)
    return Exit.DONE if is_whole else Exit.NO


def _production(s: Settings) -> Settings:
    """The settings of production for this command. With dry_run, a client of them can send only reads."""
    return replace(
        settings.load({"prod": True}), dry_run=True, quiet=s.quiet, debug=s.debug, output=s.output,
        explain=s.explain, max_units=s.max_units, rate=s.rate,
    )  # fmt: skip


def _local(s: Settings) -> Endpoint:
    """The endpoint to which the copy is written. Raises Protected if it is not on this machine."""
    from ..shared import targets

    at = targets.message_endpoint(s)
    if targets.is_far(at):
        raise Protected(
            f"{at.label} is not on this machine, and copy writes only to a store on this machine.", code="remote"
        )
    return at


def _write(s: Settings, importer: importing.Importer, rows: Iterator[Item], total: int | None) -> None:
    from ...dynamodb.transfer import anonymized_copy

    with output.progress(s, "copying", total) as advance:
        importer.run(anonymized_copy.placed(rows), advance=advance)


def _compare_and_write(
    s: Settings,
    local: DynamoDB,
    importer: importing.Importer,
    rows: Iterator[anonymized_copy.CopiedRow],
    people: anonymized_copy.People,
    total: int | None,
) -> None:
    """Read all rows, ask before overwriting local rows that no earlier copy wrote, then write.

    Where ``--max-units`` ends the reading, the rows that were read are written; then its error is raised.
    """
    from ...dynamodb.transfer import anonymized_copy
    from ...dynamodb.transfer import importer as importing

    limit_error: CruddurError | None = None
    spool = anonymized_copy.Spool()
    try:
        with output.progress(s, "reading", total) as advance:
            try:
                spool.fill(rows, advance=advance)
            except CruddurError as error:
                if error.code != "max_units":
                    raise
                limit_error = error
        overwritten = anonymized_copy.Overwritten()
        comparison = importing.Importer(local, dry_run=True, replaces=overwritten.see)
        comparison.run(anonymized_copy.placed(overwritten.expect(spool.rows())))
        _agree(s, local, overwritten)
        _write(s, importer, people.noted(row.item for row in spool.rows()), comparison.lines)
    finally:
        spool.close()
    if limit_error is not None:
        raise limit_error


def _agree(s: Settings, local: DynamoDB, overwritten: anonymized_copy.Overwritten) -> None:
    """Print how many local rows would be overwritten.

    Ask where some are neither from an earlier copy nor in production.

    A row that is the same in production is not lost. Raises Protected.
    """
    from ..shared import confirm, targets

    if not overwritten.foreign:
        if overwritten.earlier:
            output.note(s, f"{counted(overwritten.earlier, 'row')} of an earlier copy will be overwritten")
        if overwritten.same:
            same = "is the same in production" if overwritten.same == 1 else "are the same in production"
            output.note(s, f"{counted(overwritten.same, 'local row')} that {same} will be overwritten, anonymized")
        return
    rows = counted(overwritten.earlier + overwritten.same + overwritten.foreign, "local row")
    sentence = (
        f"{rows} of table {s.table} would be overwritten; {overwritten.foreign:,} of them are not from an earlier copy,"
        " and differ from production's."
    )
    if s.dry_run:
        output.note(s, sentence)
    else:
        confirm.agree(s, sentence, name=s.table, remote=targets.is_far(local.at), losing=rows)


def _add_people(s: Settings, people: anonymized_copy.People) -> tuple[int, bool]:
    """Add the people of the rows to the local database; returns how many are new, and False if they were not added."""
    from ...postgres import users
    from ..shared import connections, targets

    profiles = people.profiles()
    if not profiles:
        return 0, True
    try:
        at = targets.server(s)
        if targets.is_foreign(at):
            output.warn(f"the people of the rows are not added: {at.label} is not on this machine")
            return 0, False
        with connections.postgres(s, changes=True, at=at) as conn:
            added, taken_handles = users.add_copied(conn, profiles, dry_run=s.dry_run)
    except CruddurError as error:
        output.warn(f"the people of the rows are not added, so list-conversations does not find them: {error.message}")
        if error.hint:
            output.note(s, f"  next: {error.hint}")
        return 0, False
    would = "would be " if s.dry_run else ""
    output.note(s, f"{counted(added, 'person', 'people')} {would}added to the database")
    if taken_handles:
        output.warn(
            "people not added, because others in the local database have these handles: "
            f"{', '.join(taken_handles[:10])}"
        )
    return added, True


def _rows(
    s: Settings, production: DynamoDB, table: tables.Table, handle: str | None, segments: int | None
) -> Iterator[dict[str, Any]]:
    from ...dynamodb import scanning
    from ...dynamodb.transfer import anonymized_copy

    scanning.give_memory_back()
    if handle is None:
        return anonymized_copy.everything(production, transfer.planned(production, table, segments))
    return anonymized_copy.conversations(production, _user(s, handle).uuid)


def _description(production: DynamoDB) -> dict[str, Any]:
    """DescribeTable's answer for production's table. Raises NotFound, without a hint to create the table there."""
    from ...dynamodb import tables

    try:
        return tables.description(production)
    except NotFound as error:
        hint = "check the table's name: `cruddur config --prod` shows it, and where the setting comes from"
        raise error.changed(hint=hint) from error


def _user(s: Settings, handle: str) -> users.Profile:
    """The person with this handle in production. Raises NotFound, without a hint to add the person."""
    from ...postgres import users
    from ..shared import connections

    try:
        with connections.postgres(s) as conn:
            return users.find(conn, handle)
    except NotFound as error:
        hint = (
            "pass one of these with --handle: copy looks for the person in the production database"
            if error.code == "user_not_found" and error.details
            else "check the database's address: `cruddur config --prod` shows it, and where the setting comes from"
        )
        raise error.changed(hint=hint) from error


def _warn_of_skipped(skipped: anonymized_copy.LeftOut) -> None:
    """Warn of the rows and attributes that were skipped, and that such rows from an earlier copy are kept."""
    parts = []
    if skipped.unknown:
        parts.append(f"{counted(skipped.unknown, 'row')} of an unknown kind")
    if skipped.unusual:
        parts.append(f"{counted(skipped.unusual, 'row')} with an unusual id, or an sk that is not a time")
    parts += [f"{count:,} × {name}" for name, count in skipped.attributes.most_common(10)]
    kept_rows = "; such rows from an earlier copy --verbatim are kept"
    if parts:
        output.warn(
            f"skipped, because they may contain personal data: {', '.join(parts)}"
            f"{kept_rows if skipped.unknown or skipped.unusual else ''}"
        )
