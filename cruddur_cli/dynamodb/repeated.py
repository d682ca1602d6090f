"""Finds keys that come more than once among any number, in memory that does not grow: what is seen goes to disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import blake2b
from tempfile import TemporaryFile
from typing import IO

_BUCKETS = 64
_DIGEST = 16
_RECORD = _DIGEST + 1


class Keys:
    """Keys in the order in which they were dealt with, each with what was done: a number from 0 to 255.

    Sixteen bytes of a hash stand for a key, so that 10 million keys take 170 MB on disk, in the system's folder for
    temporary files, and a 64th of them at a time in memory.
    """

    def __init__(self) -> None:
        self._buckets: dict[int, IO[bytes]] = {}
        self._open = ExitStack()

    def __enter__(self) -> Keys:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def add(self, key: tuple[str, str], done: int) -> None:
        """Note that a key was dealt with."""
        # The length keeps ("a", "bc") from being ("ab", "c").
        text = f"{len(key[0])}:{key[0]}{key[1]}".encode("utf-8", "surrogatepass")
        digest = blake2b(text, digest_size=_DIGEST).digest()
        number = digest[0] % _BUCKETS
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = TemporaryFile(prefix="cruddur-keys-")  # noqa: SIM115 - closed with the others
            self._buckets[number] = self._open.enter_context(bucket)
        bucket.write(digest + bytes((done,)))

    def repeated(self) -> Iterator[list[int]]:
        """For each key that came more than once: what was done, time after time."""
        for bucket in self._buckets.values():
            bucket.seek(0)
            content = bucket.read()
            first: dict[bytes, int] = {}
            more: dict[bytes, list[int]] = {}
            for at in range(0, len(content), _RECORD):
                digest, done = content[at : at + _DIGEST], content[at + _DIGEST]
                if digest not in first:
                    first[digest] = done
                else:
                    more.setdefault(digest, [first[digest]]).append(done)
            yield from more.values()
