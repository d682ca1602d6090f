"""One segment's part of an export: lines into chunks, chunks into a file that can be cut back to a known place."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import Incomplete
from .checkpoints import unusable

Item = dict[str, Any]
# A chunk ends with the item that fills it, wherever pages end: so it holds the same after a kill, or with throttling.
CHUNK = 1024 * 1024


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

    @property
    def last(self) -> Reached:
        """How far it came, with the tail."""
        return Reached(**self.tail) if self.tail else self


class Chunk(NamedTuple):
    """Lines of a segment: how many items, the last one's key, and whether it is the segment's end. ``stopped`` says
    that a limit ended it before it was full."""

    content: bytes
    items: int
    after: dict[str, Any] | None
    done: bool = False
    stopped: bool = False


def chunks(pages: Iterable[list[Item]], encode: Callable[[Item], bytes], *, head: bytes = b"") -> Iterator[Chunk]:
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
            if size >= CHUNK:
                yield Chunk(b"".join(lines), count, _key(last))
                lines, size, count = [], 0, 0
    if stopped is None or count:
        done = stopped is None
        yield Chunk(b"".join(lines), count, _key(last) if last else None, done=done, stopped=not done)
    if stopped is not None:
        raise stopped


def _key(item: Item) -> dict[str, Any]:
    return {"pk": item["pk"], "sk": item["sk"]}


def squeeze(content: bytes) -> bytes:
    """A gzip member (RFC 1952) of its own, without name or time: the same for the same content. Nothing for nothing."""
    return _member(content) if content else b""


def _member(content: bytes) -> bytes:
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    return compressor.compress(content) + compressor.flush()


def write_nothing(path: Path) -> int:
    """Make a part the gzip of nothing, which is not an empty file; its size comes back."""
    return path.write_bytes(_member(b""))


def write(
    path: Path,
    begin: Callable[[bytes], Iterable[Chunk]],
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
        with path.open("r+b" if path.exists() else "w+b") as file:
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
                written = file.write(squeeze(chunk.content) if zipped else chunk.content)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
                after, items = chunk.after or last.after, last.items + chunk.items
                to = Reached(after, items, reached.bytes + written, chunk.done)
                reached = replace(reached, tail=asdict(to)) if zipped and chunk.stopped else to
                keep(reached)
                yield chunk.items
    except OSError as error:
        raise unusable(path, error) from error


def join(parts: list[Path], sizes: list[int]) -> None:
    """Append the parts to the first one, in their order, and have that on the disk; doing it again changes nothing."""
    first = parts[0]
    try:
        with first.open("r+b") as whole:
            whole.truncate(sizes[0])
            whole.seek(sizes[0])
            for part, size in zip(parts[1:], sizes[1:], strict=True):
                if size:
                    with part.open("rb") as file:
                        _copy(file, whole, size)
            whole.flush()
            os.fsync(whole.fileno())
    except OSError as error:
        raise unusable(first, error) from error


def _copy(source: Any, target: Any, size: int) -> None:
    while size and (content := source.read(min(size, CHUNK))):
        target.write(content)
        size -= len(content)
    if size:
        raise OSError(None, "a part is shorter than it was")
