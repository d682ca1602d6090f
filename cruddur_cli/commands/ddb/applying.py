"""One run of ``cruddur ddb stream process``: what is read, applied and kept, and what is said of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ... import output, times
from ...dynamodb.streams import records
from ...errors import CruddurError, Exit, Incomplete
from ...output import live
from ...output.text import counted
from ...settings import Settings

if TYPE_CHECKING:
    from ...dynamodb.client import DynamoDB
    from ...dynamodb.streams import processor
    from ...dynamodb.streams import reader as stream_reader


# "Reading and processing a stream": DescribeStream takes ten requests a second, and Lambda itself asks four times.
_PAUSE_S = {True: 0.25, False: 1.0}


@dataclass(frozen=True)
class RunResult(records.RecordCounts):
    """The result of one run. ``lost`` counts places where records were gone before they could be read."""

    lost: int = 0
    requests: int = 0
    seconds: float = 0.0


class StreamRun:
    """One run of ``process``: what is read, applied and kept, and what was said of it."""

    def __init__(
        self,
        s: Settings,
        dynamodb: DynamoDB,
        reader: stream_reader.Reader,
        path: Path,
        line: live.StatusLine,
        skip: frozenset[str],
    ) -> None:
        self.s, self.dynamodb, self.reader, self.path, self.line, self.skip = s, dynamodb, reader, path, line, skip
        self.done = RunResult()
        self.failures: list[tuple[str, processor.Failure]] = []
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
        outage = live.Outage(self.line.tell, "The stream")
        while not self.failures:
            busy = False
            try:
                for batch in self.reader.batches():
                    outage.ends()
                    self._apply(batch)
                    busy = busy or bool(batch.records) or batch.closed
                    self._tell_progress(batch)
            except CruddurError as error:
                outage.begins(error)
            self._tell_lost()
            if self.reader.finished():
                raise Incomplete(
                    "The stream has ended: the table was dropped, or its stream turned off. All records were applied.",
                    hint="cruddur ddb describe-table",
                    code="stream_ended",
                )
            if not busy:
                rest(self.reader)
        self._raise()
        return Exit.DONE

    def _apply(self, batch: stream_reader.Batch) -> None:
        """One batch: its effect first, then the place. What failed leaves the place before it."""
        from ...dynamodb.streams import processor
        from ...dynamodb.streams.checkpoints import Position

        applied = processor.apply(self.dynamodb, batch.records, skip=self.skip, dry_run=self.s.dry_run)
        names = [field.name for field in fields(records.RecordCounts)]
        self.done = replace(self.done, **{name: getattr(self.done, name) + getattr(applied, name) for name in names})
        for reason in applied.unmovable:
            if reason not in self._told:
                self._told.add(reason)
                self.line.warn(reason)
        if applied.failure is None:
            self.reader.commit(batch)
        else:
            before = batch.records[applied.failure.index - 1] if applied.failure.index else None
            place = Position(records.sequence_number(before), records.changed_at(before)) if before else None
            self.reader.commit_part(batch, place)
            self.failures.append((batch.shard_id, applied.failure))
        if batch.records or batch.closed or applied.failure:
            self._keep()
        # Even a Ctrl-C between effect and place costs no more than applying the same records again.

    def _keep(self) -> None:
        from ...dynamodb.streams import checkpoints as stream_checkpoints
        from ...local import home

        if self.s.dry_run:
            return
        text = stream_checkpoints.encode(self.reader.positions, stream=self.reader.stream.arn, table=self.s.table)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            home.write(self.path, text)
        except OSError as error:
            raise Incomplete(
                f"The checkpoint {self.path} cannot be written: {error.strerror or error}. "
                "The applied changes stay. The next run applies the records again, which changes nothing.",
                hint="pass --checkpoint FILE with a file that you can write",
                code="checkpoint",
            ) from error

    def _tell_lost(self) -> None:
        for lost in self.reader.lost:
            self.line.warn(str(lost))
        self.done = replace(self.done, lost=self.done.lost + len(self.reader.lost))
        self.reader.lost.clear()

    def _tell_progress(self, batch: stream_reader.Batch) -> None:
        rate = self.done.records / max(0.001, time.monotonic() - self._began)
        last = records.changed_at(batch.records[-1]) if batch.records else None
        lag = "none" if batch.caught_up or last is None else f"{max(0.0, (times.now() - last).total_seconds()):,.0f} s"
        self.line.update(
            f"following {self.s.table}: {counted(self.done.records, 'record')}, "
            f"{counted(self.done.messages, 'message')}, "
            f"{rate:,.0f}/s, lag {lag}, {counted(self.done.moved, 'row')} moved"
        )
        if self.s.output != "table" and batch.records:
            shown = replace(self.done, requests=self.dynamodb.meter.total().requests)
            output.show(replace(self.s, quiet=True, svg=None, summary=False), [shown])

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
                f"{failure.reason}. All records before it are applied.",
                hint=f"cruddur ddb stream process --skip {number}" if number else None,
                code="malformed_record",
                fields={"sequence_number": number, "shard_id": shard_id},
            )


def rest(reader: stream_reader.Reader) -> None:
    """Wait before the next look at a stream that had nothing new."""
    time.sleep(_PAUSE_S[reader.stream.at.url is not None])
