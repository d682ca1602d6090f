"""``cruddur ddb export`` and ``import``: write the table to a file, and a file to the table."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ... import output
from ...dynamodb.transfer import Format
from ...errors import Again, BadInput, CannotConnect, CruddurError, Exit, Incomplete, Interrupted, Refused
from ...output.text import counted
from ...settings import Settings
from ..shared.options import LONGEST_S, Wait, command
from . import s3

if TYPE_CHECKING:
    from ...dynamodb import scanning, tables
    from ...dynamodb.capacity.estimate import Estimate
    from ...dynamodb.client import DynamoDB
    from ...dynamodb.schema import Item
    from ...dynamodb.transfer import exporter as exporting
    from ...dynamodb.transfer import importer as importing
    from ...dynamodb.transfer import input_files


AsFormat = Annotated[
    Format | None,
    typer.Option("--format", help="The file's format. Default: by its name, .jsonl, .csv or .json (DynamoDB JSON)."),
]
Segments = Annotated[
    int | None, typer.Option("--segments", min=1, max=64, metavar="N", help="Read N segments of the table in parallel.")
]
Restart = Annotated[bool, typer.Option("--restart", help="Start over instead of resuming.")]


@dataclass(frozen=True)
class Imported:
    """The result of an import. ``new``, ``replaced`` and ``unchanged`` are None if nothing was compared."""

    source: str
    items: int
    new: int | None
    replaced: int | None
    unchanged: int | None
    duplicates: int


@command(shows=True, table=True, paced=True)
def export(
    s: Settings,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="The file to write. - is stdout; .gz is compressed; s3://BUCKET/PREFIX is DynamoDB's own export.",
        ),
    ],
    format: AsFormat = None,
    segments: Segments = None,
    restart: Restart = False,
    wait_s: Wait = LONGEST_S,
    escape_formulas: Annotated[
        bool,
        typer.Option(
            "--escape-formulas",
            help="Put ' before CSV cells that begin with =, +, -, @ or a tab, which a spreadsheet would run.",
        ),
    ] = False,
) -> int:
    """Write every item of the table to a file. Run it again to resume an interrupted export.

    With s3://BUCKET/PREFIX, DynamoDB exports the table itself. That uses no capacity, needs point-in-time recovery
    (cruddur ddb protect) and costs money by the table's size. Repeat the command to wait for an export that runs.

    cruddur ddb export messages.jsonl.gz
    """
    from ...dynamodb import tables
    from ..shared import connections

    if s3.is_place(file):
        if format or segments or restart or escape_formulas:
            raise BadInput(
                "DynamoDB's own export has no options.",
                hint="leave out --format, --segments, --restart and --escape-formulas",
            )
        s3.export(s, file, wait_s)
        return Exit.DONE
    form = _form(s, file, format, escape_formulas=escape_formulas)
    with connections.dynamodb(s) as dynamodb:
        result = _export(s, dynamodb, tables.describe(dynamodb), file, form, segments, restart=restart)
        if file != "-":
            output.show(s, [result], draw=output.details, meter=dynamodb.meter)
        else:
            output.used(s, dynamodb.meter)
    return Exit.DONE


@command(shows=True, changes=True, asks=True, table=True, paced=True, name="import")
def import_(
    s: Settings,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="The file to read. - is stdin; a folder or s3://… is an export by DynamoDB."
        ),
    ],
    into: Annotated[
        str | None, typer.Option("--into", metavar="TABLE", help="With s3://…: the name of the new table.")
    ] = None,
    format: AsFormat = None,
    no_compare: Annotated[
        bool, typer.Option("--no-compare", help="Write every item without comparing it with the table.")
    ] = False,
    restart: Restart = False,
    wait_s: Wait = LONGEST_S,
) -> int:
    """Write the items of a file into the table. Items with the same key are overwritten; other items stay.

    An interrupted import resumes. Its counts include the part before the interruption.

    With s3://…, DynamoDB imports its own export into a new table (--into), without using capacity. The new table is
    marked as production and protected.

    cruddur ddb import messages.jsonl.gz
    """
    from ...dynamodb import tables
    from ...dynamodb.transfer import input_files
    from ..shared import connections

    if s3.is_place(file):
        return s3.import_(s, file, into, wait_s)
    if into is not None:
        raise BadInput(
            "--into is for s3://…; a file is imported into --table.", hint="leave out --into, or pass --table TABLE"
        )
    source = input_files.find(file, format)
    with connections.dynamodb(s, changes=True) as dynamodb:
        table = tables.describe(dynamodb)
        _agree_to_overwrite(s, dynamodb, table, source.name)
        result = _import(s, dynamodb, table, source, file, compare=not no_compare, restart=restart)
        show(s, dynamodb, result, source.name)
    return Exit.DONE


@dataclass(frozen=True)
class ExportForm:
    """The form of an export's file: its format, if it is compressed, and if CSV cells are escaped."""

    format: Format
    zipped: bool
    escape_formulas: bool


def _form(s: Settings, file: str, format: Format | None, *, escape_formulas: bool) -> ExportForm:
    """The form for the options and the file's name. Raises BadInput where the options contradict each other."""
    from ...dynamodb.transfer import formats

    if file == "-" and s.output != "table":
        raise BadInput(
            "-o cannot be used here, because the items go to stdout; --format sets their format.",
            again=Again(without=("-o",)),
        )
    form = ExportForm(format or formats.guess(file), formats.zipped(file), escape_formulas)
    if escape_formulas and form.format != Format.CSV:
        raise BadInput(
            "--escape-formulas works only with CSV, and this file is not CSV.", again=Again(("--format", "csv"))
        )
    return form


def _export(
    s: Settings,
    dynamodb: DynamoDB,
    table: tables.Table,
    file: str,
    form: ExportForm,
    segments: int | None,
    *,
    restart: bool,
) -> exporting.Exported:
    """Write the table to the file, within the limits of the command. An interrupted export to a file resumes."""
    from ...dynamodb import scanning
    from ...dynamodb.transfer import exporter as exporting
    from ..shared import capacity_guard

    scanning.give_memory_back()
    streams = is_stream(file)
    tally = capacity_guard.ItemCounter()
    limits = capacity_guard.limited(s, dynamodb, capacity_guard.of_scan, done=lambda: tally.items, resumes=not streams)
    with limits, output.progress(s, "exporting", table.items) as shown, report_checkpoint(file, "export"):
        if streams:
            return _to_stream(dynamodb, table, file, form, segments, tally.counting(shown))
        return exporting.to_file(
            dynamodb, table, Path(file), format=form.format, zipped=form.zipped, segments=segments,
            restart=restart, escape_formulas=form.escape_formulas, private=s.prod,
            say=lambda text: output.note(s, text), advance=tally.counting(shown),
        )  # fmt: skip


def _agree_to_overwrite(s: Settings, dynamodb: DynamoDB, table: tables.Table, source: str) -> None:
    """Ask before items of a file overwrite items of a remote table; for a local table only print it."""
    from ..shared import confirm, targets

    count = counted(table.items, "item")
    confirm.replace(
        s,
        what=f"table {s.table}",
        name=s.table,
        remote=targets.is_far(dynamodb.at),
        sentence=f"Items of {source} overwrite items of table {s.table} ({count}) with the same keys.",
    )
    if table.items and not s.dry_run:
        output.note(s, f"table {s.table} holds {count}: items with the same key as in {source} are overwritten")


def _import(
    s: Settings,
    dynamodb: DynamoDB,
    table: tables.Table,
    source: input_files.Source,
    file: str,
    *,
    compare: bool,
    restart: bool,
) -> importing.Importer:
    """Write the items of the source, within the limits of the command. An interrupted import of a file resumes."""
    from ...dynamodb import scanning
    from ...dynamodb.transfer import checkpoints, input_files
    from ...dynamodb.transfer import importer as importing
    from ..shared import capacity_guard

    scanning.give_memory_back()
    tally = capacity_guard.ItemCounter()
    resumable = bool(source.files) and Path(file).exists() and not is_stream(file) and not s.dry_run
    limits = capacity_guard.limited(
        s, dynamodb, lambda _: _estimate(source, compare=bool(table.items) and compare),
        writes=True, done=lambda: tally.items, resumes=resumable, assuming="if the table has none of them",
    )  # fmt: skip
    with limits, output.progress(s, "importing", None) as shown:
        advance = tally.counting(shown)
        if resumable:
            path = Path(file).resolve()
            with checkpoints.lock(path), report_checkpoint(file, "import"):
                return _import_file(s, dynamodb, table, source, path, compare, restart, advance)
        importer = importing.Importer(dynamodb, compare=compare, dry_run=s.dry_run)
        with report_resume(importer, source):
            importer.run(input_files.items(source), advance=advance)
        return importer


def _estimate(source: input_files.Source, *, compare: bool) -> Estimate:
    """The estimate of writing the items of files into a table without any of their keys.

    With ``compare`` it has the reads for comparing too, as if the table had every key. Standard input counts as empty,
    because it can be read only once.
    """
    from ...dynamodb import schema
    from ...dynamodb.capacity import estimate, rules
    from ...dynamodb.transfer import input_files

    compare_units = 0.0

    def items() -> Iterator[Item]:
        nonlocal compare_units
        for _, item, _ in input_files.items(source) if source.files else ():
            compare_units += rules.read_units(rules.item_size(item), consistent=True) if compare else 0.0
            yield item

    return replace(estimate.puts(items(), indexes=[schema.GROUPS]), read_units=compare_units)


def _to_stream(
    dynamodb: DynamoDB,
    table: tables.Table,
    file: str,
    form: ExportForm,
    segments: int | None,
    advance: Callable[[int], None],
) -> exporting.Exported:
    from ...dynamodb.transfer import exporter as exporting

    plan = planned(dynamodb, table, segments)
    written = 0
    with _opened(file) as stream:
        for count in exporting.to_stream(
            dynamodb, stream, plan=plan, format=form.format, zipped=form.zipped, escape_formulas=form.escape_formulas
        ):
            written += count
            advance(count)
    return exporting.Exported(file, str(form.format), written, 0, plan.segments)


@contextmanager
def _opened(file: str) -> Iterator[Any]:
    """Standard output, or a pipe or device, opened for writing."""
    from ...dynamodb.transfer import checkpoints

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
    source: input_files.Source,
    path: Path,
    compare: bool,
    restart: bool,
    advance: Callable[[int], None],
) -> importing.Importer:
    from ...dynamodb.transfer import checkpoints, input_files
    from ...dynamodb.transfer import importer as importing

    identity = {
        "what": "import", **checkpoints.identity(dynamodb, table), "format": str(source.format),
        "files": source.identity(),
    }  # fmt: skip
    checkpoint = importing.ImportCheckpoint(checkpoints.beside(path), identity)
    if restart:
        checkpoint.remove()
    position, counts, keys = checkpoint.load(source)
    if position is not None and position.line:
        output.note(s, f"resuming the import after {input_files.where(source, position)}")
        advance(counts.lines)
    importer = importing.Importer(dynamodb, compare=compare, counts=counts, keys=keys)
    try:
        with report_resume(importer, source):
            importer.run(input_files.items(source, after=position), keep=checkpoint.keep, advance=advance)
    except BaseException as error:
        if isinstance(error, BadInput | Incomplete | importing.ItemRefused) and error.code != "max_units":
            checkpoint.remove()  # the user has to correct the file, and then the checkpoint does not fit
            raise
        with suppress(CruddurError):
            checkpoint.end()
        raise
    checkpoint.remove()
    return importer


def show(s: Settings, dynamodb: DynamoDB, importer: importing.Importer, source: str, **more: object) -> None:
    """Show what an importer did with the items of ``source``."""
    counts = importer.counts
    number = counts.written + counts.unchanged
    result = Imported(source, number, counts.new, counts.replaced, counts.unchanged, counts.duplicates)
    if not importer.counts_are_exact:
        result = replace(result, new=None, replaced=None, unchanged=None)
    extra = {
        "written": counts.written,
        **{name: value for name, value in asdict(result).items() if isinstance(value, int) and name != "items"},
        "dry_run": s.dry_run,
        **more,
    }
    if counts.duplicates:
        output.warn(
            f"{source} has {counted(counts.duplicates, 'item')} whose key occurs again later; "
            "only the last item of each key is written"
        )
    output.show(s, [result], draw=output.details, meter=dynamodb.meter, extra=extra)


def planned(dynamodb: DynamoDB, table: tables.Table, segments: int | None) -> scanning.ScanPlan:
    """The plan for reading a table: in ``segments`` segments, or in as many as are best."""
    from ...dynamodb import scanning

    return scanning.plan(dynamodb, items=table.items, size=table.bytes, segments=segments)


# Errors of an export or an import that ends early: the place, what is in the table, and how to resume.

_COUNTED_BYTES = 32 * 1024 * 1024


def is_stream(file: str) -> bool:
    """Whether a file is a standard stream, a pipe or a device: it has no checkpoint and cannot be read twice."""
    path = Path(file)
    return file == "-" or (path.exists() and not path.is_file() and not path.is_dir())


@contextmanager
def report_resume(importer: importing.Importer, source: input_files.Source) -> Iterator[None]:
    """Add to the errors of an import: the place in the file, how many items are in the table, and how to resume."""
    from ...dynamodb.transfer import importer as importing
    from ...dynamodb.transfer import input_files

    repeat = f"run cruddur ddb import {shlex.quote(source.name)} again: that is safe"
    try:
        yield
    except importing.ItemRefused as error:
        raise error.changed(
            message=f"{input_files.where(source, error.place)}: {error.message.rstrip('.')}."
            f" {counted(error.in_table, 'item')} of the file {'is' if error.in_table == 1 else 'are'} in the table.",
            hint=f"correct the line and {repeat}",
            fields={"line": error.place.line, "in_table": error.in_table},
        ) from error
    except (Refused, CannotConnect) as error:
        if importer.dry_run or not source.files:
            raise
        raise error.changed(
            message=f"{error.message} At least {counted(importer.in_table, 'item')} of {source.name}"
            f" {'is' if importer.in_table == 1 else 'are'} in the table; {_remaining(importer, source)}",
            fields={"in_table": importer.in_table},
        ) from error
    except BadInput as error:
        written = importer.counts.written
        if not written or importer.dry_run:
            raise BadInput(
                f"{error.message} Nothing was written.", hint=error.hint, code=error.code, fields=error.fields
            ) from error
        # What is too large can never be written: the same error as in seed, which raises it before it writes.
        kind = BadInput if error.code == "item_too_large" else Incomplete
        raise kind(
            f"{error.message} "
            f"{counted(importer.lines, 'item')} before it {'is' if importer.lines == 1 else 'are'}"
            f" in the table, and nothing after it.",
            hint=error.hint or f"correct the line and {repeat}",
            code=error.code,
            fields={"written": written},
        ) from error


def _remaining(importer: importing.Importer, source: input_files.Source) -> str:
    """How many lines an import did not write, as the end of a sentence. A large file is not read again for it."""
    from ...dynamodb.transfer import input_files

    if sum(path.stat().st_size for path in source.files) > _COUNTED_BYTES:
        return "the others are not."
    try:
        return f"{max(0, sum(1 for _ in input_files.items(source)) - importer.lines_done):,} lines are left."
    except CruddurError:
        return "the others are not."


@contextmanager
def report_checkpoint(file: str, what: str) -> Iterator[None]:
    """Add to an interruption that a checkpoint exists. Raises Interrupted."""
    from ...dynamodb.transfer import checkpoints

    try:
        yield
    except KeyboardInterrupt as error:
        if is_stream(file) or not checkpoints.beside(Path(file).resolve()).exists():
            raise
        raise Interrupted(f"the checkpoint is beside {file}; run the same {what} again to resume") from error
