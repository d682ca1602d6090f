"""``cruddur ddb stream``: what changes in the table, shown and applied, and the Lambda that applies it on AWS."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import output
from ..dynamodb import positions, records, stream
from ..dynamodb.positions import Position
from ..errors import BadInput, CruddurError, Exit
from ..local import home
from ..output import live
from ..output.text import counted
from ..settings import Settings
from . import applying, pages, stores
from .options import command

app = typer.Typer(cls=pages.Group, help="The table's stream: shown, and applied to the group rows.")


def register(group: typer.Typer) -> None:
    """Add the commands to the group ``ddb``, as a group of their own."""
    group.add_typer(app, name="stream")


class Start(StrEnum):
    """Where reading begins."""

    LATEST = "latest"
    OLDEST = "oldest"
    CHECKPOINT = "checkpoint"


Once = Annotated[bool, typer.Option("--once", help="End where the stream has nothing more.")]


class _Interrupted(CruddurError):
    """Somebody ended what goes on by itself."""

    exit_code = Exit.INTERRUPTED
    code = "interrupted"


@command(app, shows=True, changes=True, table=True)
def process(
    s: Settings,
    once: Once = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until it is interrupted.")] = False,
    start: Annotated[
        Start | None, typer.Option("--from", help="Where to begin; by default the checkpoint, else the oldest record.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", help="What keeps the place; by default one of this stream's own."),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option("--skip", metavar="NUMBER", help="Pass over this record, by its sequence number."),
    ] = None,
) -> int:
    """Apply new messages to the group rows, as the application's stream Lambda does; by default --once.

    A row never moves backwards, so applying records twice, late or in another order ends in the same rows. The place
    is kept after the effect.

    cruddur ddb stream process --follow
    """
    if once and follow:
        raise BadInput("--once and --follow exclude each other.")
    if follow and s.dry_run:
        raise BadInput("--dry-run changes nothing, so there is nothing to follow.", hint="--dry-run --once")
    with (
        stores.dynamodb(s, changes=True) as dynamodb,
        stream.opened(dynamodb, trace=stores.trace(s)) as source,
        live.line(s) as line,
    ):
        path = checkpoint or _place(source)
        found = {} if start in {Start.LATEST, Start.OLDEST} else _load(s, path, source, start)
        reader = stream.Reader(source, found, latest=start == Start.LATEST)
        run = applying.Run(s, dynamodb, reader, path, line, frozenset(skip or ()))
        try:
            return run.follow() if follow else run.once()
        except KeyboardInterrupt as error:
            kept = f"; the place is kept in {path}" if path.exists() and not s.dry_run else ""
            raise _Interrupted(f"interrupted after {counted(run.done.records, 'record')}{kept}.") from error


@command(app, shows=True, table=True)
def tail(
    s: Settings,
    once: Once = False,
    start: Annotated[Start, typer.Option("--from", help="Where to begin.")] = Start.LATEST,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="End after this many.")] = None,
) -> None:
    """Show the changes of the table as they come, each as the entity it is about.

    cruddur ddb stream tail --from oldest --once -o jsonl
    """
    if start == Start.CHECKPOINT:
        raise BadInput("stream tail keeps no place.", hint="--from oldest, or --from latest")
    if s.output == "json" and not once and limit is None:
        raise BadInput("-o json is one object, and a stream has no end.", hint="-o jsonl, or --once")
    with stores.dynamodb(s) as dynamodb, stream.opened(dynamodb, trace=stores.trace(s)) as source:
        reader = stream.Reader(source, {}, latest=start == Start.LATEST)
        changes = live.as_they_come(islice(_changes(reader, once=once), limit))
        if s.output != "table":
            output.show(s, changes, meter=dynamodb.meter)
            return
        for change in changes:
            live.change(change)


def _changes(reader: stream.Reader, *, once: bool) -> Iterator[Any]:
    caught_up: set[str] = set()
    while not reader.finished():
        busy = more = False
        for batch in reader.batches(thorough=once, limit=stream.PAGE):
            if once and batch.shard_id in caught_up:
                continue
            yield from map(records.change, batch.records)
            reader.commit(batch)
            busy = busy or bool(batch.records)
            more = more or not batch.caught_up or batch.closed
            caught_up |= {batch.shard_id} if batch.caught_up else set()
        for lost in reader.lost:
            output.warn(str(lost))
        reader.lost.clear()
        if once and not more:
            return
        if not busy:
            applying.rest(reader)


def _place(source: stream.Stream) -> Path:
    """The checkpoint of one stream: a table that is made anew has another."""
    name = hashlib.sha256(f"{source.at.url} {source.arn}".encode()).hexdigest()[:16]
    return home.locate() / "streams" / f"{source.table}-{name}.json"


def _load(s: Settings, path: Path, source: stream.Stream, start: Start | None) -> dict[str, Position]:
    """The places kept in a checkpoint; none where there is no file, or that of another stream. Raises BadInput."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        if start == Start.CHECKPOINT:
            output.note(s, f"there is no checkpoint {path} yet: from the oldest record")
        return {}
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from error
    found = positions.decode(content, stream=source.arn, source=str(path))
    if found is None:
        output.note(s, f"{path} is of another stream (was the table made anew?): from the oldest record")
        return {}
    return found


@command(app, shows=True)
def package(
    s: Settings,
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="Where to write the archive; - is stdout.")],
) -> None:
    """Pack the stream processor for AWS Lambda; the same sources give the same bytes.

    cruddur ddb stream package --out cruddur-stream.zip
    """
    from .. import lambda_archive

    content, modules = lambda_archive.build()
    if out == "-":
        if output.is_terminal(sys.stdout):
            raise BadInput("An archive is nothing for a terminal.", hint="--out FILE")
        sys.stdout.buffer.write(content)
        return
    path = Path(out)
    try:
        home.write(path, content)
        path.chmod(0o644)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror or error}.") from error
    output.show(s, [lambda_archive.describe(content, modules, file=str(path))], draw=output.details)
