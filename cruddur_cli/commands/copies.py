"""``cruddur ddb copy``: production's table to here, without the people in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any

import typer

from .. import output, settings
from ..dynamodb import copying, importing, memory, tables
from ..dynamodb.client import DynamoDB
from ..errors import BadInput, Exit, NotFound, Protected
from ..output.text import counted
from ..postgres import users
from ..settings import Settings
from . import costs, stores, transfer
from .options import command


class From(StrEnum):
    """What ``copy`` reads."""

    PROD = "prod"


def register(app: typer.Typer) -> None:
    """Add the command to its group."""
    command(app, shows=True, changes=True, table=True, explains=True, paced=True)(copy)


def copy(
    s: Settings,
    source: Annotated[From, typer.Option("--from", help="What is read: the production table.")],
    handle: Annotated[
        str | None,
        typer.Option(
            "--handle",
            metavar="HANDLE",
            help="Only this person's conversations; needs PROD_CONNECTION_URL, to find who that is.",
        ),
    ] = None,
    verbatim: Annotated[
        bool, typer.Option("--verbatim", help="People's texts and names as they are, instead of made-up ones.")
    ] = False,
    segments: transfer.Segments = None,
) -> int:
    """Bring the production table to the local one, with other names and texts in it; production is only read.

    --explain, --max-units and --rate are about that reading, which --dry-run does as well.

    Without --verbatim a row whose ids are no numbers, or whose sk is no time, is left out: it may say who somebody is.
    Nothing is removed: what is in the local table and not in production stays.

    PostgreSQL's users are not copied: a copied handle may be nobody's here. get-conversation reads by a group's id.

    db add-user, with a person's handle in production, finds their conversations if they were added with it there too.

    A copy that was killed begins again, which is safe: rows that are there already count as unchanged.

    cruddur ddb copy --from prod --handle andrewbrown
    """
    if s.prod:
        raise BadInput("copy writes to the local table alone: --from says what is read.", hint="leave out --prod")
    del source  # there is one
    memory.give_back()
    # Nothing but reads can leave a client of these settings.
    theirs = replace(
        settings.load({"prod": True}), dry_run=True, quiet=s.quiet, debug=s.debug, output=s.output,
        explain=s.explain, max_units=s.max_units, rate=s.rate,
    )  # fmt: skip
    with stores.dynamodb(theirs) as there:
        output.tell(f"production, only read: table {there.table} in {there.at.region or 'the default region'}, "
                    f"{there.at.label}")  # fmt: skip
        production = _description(there)
        at = stores.message_endpoint(s)
        if stores.is_far(at):
            raise Protected(f"{at.label} is not on this machine, and copy writes only there.", code="remote")
        with stores.dynamodb(replace(s, explain=False), changes=True, at=at) as here:
            if tables.are_same(tables.description(here), production):
                raise Protected(
                    f"Production's table and the local one are the same: {here.table} on {at.label}.",
                    code="same_table",
                )
            table = tables.of_description(production)
            left_out = copying.LeftOut()
            found = _rows(theirs, there, table, handle, segments)
            rows = found if verbatim else copying.replaced(found, left_out)
            importer = importing.Importer(here, dry_run=s.dry_run)
            estimate = costs.of_person if handle else costs.of_scan
            budget = costs.kept(theirs, there, estimate, done=lambda: importer.lines)
            with budget, output.progress(s, "copying", None if handle else table.items) as advance:
                importer.run(copying.placed(rows), advance=advance)
            _warn(left_out)
            used = there.meter.total()
            output.note(s, f"read from production: {used.read_units:g} RCU in {counted(used.requests, 'request')}")
            transfer.show(s, here, importer, "production", read_from_production=used)
    return Exit.DONE


def _rows(
    s: Settings, there: DynamoDB, table: tables.Table, handle: str | None, segments: int | None
) -> Iterator[dict[str, Any]]:
    if handle is None:
        return copying.everything(there, transfer.planned(there, table, segments))
    return copying.conversations(there, _user(s, handle).uuid)


def _description(there: DynamoDB) -> dict[str, Any]:
    """What there is under the name of production's table. Raises NotFound, and nobody is told to make it there."""
    try:
        return tables.description(there)
    except NotFound as error:
        error.hint = "is it the right name? `cruddur config --prod` shows which table it is, and who says so"
        raise


def _user(s: Settings, handle: str) -> users.User:
    """Who that is in production. Raises NotFound, and nobody is told to add them, there or here."""
    try:
        with stores.postgres(s) as conn:
            return users.find(conn, handle)
    except NotFound as error:
        error.hint = (
            "name one of them: --handle is looked for among production's users"
            if error.code == "user_not_found" and error.details
            else "is it the right database? `cruddur config --prod` shows which it is, and who says so"
        )
        raise


def _warn(left_out: copying.LeftOut) -> None:
    """Say what did not come, and that what an earlier copy brought of it is not taken away."""
    said = []
    if left_out.unknown:
        said.append(f"{counted(left_out.unknown, 'row')} of no known entity")
    if left_out.telling:
        said.append(f"{counted(left_out.telling, 'row')} with an id that is no number, or an sk that is no time")
    said += [f"{count:,} × {name}" for name, count in left_out.attributes.most_common(10)]
    stays = "; where an earlier copy --verbatim brought such rows, they stay"
    if said:
        output.warn(
            f"left out, as nobody knows what they say about people: {', '.join(said)}"
            f"{stays if left_out.unknown or left_out.telling else ''}"
        )
