"""Export the whole table to a file, several segments at once. An interrupted export can be resumed.

Each segment is written to a part, a file beside the target. At the end the parts are joined in the order of the
segments, and the result replaces the target in one step. The content depends only on the table and on the number of
segments, also after an interruption.
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
# A chunk ends with the item that fills it, and not with a page. So chunks are the same after a kill or with throttling.
_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class SegmentPosition:
    """The position in a segment: after the item with the key ``after``, with ``items`` and ``bytes`` in its part.

    ``tail`` is the position after one more compressed chunk, which a limit ended before it was full. A resumed export
    reads this chunk from the part and compresses it again together with the next items. So the file is the same as
    without the interruption.
    """

    after: dict[str, Any] | None = None
    items: int = 0
    bytes: int = 0
    done: bool = False
    tail: dict[str, Any] | None = None

    @classmethod
    def of(cls, state: Any) -> SegmentPosition:
        """The position in a checkpoint's state. Raises Unusable if the state has another form."""
        names = {"after", "items", "bytes", "done", "tail"}
        if not isinstance(state, dict) or not names - {"tail"} <= state.keys() <= names:
            raise sealing.Unusable("it does not say how far each segment was read")
        after, tail, done = state["after"], state.get("tail"), state["done"]
        items, size = sealing.whole_number(state["items"]), sealing.whole_number(state["bytes"])
        if after is not None and not _is_key(after):
            raise sealing.Unusable(f"{str(after)[:80]} is not the key of an item")
        if type(done) is not bool or (tail is not None and cls.of(tail).tail is not None):
            raise sealing.Unusable("a segment has a mark that is neither true nor false")
        return cls(after, items, size, done, tail)

    @property
    def last(self) -> SegmentPosition:
        """The position after the tail, or this position if there is no tail."""
        return SegmentPosition(**self.tail) if self.tail else self


class _Chunk(NamedTuple):
    """Lines of a segment, with the number of items and the key of the last one.

    ``done`` means that the segment ends here, ``stopped`` that a capacity limit ended the chunk before it was full.
    """

    content: bytes
    items: int
    after: dict[str, Any] | None
    done: bool = False
    stopped: bool = False


@dataclass(frozen=True)
class Exported:
    """The result of an export. ``bytes`` is the size of the file; ``resumed`` items were written by earlier runs."""

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
    """Write all items to a stream in the order in which pages arrive; yield the number of items of each write."""
    encode = formats.encoder(format, escape_formulas=escape_formulas)
    head = formats.header(format)
    backoff = dynamodb.backoff()

    def produce(number: int) -> Iterator[tuple[bytes, int]]:
        pages = scanning.segment(dynamodb, number, plan, backoff=backoff)
        for chunk in _chunks(pages, encode):
            yield _gzip(chunk.content) if zipped else chunk.content, chunk.items

    stream.write(_gzip(head) if zipped else head)
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
    """Write all items to the file ``path``, or resume an interrupted export to it.

    If ``segments`` is None, the number is that of the resumed export, or depends on the table's size. ``restart``
    deletes an earlier checkpoint. With ``private``, only the owner can read the file. ``advance`` is called with
    numbers of items.

    Raises Protected if the checkpoint belongs to another table or format, or if another export to the file is running.
    """
    path = path.resolve()
    if path.is_dir():
        raise BadInput(f"{path} is a folder: the export is one file.")
    with checkpoints.lock(path):
        job = _Job(dynamodb, table, path, format, zipped, escape_formulas, private=private)
        if restart:
            job.forget()
        job.begin(segments)
        resumed = sum(each.last.items for each in job.positions)
        if resumed:
            say(f"resuming the export: {resumed:,} items are written already")
            advance(resumed)
        try:
            for count in job.run(segments):
                advance(count)
        except BaseException as error:
            # Nothing was saved yet, or the same item would end the export again. So the parts cannot be used.
            if isinstance(error, BadInput) or not any(each.last.items for each in job.positions):
                with suppress(OSError):
                    job.forget()
            raise
        return job.finish(resumed)


class _Job:
    """One export to a file: its parts, the position in each segment, and the checkpoint with these positions."""

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
        self.positions: list[SegmentPosition] = []
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
                self.positions, self.joined = self._state(state)
            except sealing.Unusable as error:
                raise checkpoints.refused(self.checkpoint, str(error)) from error
            if segments not in {None, len(self.positions)}:
                raise Protected(
                    f"{self.checkpoint} was left by an export in {len(self.positions)} segments.",
                    hint=f"--segments {len(self.positions)} resumes it, --restart starts over",
                    code="checkpoint",
                )
            return
        # Without a checkpoint, existing parts cannot be resumed.
        self.forget()
        self.positions = [SegmentPosition()] * self._plan(segments).segments
        self._save()

    def _state(self, state: dict[str, Any]) -> tuple[list[SegmentPosition], bool]:
        """The position in each segment, and whether the parts were joined, from a checkpoint's state.

        Raises Unusable if no export can have saved this state, or if a part is too short for it.
        """
        segments, joined = state.get("segments"), state.get("joined")
        if (
            not isinstance(segments, list)
            or not 1 <= len(segments) <= scanning.MOST_SEGMENTS
            or type(joined) is not bool
        ):
            raise sealing.Unusable("it does not say how far each segment was read")
        positions = [SegmentPosition.of(each) for each in segments]
        for number, each in enumerate(positions):
            part = self.part(number)
            size = part.stat().st_size if part.exists() else 0
            if not joined and size < each.last.bytes:
                raise sealing.Unusable(f"{part.name} has {size:,} bytes instead of {each.last.bytes:,}")
        return positions, joined

    def _plan(self, segments: int | None) -> scanning.ScanPlan:
        return scanning.plan(self.dynamodb, items=self.table.items, size=self.table.bytes, segments=segments)

    def run(self, segments: int | None) -> Iterator[int]:
        """Read the rest of the table; yield the number of items of each write."""
        if self.joined:
            return
        left = [number for number, each in enumerate(self.positions) if not each.done]
        encode, backoff = formats.encoder(self.format, escape_formulas=self._escaped), self.dynamodb.backoff()
        # The number of segments is that of the parts, even if the table has grown since the export began.
        plan = replace(self._plan(segments), segments=len(self.positions))
        # A part has the mode of the file: who may not read the file must not read a part. Its owner may write to it.
        file_mode = self._mode()
        mode = None if file_mode is None else file_mode | stat.S_IRUSR | stat.S_IWUSR

        def produce(number: int) -> Iterator[int]:
            position = self.positions[number]
            pages = scanning.segment(self.dynamodb, number, plan, after=position.last.after, backoff=backoff)
            head = formats.header(self.format) if number == 0 and not position.last.bytes else b""
            yield from _write(
                self.part(number),
                lambda tail: _chunks(pages, encode, head=head + tail),
                position=position, zipped=self.zipped, mode=mode, save=lambda new: self._save_position(number, new),
            )  # fmt: skip

        yield from scanning.spread(left, produce, readers=plan.readers, halt=self.dynamodb.halt)

    def finish(self, resumed: int) -> Exported:
        """Join the parts, replace the target file, and delete the parts and the checkpoint.

        If the process is killed at any point, this can be repeated.
        """
        first = self.part(0)
        sizes = {self.part(number): each.bytes for number, each in enumerate(self.positions)}
        if not (self.joined and not first.exists() and self.path.exists()):
            if self.zipped and not sum(sizes.values()):
                sizes[first] = _write_empty_gzip(first)
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
        items = sum(each.items for each in self.positions)
        return Exported(str(self.path), str(self.format), items, sum(sizes.values()), len(sizes), resumed)

    def _mode(self) -> int | None:
        """The mode of the file: that of its owner alone if it is private, or that of the file that it replaces.

        None if there is no such file.
        """
        if self._private:
            return stat.S_IRUSR | stat.S_IWUSR
        try:
            return stat.S_IMODE(self.path.stat().st_mode)
        except FileNotFoundError:
            return None

    def forget(self) -> None:
        """Delete the parts, then the checkpoint. In the other order, a kill could leave parts that nothing deletes."""
        prefix = f"{self.path.name}.part-"
        for entry in self.path.parent.iterdir():
            if entry.name.startswith(prefix) and entry.name.removeprefix(prefix).isdecimal():
                with suppress(FileNotFoundError):
                    entry.unlink()
        checkpoints.remove(self.checkpoint)

    def _save_position(self, number: int, position: SegmentPosition) -> None:
        with self._lock:
            self.positions[number] = position
            self._save()

    def _save(self) -> None:
        state = {"segments": [asdict(each) for each in self.positions], "joined": self.joined}
        checkpoints.save(self.checkpoint, state, about=self._about)


# The part of one segment: items become lines, lines become chunks, and chunks are written to a file that can be
# truncated to a saved position.


def _chunks(pages: Iterable[list[Item]], encode: Callable[[Item], bytes], *, head: bytes = b"") -> Iterator[_Chunk]:
    """Yield the lines of a segment, after ``head``, in chunks.

    If a capacity limit ends the pages, the items before it were paid for. They are yielded as a last chunk, and then
    Incomplete is raised.
    """
    lines: list[bytes] = [head] if head else []
    size, last, count = len(head), None, 0
    limit_reached: Incomplete | None = None
    remaining = iter(pages)
    while True:
        try:
            page = next(remaining, None)
        except Incomplete as error:
            page, limit_reached = None, error
        if page is None:
            break
        page.reverse()
        while page:  # free each item as soon as it is a line: a parsed page is eight times as large as its JSON
            last = page.pop()
            line = encode(last)
            lines.append(line)
            size += len(line)
            count += 1
            if size >= _CHUNK:
                yield _Chunk(b"".join(lines), count, _key(last))
                lines, size, count = [], 0, 0
    if limit_reached is None or count:
        done = limit_reached is None
        yield _Chunk(b"".join(lines), count, _key(last) if last else None, done=done, stopped=not done)
    if limit_reached is not None:
        raise limit_reached


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


def _gzip(content: bytes) -> bytes:
    """The content as one gzip member (RFC 1952), or nothing for no content.

    It has no name and no time, so that the same content always gives the same bytes.
    """
    return _gzip_member(content) if content else b""


def _gzip_member(content: bytes) -> bytes:
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    return compressor.compress(content) + compressor.flush()


def _write_empty_gzip(path: Path) -> int:
    """Write the gzip form of an empty file, which is not empty itself; return its size in bytes."""
    return path.write_bytes(_gzip_member(b""))


def _write(
    path: Path,
    begin: Callable[[bytes], Iterable[_Chunk]],
    *,
    position: SegmentPosition,
    zipped: bool,
    save: Callable[[SegmentPosition], None],
    mode: int | None = None,
) -> Iterator[int]:
    """Write chunks to a part, from ``position`` on; yield the number of items of each chunk.

    Each chunk is on the disk before ``save`` is called with the new position. ``begin`` returns the chunks. It gets the
    lines of the tail, with which the first chunk begins; this chunk overwrites the tail. ``mode`` is the mode of the
    part; None means that of the umask.
    """
    try:
        # The file is created with its mode, so that no other user can open it before the mode is narrowed.
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666 if mode is None else mode), "r+b") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.truncate(position.last.bytes)
            file.seek(position.bytes)
            for chunk in begin(zlib.decompress(file.read(), wbits=31) if position.tail else b""):
                last = position.last
                if position.tail:
                    position = replace(position, tail=None)
                    save(position)  # a kill while the tail is overwritten would leave it damaged
                file.seek(position.bytes)
                written = file.write(_gzip(chunk.content) if zipped else chunk.content)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
                after, items = chunk.after or last.after, last.items + chunk.items
                new = SegmentPosition(after, items, position.bytes + written, chunk.done)
                position = replace(position, tail=asdict(new)) if zipped and chunk.stopped else new
                save(position)
                yield chunk.items
    except OSError as error:
        raise checkpoints.unusable(path, error) from error


def _join(sizes: dict[Path, int]) -> None:
    """Append the other parts to the first one, in their order, and sync it to the disk. Safe to repeat.

    ``sizes`` has the number of valid bytes of each part.
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
