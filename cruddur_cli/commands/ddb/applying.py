"""Owns one run of ``cruddur ddb stream process``: reads and applies records, saves the checkpoint, and reports."""

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


# Locally, and on AWS. DescribeStream allows ten requests a second, and Lambda itself sends four ("Reading and
# processing a stream").
_PAUSE_S = {True: 0.25, False: 1.0}


@dataclass(frozen=True)
class RunResult(records.RecordCounts):
    """The result of one run. ``lost`` counts the gaps: places where records expired before they were read."""

    lost: int = 0
    requests: int = 0
    seconds: float = 0.0


class StreamRun:
    """One run of ``process``. ``totals`` counts what it did; ``failures`` has the record that failed in each shard."""

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
        self.totals = RunResult()
        self.failures: list[tuple[str, processor.Failure]] = []
        self._began = time.monotonic()
        self._reported: set[str] = set()

    def once(self) -> int:
        """Read every shard to its end, then show the result. Raises the error of a record that cannot be applied."""
        caught_up: set[str] = set()
        while True:
            has_more = False
            for batch in self.reader.batches(thorough=True):
                if batch.shard_id in caught_up:
                    continue
                self._apply(batch)
                has_more = has_more or not batch.caught_up or batch.closed
                caught_up |= {batch.shard_id} if batch.caught_up else set()
            self._report_lost()
            if not has_more or self.failures:
                break
        self._show()
        self._raise()
        return Exit.DONE

    def follow(self) -> int:
        """Apply records until Ctrl-C or a record that fails; waits for a store that does not answer."""
        outage = live.Outage(self.line.tell, "The stream")
        while not self.failures:
            is_busy = False
            try:
                for batch in self.reader.batches():
                    outage.ends()
                    self._apply(batch)
                    is_busy = is_busy or bool(batch.records) or batch.closed
                    self._report_progress(batch)
            except CruddurError as error:
                outage.begins(error)
            self._report_lost()
            if self.reader.finished():
                raise Incomplete(
                    "The stream has ended: the table was dropped, or its stream turned off. All records were applied.",
                    hint="cruddur ddb describe-table",
                    code="stream_ended",
                )
            if not is_busy:
                pause(self.reader)
        self._raise()
        return Exit.DONE

    def _apply(self, batch: stream_reader.Batch) -> None:
        """Apply one batch, then move the checkpoint behind it, or before the record that failed."""
        from ...dynamodb.streams import processor
        from ...dynamodb.streams.checkpoints import Position

        applied = processor.apply(self.dynamodb, batch.records, skip=self.skip, dry_run=self.s.dry_run)
        names = [field.name for field in fields(records.RecordCounts)]
        self.totals = replace(
            self.totals, **{name: getattr(self.totals, name) + getattr(applied, name) for name in names}
        )
        for reason in applied.unmovable:
            if reason not in self._reported:
                self._reported.add(reason)
                self.line.warn(reason)
        if applied.failure is None:
            self.reader.commit(batch)
        else:
            last_applied = batch.records[applied.failure.index - 1] if applied.failure.index else None
            position = (
                Position(records.sequence_number(last_applied), records.changed_at(last_applied))
                if last_applied
                else None
            )
            self.reader.commit_part(batch, position)
            self.failures.append((batch.shard_id, applied.failure))
        if batch.records or batch.closed or applied.failure:
            self._save_checkpoint()
        # After a Ctrl-C between the rows and the checkpoint, the next run applies the same records again.

    def _save_checkpoint(self) -> None:
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

    def _report_lost(self) -> None:
        for gap in self.reader.lost:
            self.line.warn(str(gap))
        self.totals = replace(self.totals, lost=self.totals.lost + len(self.reader.lost))
        self.reader.lost.clear()

    def _report_progress(self, batch: stream_reader.Batch) -> None:
        rate = self.totals.records / max(0.001, time.monotonic() - self._began)
        last_change = records.changed_at(batch.records[-1]) if batch.records else None
        lag = (
            "none"
            if batch.caught_up or last_change is None
            else f"{max(0.0, (times.now() - last_change).total_seconds()):,.0f} s"
        )
        self.line.update(
            f"following {self.s.table}: {counted(self.totals.records, 'record')}, "
            f"{counted(self.totals.messages, 'message')}, "
            f"{rate:,.0f}/s, lag {lag}, {counted(self.totals.moved, 'row')} moved"
        )
        if self.s.output != "table" and batch.records:
            totals = replace(self.totals, requests=self.dynamodb.meter.total().requests)
            output.show(replace(self.s, quiet=True, svg=None, summary=False), [totals])

    def _show(self) -> None:
        requests = self.dynamodb.meter.total().requests
        seconds = round(time.monotonic() - self._began, 3)
        self.totals = replace(self.totals, requests=requests, seconds=seconds)
        self.line.clear()
        failed = len(self.failures)
        output.show(
            self.s,
            [self.totals],
            draw=output.details,
            meter=self.dynamodb.meter,
            extra={"records": self.totals.records, "failed": failed, "dry_run": self.s.dry_run},
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


def pause(reader: stream_reader.Reader) -> None:
    """Wait before the next requests to a stream that had no new records."""
    time.sleep(_PAUSE_S[reader.stream.at.url is not None])
