"""Writes the whole table into a file, several segments at once, so that a killed export resumes.

Each segment has a part of its own beside the file; the parts are joined in the segments' order, and the whole takes
the file's name in one step. What is in it depends on the table and the number of segments alone.
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import IO, Any, NamedTuple

from ...errors import BadInput, Incomplete, Protected
from .. import scanning, sealing, tables
from ..client import DynamoDB
from ..schema import Item
from . import Format, checkpoints, formats

Say = Callable[[str], None]
# A chunk ends with the item that fills it, not with a page: so it holds the same after a kill, or with throttling.
_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Reached:
    """How far a segment came: behind the item with the key ``after``, with so many items and bytes in its part.

    ``tail`` is the same of a chunk that was stopped before it was full and stands behind all that, compressed: what it
    holds is read again, and compressed with what comes next, so that a stop leaves no trace in the file.
    """

    after: dict[str, Any] | None = None
    items: int = 0
    bytes: int = 0
    done: bool = False
    tail: dict[str, Any] | None = None

    @classmethod
    def of(cls, kept: Any) -> Reached:
        """What was kept of one. Raises Unusable for anything else."""
        names = {"after", "items", "bytes", "done", "tail"}
        if not isinstance(kept, dict) or not names - {"tail"} <= kept.keys() <= names:
            raise sealing.Unusable("it does not say how far each segment was read")
        after, tail, done = kept["after"], kept.get("tail"), kept["done"]
        items, size = sealing.whole_number(kept["items"]), sealing.whole_number(kept["bytes"])
        if after is not None and not _is_key(after):
            raise sealing.Unusable(f"{str(after)[:80]} is not the key of an item")
        if type(done) is not bool or (tail is not None and cls.of(tail).tail is not None):
            raise sealing.Unusable("a segment has a mark that is neither true nor false")
        return cls(after, items, size, done, tail)

    @property
    def last(self) -> Reached:
        """How far it came, with the tail."""
        return Reached(**self.tail) if self.tail else self


class _Chunk(NamedTuple):
    """Lines of a segment: how many items, the last one's key, and whether it is the segment's end. ``stopped`` says
    that a limit ended it before it was full."""

    content: bytes
    items: int
    after: dict[str, Any] | None
    done: bool = False
    stopped: bool = False


@dataclass(frozen=True)
class Exported:
    """The result of an export: items and bytes of the file, plain and compressed; ``resumed`` items came before."""

    file: str
    format: str
    items: int
    bytes: int
    segments: int
    resumed: int = 0


def to_stream(
    dynamodb: DynamoDB,
    stream: IO[bytes],
    *,
    format: Format,
    plan: scanning.ScanPlan,
    zipped: bool = False,
    escape_formulas: bool = False,
) -> Iterator[int]:
    """Write all items to a stream as they come; yields how many came. Their order is that of the segments' arrival."""
    encode = formats.encoder(format, escape_formulas=escape_formulas)
    head = formats.header(format)
    backoff = dynamodb.backoff()

    def produce(number: int) -> Iterator[tuple[bytes, int]]:
        pages = scanning.segment(dynamodb, number, plan, backoff=backoff)
        for chunk in _chunks(pages, encode):
            yield _squeeze(chunk.content) if zipped else chunk.content, chunk.items

    stream.write(_squeeze(head) if zipped else head)
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
    escape_formulas: bool = False,
    private: bool = False,
    say: Say = lambda _: None,
    advance: Callable[[int], None] = lambda _: None,
) -> Exported:
    """Write all items to ``path``, or resume an interrupted export to it.

    ``private`` lets only the owner read the file.

    ``segments`` None is chosen by the table's size, or is that of the resumed export. Raises Protected where the
    checkpoint is that of another table or format, or where another export to the same file is running.
    """
    path = path.resolve()
    if path.is_dir():
        raise BadInput(f"{path} is a folder: the export is one file.")
    with checkpoints.alone(path):
        job = _Job(dynamodb, table, path, format, zipped, escape_formulas, private=private)
        if restart:
            job.forget()
        job.begin(segments)
        resumed = sum(each.last.items for each in job.reached)
        if resumed:
            say(f"resuming the export: {resumed:,} items are written already")
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

    def __init__(
        self,
        dynamodb: DynamoDB,
        table: tables.Table,
        path: Path,
        format: Format,
        zipped: bool,
        escaped: bool,
        *,
        private: bool,
    ) -> None:
        self.dynamodb, self.table, self.path, self.format, self.zipped = dynamodb, table, path, format, zipped
        self.checkpoint = checkpoints.beside(path)
        self.reached: list[Reached] = []
        self.joined = False
        self._escaped = escaped
        self._private = private
        self._about: dict[str, Any] = {
            "what": "export", **checkpoints.identity(dynamodb, table), "format": str(format), "gzip": zipped,
            "escaped": escaped,
        }  # fmt: skip
        self._lock = Lock()

    def part(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.part-{number}")

    def begin(self, segments: int | None) -> None:
        state = checkpoints.load(self.checkpoint, about=self._about)
        if state is not None:
            try:
                self.reached, self.joined = self._state(state)
            except sealing.Unusable as error:
                raise checkpoints.refused(self.checkpoint, str(error)) from error
            if segments not in {None, len(self.reached)}:
                raise Protected(
                    f"{self.checkpoint} was left by an export in {len(self.reached)} segments.",
                    hint=f"--segments {len(self.reached)} resumes it, --restart starts over",
                    code="checkpoint",
                )
            return
        # Parts without a checkpoint cannot be resumed.
        self.forget()
        self.reached = [Reached()] * self._plan(segments).segments
        self._save()

    def _state(self, state: dict[str, Any]) -> tuple[list[Reached], bool]:
        """How far each segment came. Raises Unusable where no export of this program can have come there."""
        kept, joined = state.get("segments"), state.get("joined")
        if not isinstance(kept, list) or not 1 <= len(kept) <= scanning.MOST_SEGMENTS or type(joined) is not bool:
            raise sealing.Unusable("it does not say how far each segment was read")
        reached = [Reached.of(each) for each in kept]
        for number, each in enumerate(reached):
            part = self.part(number)
            there = part.stat().st_size if part.exists() else 0
            if not joined and there < each.last.bytes:
                raise sealing.Unusable(f"{part.name} has {there:,} bytes instead of {each.last.bytes:,}")
        return reached, joined

    def _plan(self, segments: int | None) -> scanning.ScanPlan:
        return scanning.plan(self.dynamodb, items=self.table.items, size=self.table.bytes, segments=segments)

    def run(self, segments: int | None) -> Iterator[int]:
        """Read the rest of the table; yields how many items came."""
        if self.joined:
            return
        left = [number for number, each in enumerate(self.reached) if not each.done]
        encode, backoff = formats.encoder(self.format, escape_formulas=self._escaped), self.dynamodb.backoff()
        # The number of segments is that of the parts, also where a table has grown since they were begun.
        plan = replace(self._plan(segments), segments=len(self.reached))
        # What only its owner may read is in no part for others either; and a part has to be written to.
        replaced = self._mode()
        mode = None if replaced is None else replaced | stat.S_IRUSR | stat.S_IWUSR

        def produce(number: int) -> Iterator[int]:
            reached = self.reached[number]
            pages = scanning.segment(self.dynamodb, number, plan, after=reached.last.after, backoff=backoff)
            head = formats.header(self.format) if number == 0 and not reached.last.bytes else b""
            yield from _write(
                self.part(number),
                lambda tail: _chunks(pages, encode, head=head + tail),
                reached=reached, zipped=self.zipped, mode=mode, keep=lambda to: self._keep(number, to),
            )  # fmt: skip

        yield from scanning.spread(left, produce, readers=plan.readers, halt=self.dynamodb.halt)

    def finish(self, resumed: int) -> Exported:
        """Join the parts, give the whole its name, forget the rest. Killed at any point, it can be done again."""
        first = self.part(0)
        sizes = {self.part(number): each.bytes for number, each in enumerate(self.reached)}
        if not (self.joined and not first.exists() and self.path.exists()):
            if self.zipped and not sum(sizes.values()):
                sizes[first] = _write_nothing(first)
            _join(sizes)
            self.joined = True
            self._save()
            try:
                mode = self._mode()
                if mode is not None:
                    first.chmod(mode)
                first.replace(self.path)
                checkpoints.sync_folder(self.path.parent)
            except OSError as error:
                raise checkpoints.unusable(self.path, error) from error
        self.forget()
        items = sum(each.items for each in self.reached)
        return Exported(str(self.path), str(self.format), items, sum(sizes.values()), len(sizes), resumed)

    def _mode(self) -> int | None:
        """Who may read and write the file: its owner alone where it is private, else as the file that it replaces.

        None where there is none.
        """
        if self._private:
            return stat.S_IRUSR | stat.S_IWUSR
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


# One segment's part: lines into chunks, chunks into a file that can be cut back to a known place.


def _chunks(pages: Iterable[list[Item]], encode: Callable[[Item], bytes], *, head: bytes = b"") -> Iterator[_Chunk]:
    """The lines of a segment, behind ``head``, in chunks.

    Where a limit stops the pages, what came before it was paid for: that is a chunk as well, and then it is raised.
    """
    lines: list[bytes] = [head] if head else []
    size, last, count = len(head), None, 0
    stopped: Incomplete | None = None
    found = iter(pages)
    while True:
        try:
            page = next(found, None)
        except Incomplete as error:
            page, stopped = None, error
        if page is None:
            break
        page.reverse()
        while page:  # each item goes as soon as it is a line: a page is eight times its JSON in memory
            last = page.pop()
            line = encode(last)
            lines.append(line)
            size += len(line)
            count += 1
            if size >= _CHUNK:
                yield _Chunk(b"".join(lines), count, _key(last))
                lines, size, count = [], 0, 0
    if stopped is None or count:
        done = stopped is None
        yield _Chunk(b"".join(lines), count, _key(last) if last else None, done=done, stopped=not done)
    if stopped is not None:
        raise stopped


def _key(item: Item) -> dict[str, Any]:
    return {"pk": item["pk"], "sk": item["sk"]}


def _is_key(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"pk", "sk"}
        and all(
            isinstance(each, dict) and each.keys() == {"S"} and isinstance(each["S"], str) for each in value.values()
        )
    )


def _squeeze(content: bytes) -> bytes:
    """A gzip member (RFC 1952) of its own, without name or time: the same for the same content. Nothing for nothing."""
    return _member(content) if content else b""


def _member(content: bytes) -> bytes:
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    return compressor.compress(content) + compressor.flush()


def _write_nothing(path: Path) -> int:
    """Make a part the gzip of nothing, which is not an empty file; returns its size."""
    return path.write_bytes(_member(b""))


def _write(
    path: Path,
    begin: Callable[[bytes], Iterable[_Chunk]],
    *,
    reached: Reached,
    zipped: bool,
    keep: Callable[[Reached], None],
    mode: int | None = None,
) -> Iterator[int]:
    """Write chunks behind what was reached; each is on the disk before ``keep`` is told. Yields how many items came.

    ``begin`` gets what the first chunk begins with: the lines of the tail, which the chunk is written over. ``mode``
    says who may read and write the part; None leaves that to the umask.
    """
    try:
        # Made with its mode: one who opened it before that was narrowed could read on.
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666 if mode is None else mode), "r+b") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.truncate(reached.last.bytes)
            file.seek(reached.bytes)
            for chunk in begin(zlib.decompress(file.read(), wbits=31) if reached.tail else b""):
                last = reached.last
                if reached.tail:
                    reached = replace(reached, tail=None)
                    keep(reached)  # killed while it is overwritten, the tail is nothing to go on from
                file.seek(reached.bytes)
                written = file.write(_squeeze(chunk.content) if zipped else chunk.content)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
                after, items = chunk.after or last.after, last.items + chunk.items
                to = Reached(after, items, reached.bytes + written, chunk.done)
                reached = replace(reached, tail=asdict(to)) if zipped and chunk.stopped else to
                keep(reached)
                yield chunk.items
    except OSError as error:
        raise checkpoints.unusable(path, error) from error


def _join(sizes: dict[Path, int]) -> None:
    """Append the parts to the first one, in their order, and have that on the disk; doing it again changes nothing.

    ``sizes`` says how many bytes of each part count.
    """
    (first, begin), *others = sizes.items()
    try:
        with first.open("r+b") as whole:
            whole.truncate(begin)
            whole.seek(begin)
            for part, size in others:
                if size:
                    with part.open("rb") as file:
                        _copy(file, whole, size)
            whole.flush()
            os.fsync(whole.fileno())
    except OSError as error:
        raise checkpoints.unusable(first, error) from error


def _copy(source: Any, target: Any, size: int) -> None:
    while size and (content := source.read(min(size, _CHUNK))):
        target.write(content)
        size -= len(content)
    if size:
        raise OSError(None, "a part of the export became shorter while it was read")
