"""Finds keys that come more than once among any number, and what was begun with each: in a table of SQLite on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from threading import Lock

from .input_files import Place

_DIGEST = 16


class Keys:
    """Keys with their places and what is done with each: a number from 0 to 2. Threads may share it.

    Sixteen bytes of a hash stand for a key; 10 million keys take about 350 MB on disk. With a ``path`` they outlive the
    process, so that an import that was killed knows what it had begun; without, the system forgets them.
    """

    def __init__(self, path: Path | None = None) -> None:
        import sqlite3  # 4 ms, which no page of help pays

        self._lock = Lock()
        self._begun: dict[tuple[bytes, Place], int] = {}
        self._base = sqlite3.connect(path or "", check_same_thread=False, isolation_level=None)
        # A process may die at any time, and the file stays whole; a power failure may cost it, which is noticed.
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=OFF")
        self._base.execute("CREATE TABLE IF NOT EXISTS seen (digest BLOB, file INTEGER, line INTEGER, done INTEGER)")

    def __enter__(self) -> Keys:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()

    def add(self, keys: Iterable[tuple[tuple[str, str], Place, int]]) -> None:
        """Note what is done with keys, before it is."""
        rows = [(_digest(key), place.file, place.line, done) for key, place, done in keys]
        with self._lock:
            self._base.execute("BEGIN")
            self._base.executemany("INSERT INTO seen VALUES (?, ?, ?, ?)", rows)
            self._base.execute("COMMIT")

    def count(self) -> int:
        """How many keys were noted."""
        return int(self._base.execute("SELECT COUNT(*) FROM seen").fetchone()[0])

    def resume(self, after: Place) -> None:
        """Take what was noted behind ``after`` for begun: it may be done or not, and is noted again."""
        behind = "WHERE file > ? OR (file = ? AND line > ?)"
        where = (after.file, after.file, after.line)
        for digest, file, line, done in self._base.execute(f"SELECT * FROM seen {behind}", where):
            self._begun[digest, Place(file, line)] = done
        self._base.execute(f"DELETE FROM seen {behind}", where)

    def begun(self, key: tuple[str, str], place: Place) -> int | None:
        """What was begun with the key at this place before the process died; None where nothing was."""
        return self._begun.get((_digest(key), place)) if self._begun else None

    def repeated(self) -> Iterator[list[int]]:
        """For each key that came more than once: how often each thing was done with it."""
        yield from map(
            list,
            self._base.execute(
                "SELECT SUM(done = 0), SUM(done = 1), SUM(done = 2) FROM seen GROUP BY digest HAVING COUNT(*) > 1"
            ),
        )


def remove(path: Path) -> None:
    """Forget what was kept at ``path``."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _digest(key: tuple[str, str]) -> bytes:
    pk, sk = key
    # The length keeps ("a", "bc") from being ("ab", "c").
    text = f"{len(pk)}:{pk}{sk}".encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=_DIGEST).digest()
