"""Owns the file format of changes: frames with a checksum, and a mark that says how many were acknowledged.

A frame is four bytes of length, four bytes of CRC-32 over length and payload, and the payload.

The mark is a file beside the logs. It contains how many bytes of the newest log are on the disk. It is written after
each sync of the log and is not synced itself, so after a power cut its number may be too small, but never too large. A
broken frame behind the mark was never acknowledged, and is cut off; a broken frame before it is damage.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from pathlib import Path

from . import home as homes

HEAD = struct.Struct("<II")
MARK_BYTES = 64


def frame(payload: bytes) -> bytes:
    """The payload with its length and checksum."""
    return HEAD.pack(len(payload), _checksum(payload)) + payload


def frames(content: bytes) -> tuple[list[bytes], int]:
    """The payloads of the frames before the first broken one, and the offset of that one (the end without one)."""
    payloads, offset = [], 0
    while len(head := content[offset : offset + HEAD.size]) == HEAD.size:
        length, checksum = HEAD.unpack(head)
        payload = content[offset + HEAD.size : offset + HEAD.size + length]
        if not length or len(payload) < length or checksum != _checksum(payload):
            break
        payloads.append(payload)
        offset += HEAD.size + length
    return payloads, offset


def overruns(content: bytes, offset: int) -> bool:
    """Whether the frame at ``offset`` has a length beyond the end of the file."""
    if offset + HEAD.size > len(content):
        return True
    length: int = HEAD.unpack_from(content, offset)[0]
    return offset + HEAD.size + length > len(content)


def continues(content: bytes, offset: int) -> bool:
    """Whether a whole frame follows the broken frame at ``offset``."""
    if overruns(content, offset):
        return False
    after = offset + HEAD.size + HEAD.unpack_from(content, offset)[0]
    payloads, _ = frames(content[after:])
    return bool(payloads)


def sync(descriptor: int) -> None:
    """Wait until what was written is on the disk, not only in its cache. Raises OSError."""
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(descriptor)


def create(path: Path, first: bytes) -> int:
    """Create a log with one frame, synced to the disk; its size in bytes. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        content = frame(first)
        write_all(descriptor, content, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    homes.sync_folder(path.parent)
    return len(content)


class Mark:
    """The file that says how many bytes of a log are on the disk."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def read(self) -> tuple[int, int] | None:
        """Generation and size of the log; None if the file is empty or damaged."""
        words = os.pread(self._descriptor, MARK_BYTES, 0).split()
        if len(words) != 3 or words[2] != self._checksum(words[0], words[1]):
            return None
        return int(words[0]), int(words[1])

    def write(self, generation: int, size: int) -> None:
        """Store generation and size of the log. Raises OSError."""
        words = str(generation).encode(), str(size).encode()
        os.pwrite(self._descriptor, b" ".join([*words, self._checksum(*words)]).ljust(MARK_BYTES - 1) + b"\n", 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    @staticmethod
    def _checksum(generation: bytes, size: bytes) -> bytes:
        return b"%08x" % zlib.crc32(generation + b" " + size)


def write_all(descriptor: int, content: bytes, offset: int) -> None:
    """Write all of ``content`` at ``offset``. Raises OSError."""
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _checksum(payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(len(payload).to_bytes(4, "little")))
