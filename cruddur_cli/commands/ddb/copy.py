"""``cruddur ddb copy``: production's table to here, without the people in it."""

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
    """What ``copy`` reads."""

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
    from ..shared import capacity_guard, connections

    if s.prod:
        raise BadInput(
            "copy writes only to the local table; --from prod says that it reads production.", hint="leave out --prod"
        )
    del source  # there is one
    theirs = _production(s)
    with connections.dynamodb(theirs) as there:
        output.tell(f"production, only read: table {there.table} in {there.at.region or 'the default region'}, "
                    f"{there.at.label}")  # fmt: skip
        production = _description(there)
        with connections.dynamodb(replace(s, explain=False), changes=True, at=_local(s)) as here:
            if tables.are_same(tables.description(here), production):
                raise Protected(
                    f"Production's table and the local one are the same: {here.table} on {here.at.label}.",
                    code="same_table",
                )
            people = anonymized_copy.People()
            importer = importing.Importer(here, dry_run=s.dry_run)
            total = None if handle else tables.of_description(production).items
            left_out = anonymized_copy.LeftOut()
            rows = _rows(theirs, there, tables.of_description(production), handle, segments)
            copied = anonymized_copy.copied(rows, left_out, verbatim=verbatim)
            estimate = capacity_guard.of_person if handle else capacity_guard.of_scan
            with capacity_guard.limited(theirs, there, estimate, done=lambda: importer.lines):
                if importing.is_empty(here):
                    _write(s, importer, people.noted(row.item for row in copied), total)
                else:
                    _compared(s, here, importer, copied, people, total)
            _warn(left_out)
            used = there.meter.total()
            output.note(s, f"read from production: {used.read_units:g} RCU in {counted(used.requests, 'request')}")
            added, is_whole = _add_people(s, people)
            transfer.show(s, here, importer, "production", people=added, read_from_production=used)
    return Exit.DONE if is_whole else Exit.NO


def _production(s: Settings) -> Settings:
    """Production's settings for this command: nothing but reads can leave a client of them."""
    return replace(
        settings.load({"prod": True}), dry_run=True, quiet=s.quiet, debug=s.debug, output=s.output,
        explain=s.explain, max_units=s.max_units, rate=s.rate,
    )  # fmt: skip


def _local(s: Settings) -> Endpoint:
    """Where the copy is written to. Raises Protected where that is not on this machine."""
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


def _compared(
    s: Settings,
    here: DynamoDB,
    importer: importing.Importer,
    found: Iterator[anonymized_copy.CopiedRow],
    people: anonymized_copy.People,
    total: int | None,
) -> None:
    """Read all of it, say which local rows would be overwritten, ask where they are no earlier copies, then write.

    Where a limit ends the reading, what was read by then is written before the error is raised again.
    """
    from ...dynamodb.transfer import anonymized_copy
    from ...dynamodb.transfer import importer as importing

    stopped: CruddurError | None = None
    spool = anonymized_copy.Spool()
    try:
        with output.progress(s, "reading", total) as advance:
            try:
                spool.fill(found, advance=advance)
            except CruddurError as error:
                if error.code != "max_units":
                    raise
                stopped = error
        overwritten = anonymized_copy.Overwritten()
        looking = importing.Importer(here, dry_run=True, replaces=overwritten.see)
        looking.run(anonymized_copy.placed(overwritten.expect(spool.rows())))
        _agree(s, here, overwritten)
        _write(s, importer, people.noted(row.item for row in spool.rows()), looking.lines)
    finally:
        spool.close()
    if stopped is not None:
        raise stopped


def _agree(s: Settings, here: DynamoDB, overwritten: anonymized_copy.Overwritten) -> None:
    """Say how many local rows would be overwritten, and ask where some are neither earlier copies nor the same in
    production, which has them still. Raises Protected."""
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
        confirm.agree(s, sentence, name=s.table, remote=targets.is_far(here.at), losing=rows)


def _add_people(s: Settings, people: anonymized_copy.People) -> tuple[int, bool]:
    """Add the people of the rows to the local database; how many are new, and whether that could be done."""
    from ...postgres import users
    from ..shared import connections, targets

    found = people.profiles()
    if not found:
        return 0, True
    try:
        at = targets.server(s)
        if targets.is_foreign(at):
            output.warn(f"the people of the rows are not added: {at.label} is not on this machine")
            return 0, False
        with connections.postgres(s, changes=True, at=at) as conn:
            added, taken = users.add_copied(conn, found, dry_run=s.dry_run)
    except CruddurError as error:
        output.warn(f"the people of the rows are not added, so list-conversations does not find them: {error.message}")
        if error.hint:
            output.note(s, f"  next: {error.hint}")
        return 0, False
    would = "would be " if s.dry_run else ""
    output.note(s, f"{counted(added, 'person', 'people')} {would}added to the database")
    if taken:
        output.warn(
            f"people not added, because others in the local database have these handles: {', '.join(taken[:10])}"
        )
    return added, True


def _rows(
    s: Settings, there: DynamoDB, table: tables.Table, handle: str | None, segments: int | None
) -> Iterator[dict[str, Any]]:
    from ...dynamodb import scanning
    from ...dynamodb.transfer import anonymized_copy

    scanning.give_memory_back()
    if handle is None:
        return anonymized_copy.everything(there, transfer.planned(there, table, segments))
    return anonymized_copy.conversations(there, _user(s, handle).uuid)


def _description(there: DynamoDB) -> dict[str, Any]:
    """What there is under the name of production's table. Raises NotFound, without a hint to create it there."""
    from ...dynamodb import tables

    try:
        return tables.description(there)
    except NotFound as error:
        hint = "is it the right name? `cruddur config --prod` shows the table and where the setting comes from"
        raise error.changed(hint=hint) from error


def _user(s: Settings, handle: str) -> users.Profile:
    """Who that is in production. Raises NotFound, without a hint to add them, there or here."""
    from ...postgres import users
    from ..shared import connections

    try:
        with connections.postgres(s) as conn:
            return users.find(conn, handle)
    except NotFound as error:
        hint = (
            "pass one of these with --handle: copy looks for the person in the production database"
            if error.code == "user_not_found" and error.details
            else "is it the right database? `cruddur config --prod` shows the database and where the setting comes from"
        )
        raise error.changed(hint=hint) from error


def _warn(left_out: anonymized_copy.LeftOut) -> None:
    """Say what did not come, and that what an earlier copy brought of it is not taken away."""
    said = []
    if left_out.unknown:
        said.append(f"{counted(left_out.unknown, 'row')} of an unknown kind")
    if left_out.telling:
        said.append(f"{counted(left_out.telling, 'row')} with an unusual id, or an sk that is not a time")
    said += [f"{count:,} × {name}" for name, count in left_out.attributes.most_common(10)]
    stays = "; such rows from an earlier copy --verbatim are kept"
    if said:
        output.warn(
            f"skipped, because they may contain personal data: {', '.join(said)}"
            f"{stays if left_out.unknown or left_out.telling else ''}"
        )
