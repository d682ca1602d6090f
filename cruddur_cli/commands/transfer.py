"""``cruddur ddb export``, ``import`` and ``copy``: the table into a file, a file into the table, production to here."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import output, settings
from ..dynamodb import checkpoints, copying, exporting, formats, importing, memory, scanning, sources, tables
from ..dynamodb.client import DynamoDB
from ..dynamodb.formats import Format
from ..errors import BadInput, CruddurError, Exit, Incomplete, NotFound, Protected
from ..output.text import counted
from ..postgres import users
from ..settings import Settings
from . import confirm, costs, stores
from .options import command

AsFormat = Annotated[
    Format | None,
    typer.Option("--format", help="The file's format; by default its name says: .jsonl, .csv, .json (DynamoDB's own)."),
]
Segments = Annotated[int | None, typer.Option("--segments", min=1, max=64, metavar="N", help="Read N parts at once.")]
Restart = Annotated[bool, typer.Option("--restart", help="Begin anew instead of where an earlier one was ended.")]


class From(StrEnum):
    """What ``copy`` reads."""

    PROD = "prod"


@dataclass(frozen=True)
class Imported:
    """What an import did; new, replaced and unchanged are None where nobody looked."""

    source: str
    items: int
    new: int | None
    replaced: int | None
    unchanged: int | None
    duplicates: int


def register(app: typer.Typer) -> None:
    """Add the commands to their group."""
    command(app, shows=True, table=True, paced=True)(export)
    command(app, shows=True, changes=True, asks=True, table=True, paced=True, name="import")(import_)
    command(app, shows=True, changes=True, table=True, explains=True, paced=True)(copy)


def export(
    s: Settings,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where to; - is standard output, .gz is compressed.")],
    format: AsFormat = None,
    segments: Segments = None,
    restart: Restart = False,
) -> int:
    """Write every item of the table to a file. One that was ended goes on where it was, and ends in the same bytes.

    cruddur ddb export messages.jsonl.gz
    """
    memory.give_back()
    streams = _streams(file)
    if file == "-" and s.output != "table":
        raise BadInput("-o is for what is shown, and standard output holds the items.", hint="--format")
    chosen = format or formats.guess(file)
    with stores.dynamodb(s) as dynamodb:
        table = tables.describe(dynamodb)
        tally = costs.Tally()
        budget = costs.kept(s, dynamodb, costs.of_scan, done=lambda: tally.items, goes_on=not streams)
        with budget, output.progress(s, "exporting", table.items) as shown, _kept(s, file, "export"):
            advance = tally.then(shown)
            if streams:
                done = _to_stream(dynamodb, table, file, chosen, segments, advance)
            else:
                done = exporting.to_file(
                    dynamodb, table, Path(file), format=chosen, zipped=file.endswith(".gz"), segments=segments,
                    restart=restart, say=lambda text: output.note(s, text), advance=advance,
                )  # fmt: skip
        if file != "-":
            output.show(s, [done], draw=output.details, meter=dynamodb.meter)
        else:
            output.used(s, dynamodb.meter)
    return Exit.DONE


def import_(
    s: Settings,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Where from; - is standard input, a folder an export of DynamoDB's.")
    ],
    format: AsFormat = None,
    no_compare: Annotated[
        bool, typer.Option("--no-compare", help="Write every item without looking what is there.")
    ] = False,
    restart: Restart = False,
) -> int:
    """Write the items of a file into the table. Rows that are the same already are left alone; other rows stay.

    One that was killed goes on where it was: what it had written in its last moments then counts as unchanged.

    cruddur ddb import messages.jsonl.gz
    """
    memory.give_back()
    source = sources.find(file, format)
    with stores.dynamodb(s, changes=True) as dynamodb:
        table = _target(s, dynamodb)
        name = source.name
        confirm.replace(
            s, what=f"table {s.table}", name=s.table, remote=stores.is_far(dynamodb.at),
            sentence=f"Items of {name} replace rows of table {s.table} "
            f"({counted(table.items, 'item')}) with the same keys.",
        )  # fmt: skip
        if table.items and not s.dry_run:
            output.note(
                s, f"table {s.table} holds {counted(table.items, 'item')}: those with a key of {name} are replaced"
            )
        tally = costs.Tally()
        resumable = bool(source.files) and Path(file).exists() and not _streams(file) and not s.dry_run
        budget = costs.kept(
            s, dynamodb, lambda _: costs.of_import(source, compare=bool(table.items) and not no_compare), writes=True,
            done=lambda: tally.items, goes_on=resumable, assuming="if nothing is there yet",
        )  # fmt: skip
        with budget, output.progress(s, "importing", None) as shown:
            advance = tally.then(shown)
            if resumable:
                path = Path(file).resolve()
                with checkpoints.alone(path), _kept(s, file, "import"):
                    done = _import_file(s, dynamodb, table, source, path, not no_compare, restart, advance)
            else:
                importer = importing.Importer(dynamodb, compare=not no_compare, dry_run=s.dry_run)
                with _said(importer, source):
                    importer.run(sources.items(source), advance=advance)
                done = importer
        _show(s, dynamodb, done, name)
    return Exit.DONE


def copy(
    s: Settings,
    source: Annotated[From, typer.Option("--from", help="What is read: the production table.")],
    handle: Annotated[
        str | None, typer.Option("--handle", metavar="HANDLE", help="Only this person's conversations.")
    ] = None,
    verbatim: Annotated[
        bool, typer.Option("--verbatim", help="People's texts and names as they are, instead of made-up ones.")
    ] = False,
    segments: Segments = None,
) -> int:
    """Bring the production table to the local one, with other names and texts in it; production is only read.

    --explain, --max-units and --rate are about that reading, which --dry-run does as well.

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
        with stores.dynamodb(replace(s, explain=False), changes=True) as here:
            if stores.is_far(here.at):
                raise Protected(f"{here.at.label} is not on this machine, and copy writes only there.", code="remote")
            if (here.at.url, here.table) == (there.at.url, there.table):
                raise Protected(f"Production's table and the local one are the same: {here.table} on {here.at.label}.")
            _target(s, here)
            total = None if handle else tables.describe(there).items
            left_out = copying.LeftOut()
            found = _rows(theirs, there, handle, segments)
            rows = found if verbatim else copying.replaced(found, left_out)
            importer = importing.Importer(here, dry_run=s.dry_run)
            estimate = costs.of_person if handle else costs.of_scan
            budget = costs.kept(theirs, there, estimate, done=lambda: importer.lines)
            with budget, output.progress(s, "copying", total) as advance:
                importer.run(copying.placed(rows), advance=advance)
            if left_out.rows or left_out.attributes:
                named = "".join(f", {count:,} × {name}" for name, count in left_out.attributes.most_common(10))
                output.warn(
                    f"left out, as nobody knows what they say: "
                    f"{counted(left_out.rows, 'row')} of no known entity{named}"
                )
            used = there.meter.total()
            output.note(s, f"read from production: {used.read_units:g} RCU in {counted(used.requests, 'request')}")
            _show(s, here, importer, "production", read_from_production=used)
    return Exit.DONE


def _rows(s: Settings, there: DynamoDB, handle: str | None, segments: int | None) -> Iterator[dict[str, Any]]:
    if handle is None:
        return copying.everything(there, planned(there, tables.describe(there), segments))
    with stores.postgres(s) as conn:
        user = users.find(conn, handle)
    return copying.conversations(there, user.uuid)


def _target(s: Settings, dynamodb: DynamoDB) -> tables.Table:
    """The table that is written to. Raises NotFound, Protected where it is stamped as production."""
    try:
        table = tables.describe(dynamodb)
    except NotFound as error:
        hint = "cruddur ddb schema-load" + (" --prod" if s.prod else "")
        raise NotFound(error.message, hint=hint, code=error.code, fields=error.fields) from error
    if not s.prod and not s.dry_run:
        tables.refuse_stamped(dynamodb)
    return table


def _to_stream(
    dynamodb: DynamoDB, table: tables.Table, file: str, format: Format, segments: int | None, advance: Any
) -> exporting.Exported:
    plan = planned(dynamodb, table, segments)
    written = 0
    with _opened(file) as stream:
        for count in exporting.to_stream(dynamodb, stream, format=format, zipped=file.endswith(".gz"), plan=plan):
            written += count
            advance(count)
    return exporting.Exported(file, str(format), written, 0, plan.segments)


@contextmanager
def _opened(file: str) -> Iterator[Any]:
    """Standard output, or what is neither file nor folder: a pipe, a device."""
    if file == "-":
        sys.stdout.flush()
        yield sys.stdout.buffer
        return
    try:
        with Path(file).open("wb", buffering=0) as stream:
            yield stream
    except OSError as error:
        raise checkpoints.unusable(file, error) from error


def _streams(file: str) -> bool:
    """Whether nothing can be kept beside it or read twice: a standard stream, a pipe, a device."""
    path = Path(file)
    return file == "-" or (path.exists() and not path.is_file() and not path.is_dir())


def _import_file(
    s: Settings,
    dynamodb: DynamoDB,
    table: tables.Table,
    source: sources.Source,
    path: Path,
    compare: bool,
    restart: bool,
    advance: Any,
) -> importing.Importer:
    about = {
        "what": "import", **checkpoints.identity(dynamodb, table), "format": str(source.format),
        "files": source.identity(),
    }  # fmt: skip
    kept = importing.Kept(checkpoints.beside(path), about)
    if restart:
        kept.remove()
    after, counts = kept.load()
    if after is not None:
        output.note(s, f"going on with the import that was ended, behind {sources.where(source, after)}")
        advance(counts.lines)
    importer = importing.Importer(dynamodb, compare=compare, counts=counts)
    try:
        with _said(importer, source):
            importer.run(sources.items(source, after=after), keep=kept.keep, advance=advance)
    except BaseException as error:
        if isinstance(error, BadInput | Incomplete) and error.code != "max_units":
            kept.remove()  # the file has to be put right, and is another one then
            raise
        with suppress(CruddurError):
            kept.flush()
        raise
    kept.remove()
    return importer


@contextmanager
def _said(importer: importing.Importer, source: sources.Source) -> Iterator[None]:
    """A bad line, with what was written before it."""
    try:
        yield
    except BadInput as error:
        written = importer.counts.written
        if not written or importer.dry_run:
            raise BadInput(
                f"{error.message} Nothing was written.", hint=error.hint, code=error.code, fields=error.fields
            ) from error
        raise Incomplete(
            f"{error.message} "
            f"{counted(importer.lines, 'item')} before it {'is' if importer.lines == 1 else 'are'}"
            f" in the table, and nothing behind it.",
            hint=error.hint or f"put the line right and import {shlex.quote(source.name)} again: that is safe",
            code=error.code,
            fields={"written": written},
        ) from error


@contextmanager
def _kept(s: Settings, file: str, what: str) -> Iterator[None]:
    """Say where the place is when somebody interrupts."""
    try:
        yield
    except KeyboardInterrupt:
        if not _streams(file):
            output.note(s, f"the place is kept beside {file}: the same {what} again goes on from there")
        raise


def _show(s: Settings, dynamodb: DynamoDB, importer: importing.Importer, source: str, **more: object) -> None:
    found = importer.counts
    rows = found.written + found.unchanged
    done = Imported(source, rows, found.new, found.replaced, found.unchanged, found.duplicates)
    if not importer.known:
        done = replace(done, new=None, replaced=None, unchanged=None)
    extra = {
        "written": found.written,
        **{name: value for name, value in asdict(done).items() if isinstance(value, int) and name != "items"},
        "dry_run": s.dry_run,
        **more,
    }
    if found.duplicates:
        output.warn(f"{counted(found.duplicates, 'item')} of {source} with a key that comes again: the last counts")
    output.show(s, [done], draw=output.details, meter=dynamodb.meter, extra=extra)


def planned(dynamodb: DynamoDB, table: tables.Table, segments: int | None) -> scanning.Plan:
    """How to read a table, in as many segments as were asked for, else as are best."""
    return scanning.plan(dynamodb, items=table.items, size=table.bytes, segments=segments)
