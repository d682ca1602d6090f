"""``cruddur ddb export`` and ``import``: the table into a file, a file into the table."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import output
from ..dynamodb import checkpoints, exporting, formats, importing, memory, scanning, sources, tables
from ..dynamodb.client import DynamoDB
from ..dynamodb.formats import Format
from ..errors import BadInput, CruddurError, Exit, Incomplete
from ..output.text import counted
from ..settings import Settings
from . import confirm, costs, stopped, stores
from .options import command

AsFormat = Annotated[
    Format | None,
    typer.Option("--format", help="The file's format; by default its name says: .jsonl, .csv, .json (DynamoDB's own)."),
]
Segments = Annotated[int | None, typer.Option("--segments", min=1, max=64, metavar="N", help="Read N parts at once.")]
Restart = Annotated[bool, typer.Option("--restart", help="Begin anew instead of where an earlier one was ended.")]


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
    streams = stopped.streams(file)
    if file == "-" and s.output != "table":
        raise BadInput("-o is for what is shown, and standard output holds the items.", hint="--format")
    zipped = formats.zipped(file)
    chosen = format or formats.guess(file)
    with stores.dynamodb(s) as dynamodb:
        table = tables.describe(dynamodb)
        tally = costs.Tally()
        budget = costs.kept(s, dynamodb, costs.of_scan, done=lambda: tally.items, goes_on=not streams)
        with budget, output.progress(s, "exporting", table.items) as shown, stopped.kept(file, "export"):
            advance = tally.then(shown)
            if streams:
                done = _to_stream(dynamodb, table, file, chosen, zipped, segments, advance)
            else:
                done = exporting.to_file(
                    dynamodb, table, Path(file), format=chosen, zipped=zipped, segments=segments,
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
        table = tables.describe(dynamodb)
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
        resumable = bool(source.files) and Path(file).exists() and not stopped.streams(file) and not s.dry_run
        budget = costs.kept(
            s, dynamodb, lambda _: costs.of_import(source, compare=bool(table.items) and not no_compare), writes=True,
            done=lambda: tally.items, goes_on=resumable, assuming="if nothing is there yet",
        )  # fmt: skip
        with budget, output.progress(s, "importing", None) as shown:
            advance = tally.then(shown)
            if resumable:
                path = Path(file).resolve()
                with checkpoints.alone(path), stopped.kept(file, "import"):
                    done = _import_file(s, dynamodb, table, source, path, not no_compare, restart, advance)
            else:
                importer = importing.Importer(dynamodb, compare=not no_compare, dry_run=s.dry_run)
                with stopped.told(importer, source):
                    importer.run(sources.items(source), advance=advance)
                done = importer
        show(s, dynamodb, done, name)
    return Exit.DONE


def _to_stream(
    dynamodb: DynamoDB,
    table: tables.Table,
    file: str,
    format: Format,
    zipped: bool,
    segments: int | None,
    advance: Any,
) -> exporting.Exported:
    plan = planned(dynamodb, table, segments)
    written = 0
    with _opened(file) as stream:
        for count in exporting.to_stream(dynamodb, stream, format=format, zipped=zipped, plan=plan):
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
        with stopped.told(importer, source):
            importer.run(sources.items(source, after=after), keep=kept.keep, advance=advance)
    except BaseException as error:
        if isinstance(error, BadInput | Incomplete | importing.ItemRefused) and error.code != "max_units":
            kept.remove()  # the file has to be put right, and is another one then
            raise
        with suppress(CruddurError):
            kept.flush()
        raise
    kept.remove()
    return importer


def show(s: Settings, dynamodb: DynamoDB, importer: importing.Importer, source: str, **more: object) -> None:
    """Show what an importer did with the items of ``source``."""
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
