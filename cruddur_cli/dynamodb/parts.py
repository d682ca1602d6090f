"""One segment's part of an export: lines into chunks, chunks into a file that can be cut back to a known place."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checkpoints import unusable

Item = dict[str, Any]
# A chunk ends with the item that fills it, wherever pages end: so it holds the same after a kill, or with throttling.
CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Reached:
    """How far a segment came: behind the item with the key ``after``, with so many items and bytes in its part."""

    after: dict[str, Any] | None = None
    items: int = 0
    bytes: int = 0
    done: bool = False


def chunks(
    pages: Iterable[list[Item]], encode: Callable[[Item], bytes], *, head: bytes = b""
) -> Iterator[tuple[bytes, int, dict[str, Any] | None, bool]]:
    """The lines of a segment in chunks: the bytes, how many items, the last one's key, and whether it is the end."""
    lines: list[bytes] = [head] if head else []
    size, last, count = len(head), None, 0
    for page in pages:
        page.reverse()
        while page:  # each item goes as soon as it is a line: a page is eight times its JSON in memory
            last = page.pop()
            line = encode(last)
            lines.append(line)
            size += len(line)
            count += 1
            if size >= CHUNK:
                yield b"".join(lines), count, _key(last), False
                lines, size, count = [], 0, 0
    yield b"".join(lines), count, _key(last) if last else None, True


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
    found: Iterable[tuple[bytes, int, dict[str, Any] | None, bool]],
    *,
    reached: Reached,
    zipped: bool,
    keep: Callable[[Reached], None],
    mode: int | None = None,
) -> Iterator[int]:
    """Write chunks behind what was reached; each is on the disk before ``keep`` is told. Yields how many items came.

    ``mode`` says who may read and write the part; None leaves that to the umask.
    """
    try:
        with path.open("r+b" if path.exists() else "w+b") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.truncate(reached.bytes)
            file.seek(reached.bytes)
            for content, count, after, done in found:
                written = file.write(squeeze(content) if zipped else content)
                file.flush()
                os.fsync(file.fileno())
                reached = Reached(after or reached.after, reached.items + count, reached.bytes + written, done)
                keep(reached)
                yield count
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
