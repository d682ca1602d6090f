"""Writes the whole table into a file, several segments at once, so that a killed export goes on where it was.

Each segment has a part of its own beside the file; the parts are joined in the segments' order, and the whole takes
the file's name in one step. What is in it depends on the table and the number of segments alone.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import IO, Any

from ..errors import BadInput, Protected
from . import checkpoints, formats, parts, scanning, tables
from .client import DynamoDB
from .formats import Format
from .parts import Reached

Say = Callable[[str], None]


@dataclass(frozen=True)
class Exported:
    """What an export left: items and bytes of the file, whole and compressed; ``resumed`` items were there already."""

    file: str
    format: str
    items: int
    bytes: int
    segments: int
    resumed: int = 0


def to_stream(
    dynamodb: DynamoDB, stream: IO[bytes], *, format: Format, plan: scanning.Plan, zipped: bool = False
) -> Iterator[int]:
    """Write all items to a stream as they come; yields how many came. Their order is that of the segments' arrival."""
    encode = formats.encoder(format)
    head = formats.header(format)
    patience = dynamodb.patience()

    def produce(number: int) -> Iterator[tuple[bytes, int]]:
        pages = scanning.segment(dynamodb, number, plan, patience=patience)
        for chunk in parts.chunks(pages, encode):
            yield parts.squeeze(chunk.content) if zipped else chunk.content, chunk.items

    stream.write(parts.squeeze(head) if zipped else head)
    for content, count in scanning.spread(range(plan.segments), produce, readers=plan.readers, halt=dynamodb.halt):
        stream.write(content)
        stream.flush()
        yield count


def to_file(
    dynamodb: DynamoDB,
    table: tables.Table,
    path: Path,
    *,
    format: Format,
    zipped: bool,
    segments: int | None,
    restart: bool = False,
    say: Say = lambda _: None,
    advance: Callable[[int], None] = lambda _: None,
) -> Exported:
    """Write all items to ``path``, or go on with an export to it that was ended.

    ``segments`` None is chosen by the table's size, or is that of the export that goes on. Raises Protected where the
    checkpoint is that of another table or format, or where another export to the same file is running.
    """
    path = path.resolve()
    if path.is_dir():
        raise BadInput(f"{path} is a folder: the export is one file.")
    with checkpoints.alone(path):
        job = _Job(dynamodb, table, path, format, zipped)
        if restart:
            job.forget()
        job.begin(segments)
        resumed = sum(each.last.items for each in job.reached)
        if resumed:
            say(f"going on with the export that was ended: {resumed:,} items are in its parts")
            advance(resumed)
        try:
            for count in job.run(segments):
                advance(count)
        except BaseException as error:
            # Nothing was kept yet, or it ends with the same item every time: then parts are only in the way.
            if isinstance(error, BadInput) or not any(each.last.items for each in job.reached):
                with suppress(OSError):
                    job.forget()
            raise
        return job.finish(resumed)


class _Job:
    """One export to a file: where its parts are, how far each came, and the checkpoint that says so."""

    def __init__(self, dynamodb: DynamoDB, table: tables.Table, path: Path, format: Format, zipped: bool) -> None:
        self.dynamodb, self.table, self.path, self.format, self.zipped = dynamodb, table, path, format, zipped
        self.checkpoint = checkpoints.beside(path)
        self.reached: list[Reached] = []
        self.joined = False
        self._about: dict[str, Any] = {
            "what": "export", **checkpoints.identity(dynamodb, table), "format": str(format), "gzip": zipped,
        }  # fmt: skip
        self._lock = Lock()

    def part(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.part-{number}")

    def begin(self, segments: int | None) -> None:
        state = checkpoints.load(self.checkpoint, about=self._about)
        if state is not None:
            self.reached, self.joined = [Reached(**each) for each in state["segments"]], bool(state["joined"])
            if segments not in {None, len(self.reached)}:
                raise Protected(
                    f"{self.checkpoint} was left by an export in {len(self.reached)} segments.",
                    hint=f"--segments {len(self.reached)} goes on with it, --restart begins anew",
                    code="checkpoint",
                )
            return
        # Parts without a checkpoint are of nobody knows what.
        self.forget()
        self.reached = [Reached()] * self._plan(segments).segments
        self._save()

    def _plan(self, segments: int | None) -> scanning.Plan:
        return scanning.plan(self.dynamodb, items=self.table.items, size=self.table.bytes, segments=segments)

    def run(self, segments: int | None) -> Iterator[int]:
        """Read what is left; yields how many items came."""
        if self.joined:
            return
        left = [number for number, each in enumerate(self.reached) if not each.done]
        encode, patience = formats.encoder(self.format), self.dynamodb.patience()
        # The number of segments is that of the parts, also where a table has grown since they were begun.
        plan = replace(self._plan(segments), segments=len(self.reached))
        # What only its owner may read is in no part for others either; and a part has to be written to.
        replaced = self._mode()
        mode = None if replaced is None else replaced | stat.S_IRUSR | stat.S_IWUSR

        def produce(number: int) -> Iterator[int]:
            reached = self.reached[number]
            pages = scanning.segment(self.dynamodb, number, plan, after=reached.last.after, patience=patience)
            head = formats.header(self.format) if number == 0 and not reached.last.bytes else b""
            yield from parts.write(
                self.part(number),
                lambda tail: parts.chunks(pages, encode, head=head + tail),
                reached=reached, zipped=self.zipped, mode=mode, keep=lambda to: self._keep(number, to),
            )  # fmt: skip

        yield from scanning.spread(left, produce, readers=plan.readers, halt=self.dynamodb.halt)

    def finish(self, resumed: int) -> Exported:
        """Join the parts, give the whole its name, forget the rest. Killed at any point, it can be done again."""
        names = [self.part(number) for number in range(len(self.reached))]
        sizes = [each.bytes for each in self.reached]
        if not (self.joined and not names[0].exists() and self.path.exists()):
            if self.zipped and not sum(sizes):
                sizes[0] = parts.write_nothing(names[0])
            parts.join(names, sizes)
            self.joined = True
            self._save()
            try:
                mode = self._mode()
                if mode is not None:
                    names[0].chmod(mode)
                names[0].replace(self.path)
                checkpoints.sync_folder(self.path.parent)
            except OSError as error:
                raise checkpoints.unusable(self.path, error) from error
        self.forget()
        items = sum(each.items for each in self.reached)
        return Exported(str(self.path), str(self.format), items, sum(sizes), len(sizes), resumed)

    def _mode(self) -> int | None:
        """Who may read and write the file that is replaced; None where there is none."""
        try:
            return stat.S_IMODE(self.path.stat().st_mode)
        except FileNotFoundError:
            return None

    def forget(self) -> None:
        """Remove the parts, then the checkpoint: parts without one would never be found again."""
        prefix = f"{self.path.name}.part-"
        for entry in self.path.parent.iterdir():
            if entry.name.startswith(prefix) and entry.name.removeprefix(prefix).isdecimal():
                with suppress(FileNotFoundError):
                    entry.unlink()
        checkpoints.remove(self.checkpoint)

    def _keep(self, number: int, to: Reached) -> None:
        with self._lock:
            self.reached[number] = to
            self._save()

    def _save(self) -> None:
        state = {"segments": [asdict(each) for each in self.reached], "joined": self.joined}
        checkpoints.save(self.checkpoint, state, about=self._about)
