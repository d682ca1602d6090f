"""``cruddur ddb stream``: what changes in the table, shown and applied, and the Lambda that applies it on AWS."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import output
from ..dynamodb import positions, processing, records, stream
from ..dynamodb.client import DynamoDB
from ..dynamodb.positions import Position
from ..errors import BadInput, CannotConnect, CruddurError, Exit, Incomplete
from ..local import home
from ..output import live
from ..output.text import counted
from ..settings import Settings
from . import pages, stores
from .options import command

app = typer.Typer(cls=pages.Group, help="The table's stream: shown, and applied to the group rows.")


def register(group: typer.Typer) -> None:
    """Add the commands to the group ``ddb``, as a group of their own."""
    group.add_typer(app, name="stream")


# "Reading and processing a stream": DescribeStream takes ten requests a second, and Lambda itself asks four times.
_PAUSE_S = {True: 0.25, False: 1.0}


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


@dataclass(frozen=True)
class Processed:
    """What one run did: records read, what they were, and group rows by what was done to them. ``lost`` counts places
    where records were gone before they could be read."""

    records: int = 0
    messages: int = 0
    ignored: int = 0
    moved: int = 0
    unchanged: int = 0
    repaired: int = 0
    lost: int = 0
    requests: int = 0
    seconds: float = 0.0


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
        run = _Run(s, dynamodb, reader, path, line, frozenset(skip or ()))
        try:
            return run.follow() if follow else run.once()
        except KeyboardInterrupt as error:
            kept = f"; the place is kept in {path}" if path.exists() and not s.dry_run else ""
            raise _Interrupted(f"interrupted after {counted(run.done.records, 'record')}{kept}.") from error


class _Run:
    """One run of ``process``: what is read, applied and kept, and what was said of it."""

    def __init__(
        self, s: Settings, dynamodb: DynamoDB, reader: stream.Reader, path: Path, line: live.Line, skip: frozenset[str]
    ) -> None:
        self.s, self.dynamodb, self.reader, self.path, self.line, self.skip = s, dynamodb, reader, path, line, skip
        self.done = Processed()
        self.failures: list[tuple[str, processing.Failure]] = []
        self._began = time.monotonic()
        self._told: set[str] = set()

    def once(self) -> int:
        """Until every shard was seen at its end; then what was done is shown, and a failure is raised."""
        caught_up: set[str] = set()
        while True:
            more = False
            for batch in self.reader.batches(thorough=True):
                if batch.shard_id in caught_up:
                    continue
                self._apply(batch)
                more = more or not batch.caught_up or batch.closed
                caught_up |= {batch.shard_id} if batch.caught_up else set()
            self._tell_lost()
            if not more or self.failures:
                break
        self._show()
        self._raise()
        return Exit.DONE

    def follow(self) -> int:
        """Until it is interrupted, or a record cannot be applied. A store that is away is waited for."""
        away = False
        while not self.failures:
            busy = False
            try:
                for batch in self.reader.batches():
                    self._apply(batch)
                    busy = busy or bool(batch.records) or batch.closed
                    self._tell_progress(batch)
                if away:
                    self.line.tell("it answers again")
                away = False
            except CruddurError as error:
                if not isinstance(error, CannotConnect) and error.code != "throttled":
                    raise
                if not away:
                    self.line.tell(f"{error.message} Waiting for it; Ctrl-C ends.")
                away = True
            self._tell_lost()
            if self.reader.finished():
                raise Incomplete(
                    "The stream has ended: the table was dropped, or its stream turned off. All of it was applied.",
                    hint="cruddur ddb describe-table",
                    code="stream_ended",
                )
            if not busy:
                time.sleep(_PAUSE_S[self.reader.stream.at.url is not None])
        self._raise()
        return Exit.DONE

    def _apply(self, batch: stream.Batch) -> None:
        """One batch: its effect first, then the place. What failed leaves the place before it."""
        applied = processing.apply(self.dynamodb, batch.records, skip=self.skip, dry_run=self.s.dry_run)
        self.done = replace(
            self.done,
            **{
                name: getattr(self.done, name) + getattr(applied, name)
                for name in ("records", "messages", "ignored", "moved", "unchanged", "repaired")
            },
        )
        for reason in applied.unmovable:
            if reason not in self._told:
                self._told.add(reason)
                self.line.tell(f"warning: {reason}")
        if applied.failure is None:
            self.reader.commit(batch)
        else:
            before = batch.records[applied.failure.index - 1] if applied.failure.index else None
            place = Position(records.sequence_number(before), records.moment(before)) if before else None
            self.reader.commit_part(batch, place)
            self.failures.append((batch.shard_id, applied.failure))
        if batch.records or batch.closed or applied.failure:
            self._keep()
        # Even a Ctrl-C between effect and place costs no more than applying the same records again.

    def _keep(self) -> None:
        if self.s.dry_run:
            return
        text = positions.encode(self.reader.positions, stream=self.reader.stream.arn, table=self.s.table)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            home.write(self.path, text)
        except OSError as error:
            raise Incomplete(
                f"The checkpoint {self.path} cannot be written: {error.strerror or error}. "
                "What was applied stays; without a place it is applied again, which changes nothing.",
                hint="--checkpoint FILE",
                code="checkpoint",
            ) from error

    def _tell_lost(self) -> None:
        for lost in self.reader.lost:
            self.line.tell(f"warning: {lost}")
        self.done = replace(self.done, lost=self.done.lost + len(self.reader.lost))
        self.reader.lost.clear()

    def _tell_progress(self, batch: stream.Batch) -> None:
        rate = self.done.records / max(0.001, time.monotonic() - self._began)
        last = records.moment(batch.records[-1]) if batch.records else None
        lag = "none" if batch.caught_up or last is None else f"{max(0.0, time.time() - last.timestamp()):,.0f} s"
        self.line.update(
            f"following {self.s.table}: {counted(self.done.records, 'record')}, "
            f"{counted(self.done.messages, 'message')}, "
            f"{rate:,.0f}/s, lag {lag}, {counted(self.done.moved, 'row')} moved"
        )
        if self.s.output != "table" and batch.records:
            shown = replace(self.done, requests=self.dynamodb.meter.total().requests)
            output.show(replace(self.s, quiet=True), [shown])

    def _show(self) -> None:
        requests = self.dynamodb.meter.total().requests
        seconds = round(time.monotonic() - self._began, 3)
        self.done = replace(self.done, requests=requests, seconds=seconds)
        self.line.clear()
        failed = len(self.failures)
        output.show(
            self.s,
            [self.done],
            draw=output.details,
            meter=self.dynamodb.meter,
            extra={"records": self.done.records, "failed": failed, "dry_run": self.s.dry_run},
        )

    def _raise(self) -> None:
        for shard_id, failure in self.failures:
            if failure.error is not None:
                raise failure.error
            number = failure.sequence_number
            raise Incomplete(
                f"Record {number or '(without a sequence number)'} of shard {shard_id} cannot be applied: "
                f"{failure.reason}. Everything before it is applied.",
                hint=f"cruddur ddb stream process --skip {number}" if number else None,
                code="malformed_record",
                fields={"sequence_number": number, "shard_id": shard_id},
            )


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
            time.sleep(_PAUSE_S[reader.stream.at.url is not None])


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
