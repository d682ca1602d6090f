"""``cruddur ddb stream``: shows and applies the table's changes, and makes the Lambda that applies them on AWS."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ... import output, settings
from ...errors import Again, BadInput, Interrupted, NotConfigured
from ...output import live
from ...output.text import counted
from ...settings import Settings
from ..shared.options import command

if TYPE_CHECKING:
    from ...dynamodb.streams import reader as stream_reader
    from ...dynamodb.streams.checkpoints import Position


class Start(StrEnum):
    """The values of ``process --from``: where reading begins."""

    LATEST = "latest"
    OLDEST = "oldest"
    CHECKPOINT = "checkpoint"


class TailStart(StrEnum):
    """The values of ``tail --from``. There is no checkpoint, because ``tail`` stores none."""

    LATEST = "latest"
    OLDEST = "oldest"


Once = Annotated[bool, typer.Option("--once", help="Stop at the end of the stream.")]


@command(shows=True, changes=True, table=True)
def process(
    s: Settings,
    once: Once = False,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for new records until you press Ctrl-C.")] = False,
    start: Annotated[
        Start | None,
        typer.Option(
            "--from",
            help="Begin at the oldest record, with new records (latest), or after the checkpoint. "
            "Default: after the checkpoint if there is one, or else oldest.",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="The file that stores the position in the stream. Default: one file for each stream.",
        ),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option("--skip", metavar="NUMBER", help="Skip the record with this sequence number."),
    ] = None,
) -> int:
    """Apply new messages to the group rows. The application's stream Lambda does the same. Default: --once.

    Applying a record twice, late or in another order gives the same rows. The checkpoint is saved after the rows.

    cruddur ddb stream process --follow
    """
    from ...dynamodb.streams import reader as stream_reader
    from ..shared import connections
    from . import applying

    if once and follow:
        raise BadInput("--once and --follow exclude each other.")
    if follow and s.dry_run:
        raise BadInput("--dry-run and --follow exclude each other.", again=Again(("--once",), without=("--follow",)))
    with (
        connections.dynamodb(s, changes=True) as dynamodb,
        stream_reader.opened(dynamodb, trace=output.trace(s)) as source,
        live.line(s) as line,
    ):
        path = checkpoint or _checkpoint_file(source)
        positions = {} if start in {Start.LATEST, Start.OLDEST} else _load(s, path, source, start)
        reader = stream_reader.Reader(source, positions, latest=start == Start.LATEST)
        run = applying.StreamRun(s, dynamodb, reader, path, line, frozenset(skip or ()))
        try:
            return run.follow() if follow else run.once()
        except KeyboardInterrupt as error:
            is_kept = run.totals.records and path.exists() and not s.dry_run
            checkpoint_note = f"; the checkpoint is {path}" if checkpoint else ". The next run continues after them"
            raise Interrupted(
                f"{counted(run.totals.records, 'record')} applied{checkpoint_note if is_kept else ''}."
            ) from error


@command(shows=True, table=True)
def tail(
    s: Settings,
    once: Once = False,
    start: Annotated[
        TailStart, typer.Option("--from", help="Begin at the oldest change, or show new changes only (latest).")
    ] = TailStart.LATEST,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Stop after N changes.")] = None,
) -> None:
    """Show the table's changes as they happen. Each is shown as a message or a group row.

    cruddur ddb stream tail --from oldest --once -o jsonl
    """
    from ...dynamodb.streams import reader as stream_reader
    from ...dynamodb.streams import records
    from ..shared import connections

    if s.output == "json" and not once and limit is None:
        raise BadInput("-o json prints one object at the end, and a stream has no end.", again=Again(("-o", "jsonl")))
    if s.svg and not once and limit is None:
        raise BadInput("--svg needs an end: a stream has none.", again=Again(("--once",)))
    with connections.dynamodb(s) as dynamodb, stream_reader.opened(dynamodb, trace=output.trace(s)) as source:
        reader = stream_reader.Reader(source, {}, latest=start == TailStart.LATEST)
        changes = live.as_they_come(islice(_changes(reader, once=once), limit))
        if s.output != "table":
            output.show(s, changes, record=records.StreamRecord, meter=dynamodb.meter)
            return
        shown_changes, is_empty = [], True
        for change in changes:
            is_empty = False
            if s.svg != "-":
                live.stream_record(change)
            if s.svg:
                shown_changes.append(change)
        if is_empty:
            older = ": --from oldest shows the changes of the last 24 hours" if start == TailStart.LATEST else ""
            output.note(s, f"The stream of table {s.table} has no {'new ' if older else ''}change{older}.")
        if s.svg:
            output.show(
                s,
                shown_changes,
                record=records.StreamRecord,
                draw=output.draw_nothing,
                picture=output.lines(live.stream_line),
            )


def _changes(reader: stream_reader.Reader, *, once: bool) -> Iterator[Any]:
    from ...dynamodb.streams import reader as stream_reader
    from ...dynamodb.streams import records

    caught_up: set[str] = set()
    while not reader.finished():
        has_records = has_more = False
        for batch in reader.batches(thorough=once, limit=stream_reader.PAGE):
            if once and batch.shard_id in caught_up:
                continue
            yield from map(records.describe, batch.records)
            reader.commit(batch)
            has_records = has_records or bool(batch.records)
            has_more = has_more or not batch.caught_up or batch.closed
            caught_up |= {batch.shard_id} if batch.caught_up else set()
        for lost in reader.lost:
            output.warn(str(lost))
        reader.lost.clear()
        if once and not has_more:
            return
        if not has_records:
            from . import applying

            applying.pause(reader)


def _checkpoint_file(source: stream_reader.Stream) -> Path:
    """The checkpoint file of one stream. If the table is recreated, its new stream has another file."""
    from ...local import home

    name = hashlib.sha256(f"{source.at.url} {source.arn}".encode()).hexdigest()[:16]
    folder = home.locate()
    if folder.is_dir():  # refused here, before a record is applied
        try:
            home.check_user(folder)
            home.check_own(folder)
        except NotConfigured as error:
            raise error.changed(hint=f"{error.hint}, or pass --checkpoint FILE") from error
    return folder / "streams" / f"{source.table}-{name}.json"


def _load(s: Settings, path: Path, source: stream_reader.Stream, start: Start | None) -> dict[str, Position]:
    """The positions in a checkpoint; empty without a file, or for another stream's file. Raises BadInput."""
    from ...dynamodb.streams import checkpoints as stream_checkpoints

    try:
        content = path.read_bytes()
    except FileNotFoundError:
        if start == Start.CHECKPOINT:
            output.note(s, f"there is no checkpoint {path} yet: reading from the oldest record")
        return {}
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from error
    positions = stream_checkpoints.decode(content, stream=source.arn, source=str(path))
    if positions is None:
        output.note(s, f"{path} belongs to another stream (was the table recreated?): reading from the oldest record")
        return {}
    return positions


@command(shows=True)
def package(
    s: Settings,
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="Where to write the archive; - is stdout.")],
) -> None:
    """Pack the stream processor for AWS Lambda. The same sources give the same bytes.

    cruddur ddb stream package --out cruddur-stream.zip
    """
    from ...local import home
    from ...stream_lambda import package as lambda_package

    content, modules = lambda_package.build()
    if out == "-":
        if output.is_terminal(sys.stdout):
            raise BadInput(
                "An archive cannot be written to a terminal.",
                hint="cruddur ddb stream package --out cruddur-stream.zip",
            )
        sys.stdout.buffer.write(content)
        return
    path = Path(out)
    try:
        home.write(path, content)
        path.chmod(0o644)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror or error}.") from error
    output.show(s, [lambda_package.describe(content, modules, file=str(path))], draw=output.details)


@command(table=True)
def template(
    s: Settings,
    function: Annotated[
        str, typer.Option("--function", metavar="NAME", help="The Lambda function's name.")
    ] = "cruddur-stream",
) -> None:
    """Print a CloudFormation template of table and function. It has index, stream, failure queue, policy and alarms.

    SAM can deploy it, too. First create the function's archive with cruddur ddb stream package, and upload it to a
    bucket.

    cruddur ddb stream template > cruddur.json
    """
    from ...stream_lambda import template as stream_template

    settings.check_table_name(s.table, s.origins["table"])
    output.write(json.dumps(stream_template.build(table=s.table, function=function), indent=2) + "\n")
