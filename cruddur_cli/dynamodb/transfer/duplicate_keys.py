"""Find the keys that occur more than once in an import of any size, with an SQLite table on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from threading import Lock

from .input_files import Place

_DIGEST = 16


class Keys:
    """The keys of an import, each with its place and its outcome, a number from 0 to 2. Threads may share it.

    A key is stored as 16 bytes of a hash; 10 million keys take about 350 MB on disk. With a ``path``, a resumed import
    finds the keys that it had begun. Without a ``path``, they are deleted at the end.
    """

    def __init__(self, path: Path | None = None) -> None:
        import sqlite3  # it takes 4 ms, and a page of help does not need it

        self._lock = Lock()
        self._begun: dict[tuple[bytes, Place], tuple[int, int]] = {}  # the rowid and the outcome
        self._base = sqlite3.connect(path or "", check_same_thread=False, isolation_level=None)
        # The file survives a kill of the process. A power failure can damage it, which a resumed import detects.
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=OFF")
        self._base.execute(
            "CREATE TABLE IF NOT EXISTS seen (digest BLOB, file INTEGER, line INTEGER, done INTEGER, begun INTEGER)"
        )

    def __enter__(self) -> Keys:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()

    def add(self, keys: Iterable[tuple[tuple[str, str], Place, int]]) -> None:
        """Add keys with their outcomes. Call it before the rows are written."""
        new, again = [], []
        for key, place, outcome in keys:
            digest = _digest(key)
            if (digest, place) in self._begun:
                again.append((outcome, self._begun[digest, place][0]))
            else:
                new.append((digest, place.file, place.line, outcome))
        with self._lock:
            self._base.execute("BEGIN")
            self._base.executemany("UPDATE seen SET done = ?, begun = 0 WHERE rowid = ?", again)
            self._base.executemany("INSERT INTO seen VALUES (?, ?, ?, ?, 0)", new)
            self._base.execute("COMMIT")

    def count(self) -> int:
        """The number of keys, with repeated ones, but without those that ``resume`` has made begun ones."""
        return int(self._base.execute("SELECT COUNT(*) FROM seen WHERE NOT begun").fetchone()[0])

    def is_empty(self) -> bool:
        """Whether no key was ever added."""
        return self._base.execute("SELECT 1 FROM seen LIMIT 1").fetchone() is None

    def resume(self, after: Place) -> None:
        """Make the keys after the place ``after`` begun ones: their rows may be written or not.

        The import handles these lines again, and adds their keys again. Until then they stay in the database, because
        the resumed import may be killed, too.
        """
        condition = "WHERE file > ? OR (file = ? AND line > ?)"
        values = (after.file, after.file, after.line)
        found = self._base.execute(f"SELECT rowid, digest, file, line, done FROM seen {condition}", values)
        for rowid, digest, file, line, outcome in found:
            self._begun[digest, Place(file, line)] = rowid, outcome
        self._base.execute(f"UPDATE seen SET begun = 1 {condition}", values)

    def begun(self, key: tuple[str, str], place: Place) -> int | None:
        """The outcome of a key that was begun at this place before the import was killed; None if it was not."""
        known = self._begun.get((_digest(key), place)) if self._begun else None
        return None if known is None else known[1]

    def repeated(self) -> Iterator[list[int]]:
        """Yield, for each key that occurs more than once, how often it had each outcome."""
        yield from map(
            list,
            self._base.execute(
                "SELECT SUM(done = 0), SUM(done = 1), SUM(done = 2) FROM seen WHERE NOT begun"
                " GROUP BY digest HAVING COUNT(*) > 1"
            ),
        )


def remove(path: Path) -> None:
    """Delete the database at ``path``."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _digest(key: tuple[str, str]) -> bytes:
    pk, sk = key
    # Without the length, ("a", "bc") and ("ab", "c") would be equal.
    text = f"{len(pk)}:{pk}{sk}".encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=_DIGEST).digest()
