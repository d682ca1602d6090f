"""Owns the emulator's data on the disk: generations, each a folder with a snapshot and a log.

``current.json`` names the generation to start from. A start reads its snapshot, its log, and the logs of the
generations after it. A new generation begins with an empty log. Another process (``main``) writes its snapshot from the
earlier files, while the emulator keeps answering. Only ``services`` knows what the data means.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from shlex import quote
from typing import Any

from .. import times
from . import frames
from . import home as homes

POINTER = "current.json"
MARK = "acknowledged"
# The number of the data's form; a later version of cruddur may have another.
FORMAT = 1
# About how many items of a snapshot are in one frame; a reader needs memory for one frame.
CHUNK_ITEMS = 2000
# A snapshot is synced after so many bytes, because a sync of the log may have to wait for unsynced ones.
SYNC_BYTES = 4 << 20
# DynamoDB keeps stream records for a day, and the tokens of transactions for ten minutes.
RECORDS_S = 24 * 60 * 60
TOKENS_S = 10 * 60


class Damaged(Exception):
    """The data cannot be read without loss. The message is one sentence that names the file."""


@dataclass
class Contents:
    """All data of the emulator, as plain values.

    ``documents``: tables' settings, users and other small values by key, as JSON. ``items``: table, partition key, sort
    key, item. ``streams``: the position of the oldest stored record, and the records as JSON. They are not parsed,
    because few are read again, and a start would take three times as long. ``counter``: that of sequence numbers.
    """

    documents: dict[str, str] = field(default_factory=dict)
    items: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    streams: dict[str, tuple[int, list[bytes]]] = field(default_factory=dict)
    counter: int = 0

    def apply(self, change: dict[str, Any]) -> None:
        """Apply one change of ``services``: documents, tables to empty, items, records, the counter."""
        for key, text in change.get("documents", {}).items():
            if text is None:
                self.documents.pop(key, None)
            else:
                self.documents[key] = text
        for table in change.get("emptied", ()):
            self.items.pop(table, None)
        for table, partitions in change.get("items", {}).items():
            stored = self.items.setdefault(table, {})
            for partition, rows in partitions.items():
                collection = stored.setdefault(partition, {})
                for sort, item in rows.items():
                    if item is None:
                        collection.pop(sort, None)
                    else:
                        collection[sort] = item
                if not collection:
                    del stored[partition]
        for stream, (position, records) in change.get("records", {}).items():
            first, stored_records = self.streams.setdefault(stream, (position, []))
            # Skip the records that are stored already.
            stored_records += map(_as_json, records[max(0, first + len(stored_records) - position) :])
        self.counter = change.get("counter", self.counter)

    def changes(self) -> Iterator[dict[str, Any]]:
        """The changes that make empty Contents equal to these."""
        yield {"documents": self.documents, "counter": self.counter}
        for table, partitions in self.items.items():
            chunk: dict[str, dict[str, Any]] = {}
            size = 0
            for partition, rows in partitions.items():
                chunk[partition] = rows
                size += len(rows)
                if size >= CHUNK_ITEMS:
                    yield {"items": {table: chunk}}
                    chunk, size = {}, 0
            yield {"items": {table: chunk}}
        for stream, (first, records) in self.streams.items():
            for offset in range(0, len(records), CHUNK_ITEMS) or [0]:
                yield {"records": {stream: (first + offset, records[offset : offset + CHUNK_ITEMS])}}

    def prune(self) -> None:
        """Delete expired records and tokens, and the items and records of deleted tables and streams."""
        now = time.time()  # noqa: TID251  # the times of records and tokens are from this clock
        tables, streams, tokens = set(), set(), []
        for key, text in self.documents.items():
            service, store, *rest = json.loads(key)
            if service != "dynamodb":
                continue
            if store == "tables":
                tables.add("/".join(rest))
            elif store in ("live_streams", "closed_streams"):
                streams.add(json.loads(text)["stream"])
            elif store == "tokens" and json.loads(text)["completed_at"] < now - TOKENS_S:
                tokens.append(key)
        for key in tokens:
            del self.documents[key]
        self.items = {table: partitions for table, partitions in self.items.items() if table in tables}
        oldest = now - RECORDS_S
        for stream, (first, records) in list(self.streams.items()):
            if stream not in streams:
                del self.streams[stream]
                continue
            expired = 0
            while expired < len(records) and _created_at(records[expired]) < oldest:
                expired += 1
            self.streams[stream] = (first + expired, records[expired:])


def encoded(change: dict[str, Any]) -> bytes:
    """The payload of a frame: the change as JSON with the numbers of records, then one line for each record."""
    lines = []
    if streams := change.get("records"):
        lines = [_as_json(record) for _, records in streams.values() for record in records]
        numbers = {stream: [position, len(records)] for stream, (position, records) in streams.items()}
        change = {**change, "records": numbers}
    return b"\n".join([_as_json(change), *lines])


def decoded(payload: bytes) -> dict[str, Any]:
    """The change in the payload of a frame; records stay JSON."""
    head, *lines = payload.split(b"\n")
    change: dict[str, Any] = json.loads(head)
    first = 0
    for stream, (position, number) in change.get("records", {}).items():
        # A development version before 0.2.0 stored the records themselves here.
        if isinstance(number, int):
            change["records"][stream] = (position, lines[first : first + number])
            first += number
    return change


def _as_json(value: Any) -> bytes:
    """The value as JSON in one line; bytes are returned unchanged, because they are JSON."""
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


def _created_at(record: bytes) -> float:
    created: float = json.loads(record)["dynamodb"]["ApproximateCreationDateTime"]
    return created


@dataclass
class Loaded:
    """The data that was read, and where the next change is appended.

    ``first`` is the generation of the snapshot, ``generation`` the one whose log is open and has ``size`` bytes.
    ``replayed`` is how many bytes of logs were read. ``notes`` are sentences for the user.
    """

    contents: Contents
    first: int
    generation: int
    size: int
    replayed: int
    notes: list[str]


def exist(folder: Path) -> bool:
    """Whether there are generations, complete or damaged; a first one without a snapshot does not count."""
    if (folder / POINTER).exists() or (folder / MARK).exists():
        return True
    return _numbers(folder) not in ([], [1]) or (generation_folder(folder, 1) / "snapshot").exists()


def generation_folder(folder: Path, generation: int) -> Path:
    """The folder of a generation."""
    return folder / f"generation-{generation}"


def begin(folder: Path, contents: Contents, generation: int = 1) -> None:
    """Create the first generation. Raises OSError; an incomplete one is never used."""
    shutil.rmtree(generation_folder(folder, generation), ignore_errors=True)
    generation_folder(folder, generation).mkdir(mode=0o700)
    begin_log(folder, generation)
    set_current(folder, generation, write(folder, generation, contents))


def begin_log(folder: Path, generation: int) -> int:
    """Create the empty log of a generation; its size in bytes. Raises OSError."""
    generation_folder(folder, generation).mkdir(mode=0o700, exist_ok=True)
    homes.sync_folder(folder)
    header = json.dumps({"log": generation, "format": FORMAT})
    return frames.create(generation_folder(folder, generation) / "log", header.encode())


def write(folder: Path, generation: int, contents: Contents) -> dict[str, int]:
    """Write a generation's snapshot, read it back, and then give it its name; its size and checksum.

    Raises OSError, or Damaged if it cannot be read back unchanged.
    """
    path = generation_folder(folder, generation) / "snapshot"
    new = path.with_suffix(".new")
    size = checksum = count = synced = 0
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:

        def put(value: dict[str, Any]) -> None:
            nonlocal size, checksum, count, synced
            content = frames.frame(encoded(value))
            file.write(content)
            size, checksum, count = size + len(content), zlib.crc32(content, checksum), count + 1
            if size - synced > SYNC_BYTES:
                file.flush()
                frames.sync(file.fileno())
                synced = size

        put({"snapshot": generation, "format": FORMAT, "written_at": int(times.now().timestamp())})
        for change in contents.changes():
            put(change)
        put({"end": count})
        file.flush()
        os.fsync(file.fileno())
    written = {"size": size, "checksum": checksum}
    if _read_snapshot(new, generation, written) != contents:
        raise Damaged(f"{new} does not hold what was written to it")
    new.replace(path)
    homes.sync_folder(path.parent)
    return written


def set_current(folder: Path, generation: int, snapshot: dict[str, int]) -> None:
    """Record the generation as the one to start from. Raises OSError."""
    record = {"generation": generation, "snapshot": snapshot}
    homes.write(folder / POINTER, {**record, "checksum": _checksum(record)})


def remove_before(folder: Path, generation: int) -> None:
    """Delete the generations before that one."""
    for number in _numbers(folder):
        if number < generation:
            shutil.rmtree(generation_folder(folder, number), ignore_errors=True)


def load(folder: Path) -> Loaded:
    """Read the snapshot and all logs after it, and cut off what was never acknowledged.

    Raises Damaged if a part that was acknowledged cannot be read.
    """
    notes: list[str] = []
    first, expected = _start(folder, notes)
    contents = _read_snapshot(generation_folder(folder, first) / "snapshot", first, expected)
    with closing(frames.Mark(folder / MARK)) as file:
        mark = file.read()
    known = max([first, *([mark[0]] if mark else [])])
    last = max([known, *_numbers(folder)])
    while last > known and not (generation_folder(folder, last) / "log").exists():
        # The disk was full, or the power was cut, before the generation had a log.
        shutil.rmtree(generation_folder(folder, last))
        last -= 1
    logs = [_read_log(generation_folder(folder, number) / "log", number) for number in range(first, last + 1)]
    while len(logs) > 1 and logs[-1].is_unused and (mark is None or mark[0] < last):
        # The generation was begun just before a power cut.
        shutil.rmtree(generation_folder(folder, last))
        logs, last = logs[:-1], last - 1
    for log, after in zip_longest(logs, logs[1:]):
        _check(log, after, mark, notes)
        for change in log.changes:
            contents.apply(decoded(change))
    size = logs[-1].end or begin_log(folder, last)
    os.truncate(logs[-1].path, size)
    return Loaded(contents, first, last, size, sum(log.end for log in logs), notes)


def merge(folder: Path, generation: int) -> dict[str, int]:
    """Write a generation's snapshot from the earlier snapshot and logs; its size and checksum.

    Raises OSError or Damaged.
    """
    notes: list[str] = []
    first, expected = _start(folder, notes)
    contents = _read_snapshot(generation_folder(folder, first) / "snapshot", first, expected)
    for number in range(first, generation):
        path = generation_folder(folder, number) / "log"
        content = path.read_bytes()
        changes, end = frames.frames(content)
        if end < len(content):
            raise Damaged(f"{path} is damaged at byte {end}")
        for change in changes[1:]:
            contents.apply(decoded(change))
    contents.prune()
    return write(folder, generation, contents)


def main() -> None:
    """Write the snapshot of the arguments ``DIRECTORY GENERATION``, and print its size and checksum as JSON."""
    folder, generation = Path(sys.argv[1]), int(sys.argv[2])
    # The emulator has priority. Nothing here becomes garbage before the end.
    os.nice(5)
    gc.disable()
    try:
        sys.stdout.write(json.dumps(merge(folder, generation)))
    except (OSError, Damaged) as error:
        sys.exit(f"{error}")


def _numbers(folder: Path) -> list[int]:
    names = [path.name.removeprefix("generation-") for path in folder.glob("generation-*")]
    return sorted(int(name) for name in names if name.isdecimal())


def _checksum(record: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(record, sort_keys=True).encode())


def _start(folder: Path, notes: list[str]) -> tuple[int, dict[str, int] | None]:
    """The generation to start from, and the size and checksum of its snapshot, None if unknown. Raises Damaged."""
    path = folder / POINTER
    record: dict[str, Any] = dict(homes.read(path))
    if record and record.pop("checksum", None) == _checksum(record):
        return record["generation"], record["snapshot"]
    # A snapshot gets its name only when it is complete, and earlier files are deleted only after that.
    complete = [number for number in _numbers(folder) if (generation_folder(folder, number) / "snapshot").exists()]
    problem = "is damaged" if path.exists() else "is missing"
    if not complete:
        raise Damaged(f"{path} {problem}, and there is no snapshot beside it")
    notes.append(f"{path} {problem}: the data was found without it, and nothing is lost")
    return max(complete), None


def _content(path: Path, data: str) -> bytes:
    """The bytes of a file. Raises Damaged if it cannot be read; ``data`` says what is lost without it."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise Damaged(f"{path} is missing: it holds {data}") from None
    except OSError as error:
        raise Damaged(f"{path} cannot be read: {error.strerror}") from error


def _read_snapshot(path: Path, generation: int, expected: dict[str, int] | None) -> Contents:
    content = _content(path, "all tables and users saved in it")
    payloads, end = frames.frames(content)
    if end < len(content) or (expected and expected != {"size": len(content), "checksum": zlib.crc32(content)}):
        where = f"at byte {end} of {len(content)}" if end < len(content) else "or of another time"
        raise Damaged(f"{path} is damaged {where}: the tables and users saved in it cannot be read")
    values = [decoded(payload) for payload in payloads]
    header = values[0] if values else {}
    _check_format(path, header)
    if header.get("snapshot") != generation or values[-1].get("end") != len(values) - 1:
        raise Damaged(f"{path} is cut short: the tables and users saved in it cannot be read")
    contents = Contents()
    for value in values[1:-1]:
        contents.apply(value)
    return contents


@dataclass
class _Log:
    """A log as it was read; ``end`` is the offset of the first broken frame, or the end of the file."""

    path: Path
    generation: int
    content: bytes
    payloads: list[bytes]
    end: int

    @property
    def changes(self) -> list[bytes]:
        return self.payloads[1:]

    @property
    def is_unused(self) -> bool:
        return len(self.payloads) <= 1

    @property
    def follows(self) -> int | None:
        """The size of the log before this one, all of which was on the disk first; None if not recorded."""
        size = json.loads(self.payloads[1]).get("follows") if len(self.payloads) > 1 else None
        return size if isinstance(size, int) else None


def _read_log(path: Path, generation: int) -> _Log:
    content = _content(path, "what was written since the last snapshot")
    payloads, end = frames.frames(content)
    header = json.loads(payloads[0]) if payloads else {}
    _check_format(path, header)
    if payloads and header.get("log") != generation:
        raise Damaged(f"{path} belongs to another generation")
    return _Log(path, generation, content, payloads, end)


def _check_format(path: Path, header: dict[str, Any]) -> None:
    if header.get("format", FORMAT) != FORMAT:
        raise Damaged(f"{path} was written by a later version of cruddur")


def _check(log: _Log, after: _Log | None, mark: tuple[int, int] | None, notes: list[str]) -> None:
    """Raise Damaged for a broken frame that was acknowledged; add a note if the log is too short."""
    size = len(log.content)
    follows = after.follows if after else None
    acknowledged = follows or (mark[1] if mark and mark[0] == log.generation else 0)
    if follows and log.end < follows:
        raise Damaged(
            f"{log.path} is damaged at byte {log.end} of {follows}: what was written from there on cannot be read"
        )
    was_cut = acknowledged > size and frames.overruns(log.content, log.end)
    if log.end < min(acknowledged, size) and not was_cut:
        raise Damaged(_damage(log))
    if mark is None and frames.continues(log.content, log.end):
        raise Damaged(_damage(log))
    if acknowledged > log.end:
        notes.append(
            f"{log.path} is cut short: its last {acknowledged - log.end} bytes are missing, and with them what was "
            "written last; `cruddur setup` restores the seeded data"
        )


def _damage(log: _Log) -> str:
    return (
        f"{log.path} is damaged at byte {log.end} of {len(log.content)}: what was written from there on cannot be read "
        f"(`truncate -s {log.end} {quote(str(log.path))}` deletes that part and keeps the rest)"
    )
