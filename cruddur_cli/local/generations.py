"""Owns the data of the emulator on the disk: generations of a snapshot and a log, and how they become one again.

``current.json`` names the generation to start from: its snapshot, its log, and the logs of the generations after it,
each a folder. A new generation begins with an empty log; its snapshot is written by another process (``main``) from the
files before it, while the emulator keeps answering. What the data means, only ``services`` knows.
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
from pathlib import Path
from shlex import quote
from typing import Any

from .. import times
from . import frames
from . import home as homes

POINTER = "current.json"
MARK = "acknowledged"
# A later cruddur may keep its data in another form.
FORMAT = 1
# How much of a snapshot is one frame, roughly; a reader needs memory for one of them.
CHUNK_ITEMS = 2000
# A snapshot goes onto the disk in such pieces: a sync of the log may have to wait for what is not there yet.
SYNC_BYTES = 4 << 20
# DynamoDB keeps stream records for a day, and the tokens of transactions for ten minutes.
RECORDS_S = 24 * 60 * 60
TOKENS_S = 10 * 60


class Damaged(Exception):
    """Starting would lose data; the message is one sentence that names the file."""


@dataclass
class Contents:
    """All data, as plain values.

    ``documents``: small things under their keys, as JSON. ``items``: table, partition key, sort key, item.
    ``streams``: the position of the first record that is kept, and the records as JSON: few are ever read again, and
    a start would take three times as long to read them all. ``counter``: of sequence numbers.
    """

    documents: dict[str, str] = field(default_factory=dict)
    items: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    streams: dict[str, tuple[int, list[bytes]]] = field(default_factory=dict)
    counter: int = 0

    def apply(self, change: dict[str, Any]) -> None:
        """Makes one change, as ``services`` describes it: documents, tables to empty, items, records, the counter."""
        for key, text in change.get("documents", {}).items():
            if text is None:
                self.documents.pop(key, None)
            else:
                self.documents[key] = text
        for table in change.get("emptied", ()):
            self.items.pop(table, None)
        for table, partitions in change.get("items", {}).items():
            held = self.items.setdefault(table, {})
            for partition, rows in partitions.items():
                kept = held.setdefault(partition, {})
                for sort, item in rows.items():
                    if item is None:
                        kept.pop(sort, None)
                    else:
                        kept[sort] = item
                if not kept:
                    del held[partition]
        for stream, (position, records) in change.get("records", {}).items():
            first, kept_records = self.streams.setdefault(stream, (position, []))
            # A record that is there already is not there twice.
            kept_records += map(_as_json, records[max(0, first + len(kept_records) - position) :])
        self.counter = change.get("counter", self.counter)

    def changes(self) -> Iterator[dict[str, Any]]:
        """The changes that make an empty one equal to this."""
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
            for offset in range(0, max(1, len(records)), CHUNK_ITEMS):
                yield {"records": {stream: (first + offset, records[offset : offset + CHUNK_ITEMS])}}

    def prune(self) -> None:
        """Drops what has expired, and what no document speaks of any more."""
        now = time.time()  # noqa: TID251  # the emulator's clock, which the times of records and tokens are from
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
    """A change as a frame holds it: JSON with the number of each stream's records, then each record on its own line."""
    lines = []
    if streams := change.get("records"):
        lines = [_as_json(record) for _, records in streams.values() for record in records]
        numbers = {stream: [position, len(records)] for stream, (position, records) in streams.items()}
        change = {**change, "records": numbers}
    return b"\n".join([_as_json(change), *lines])


def decoded(payload: bytes) -> dict[str, Any]:
    """The change in a frame; records stay JSON."""
    head, *lines = payload.split(b"\n")
    change: dict[str, Any] = json.loads(head)
    first = 0
    for stream, (position, number) in change.get("records", {}).items():
        # Before 0.2.0 was finished, the records were there.
        if isinstance(number, int):
            change["records"][stream] = (position, lines[first : first + number])
            first += number
    return change


def _as_json(value: Any) -> bytes:
    """The value as JSON on one line; bytes are JSON already."""
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


def _created_at(record: bytes) -> float:
    created: float = json.loads(record)["dynamodb"]["ApproximateCreationDateTime"]
    return created


@dataclass
class Loaded:
    """What was read: the data, where the next change goes, and sentences on what a person has to know."""

    contents: Contents
    first: int
    generation: int
    size: int
    replayed: int
    notes: list[str]


def exist(folder: Path) -> bool:
    """Whether there is data of this kind, whole or not; a first generation that was not finished holds none."""
    if (folder / POINTER).exists() or (folder / MARK).exists():
        return True
    return _numbers(folder) not in ([], [1]) or (generation_folder(folder, 1) / "snapshot").exists()


def generation_folder(folder: Path, generation: int) -> Path:
    """The folder of a generation."""
    return folder / f"generation-{generation}"


def begin(folder: Path, contents: Contents, generation: int = 1) -> None:
    """Makes the first generation. Raises OSError, and leaves nothing that would be taken for one."""
    shutil.rmtree(generation_folder(folder, generation), ignore_errors=True)
    generation_folder(folder, generation).mkdir(mode=0o700)
    begin_log(folder, generation)
    set_current(folder, generation, write(folder, generation, contents))


def begin_log(folder: Path, generation: int) -> int:
    """The size of the generation's new, empty log. Raises OSError."""
    generation_folder(folder, generation).mkdir(mode=0o700, exist_ok=True)
    homes.sync_folder(folder)
    header = json.dumps({"log": generation, "format": FORMAT})
    return frames.create(generation_folder(folder, generation) / "log", header.encode())


def write(folder: Path, generation: int, contents: Contents) -> dict[str, int]:
    """Writes the generation's snapshot and reads it back; it has its name only after that. Returns size and checksum.

    Raises OSError, or Damaged when what was read is not what was written.
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
    said = {"size": size, "checksum": checksum}
    if _read_snapshot(new, generation, said) != contents:
        raise Damaged(f"{new} does not hold what was written to it")
    new.replace(path)
    homes.sync_folder(path.parent)
    return said


def set_current(folder: Path, generation: int, snapshot: dict[str, int]) -> None:
    """Makes the generation the one to start from. Raises OSError."""
    record = {"generation": generation, "snapshot": snapshot}
    homes.write(folder / POINTER, {**record, "checksum": _checksum(record)})


def remove_before(folder: Path, generation: int) -> None:
    """Deletes the generations before that one."""
    for number in _numbers(folder):
        if number < generation:
            shutil.rmtree(generation_folder(folder, number), ignore_errors=True)


def load(folder: Path) -> Loaded:
    """Reads the snapshot and all logs after it, and cuts off what was never acknowledged.

    Raises Damaged when a part that was acknowledged cannot be read.
    """
    notes: list[str] = []
    first, said = _start(folder, notes)
    contents = _read_snapshot(generation_folder(folder, first) / "snapshot", first, said)
    with closing(frames.Mark(folder / MARK)) as file:
        mark = file.read()
    last = max([first, *_numbers(folder), *([mark[0]] if mark else [])])
    while last > max(first, mark[0] if mark else 0) and not (generation_folder(folder, last) / "log").exists():
        # The disk was full, or the power was cut, before it had a log.
        shutil.rmtree(generation_folder(folder, last))
        last -= 1
    logs = [_read_log(generation_folder(folder, number) / "log", number) for number in range(first, last + 1)]
    while len(logs) > 1 and logs[-1].is_unused and (mark is None or mark[0] < last):
        # Begun just before a power cut.
        shutil.rmtree(generation_folder(folder, last))
        logs, last = logs[:-1], last - 1
    for log, after in zip(logs, [*logs[1:], None], strict=True):
        _check(log, after, mark, notes)
        for change in log.changes:
            contents.apply(decoded(change))
    size = logs[-1].end or begin_log(folder, last)
    if logs[-1].end < len(logs[-1].content):
        os.truncate(logs[-1].path, size)
    return Loaded(contents, first, last, size, sum(log.end for log in logs), notes)


def merge(folder: Path, generation: int) -> dict[str, int]:
    """Writes that generation's snapshot from all that is before it.

    Raises OSError or Damaged.
    """
    notes: list[str] = []
    first, said = _start(folder, notes)
    contents = _read_snapshot(generation_folder(folder, first) / "snapshot", first, said)
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
    """The command that writes a snapshot: ``DIRECTORY GENERATION``; prints the size and checksum as JSON."""
    folder, generation = Path(sys.argv[1]), int(sys.argv[2])
    # The emulator goes first. Nothing here is garbage before the end.
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
    """The generation to start from, and what is known of its snapshot."""
    path = folder / POINTER
    record: dict[str, Any] = dict(homes.read(path))
    if record and record.pop("checksum", None) == _checksum(record):
        return record["generation"], record["snapshot"]
    # A snapshot has its name only when it is whole, and the files before it go only after that.
    whole = [number for number in _numbers(folder) if (generation_folder(folder, number) / "snapshot").exists()]
    problem = "is damaged" if path.exists() else "is missing"
    if not whole:
        raise Damaged(f"{path} {problem}, and there is no snapshot beside it")
    notes.append(f"{path} {problem}: the data was found without it, and nothing is lost")
    return max(whole), None


def _content(path: Path, held: str) -> bytes:
    """The bytes of a file that has to be there; ``held`` is what is lost without it. Raises Damaged."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise Damaged(f"{path} is missing: it holds {held}") from None
    except OSError as error:
        raise Damaged(f"{path} cannot be read: {error.strerror}") from error


def _read_snapshot(path: Path, generation: int, said: dict[str, int] | None) -> Contents:
    content = _content(path, "all tables and users saved in it")
    payloads, end = frames.frames(content)
    if end < len(content) or (said and said != {"size": len(content), "checksum": zlib.crc32(content)}):
        where = f"at byte {end} of {len(content)}" if end < len(content) else "or of another time"
        raise Damaged(f"{path} is damaged {where}: the tables and users saved in it cannot be read")
    values = [decoded(payload) for payload in payloads]
    _check_format(path, values[:1])
    if not values or values[0].get("snapshot") != generation or values[-1].get("end") != len(values) - 1:
        raise Damaged(f"{path} is cut short: the tables and users saved in it cannot be read")
    contents = Contents()
    for value in values[1:-1]:
        contents.apply(value)
    return contents


@dataclass
class _Log:
    """A log as it was found; ``end`` is where the first frame begins that is not whole."""

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
        """The size of the log before it; all of that was on the disk before this was written."""
        size = json.loads(self.payloads[1]).get("follows") if len(self.payloads) > 1 else None
        return size if isinstance(size, int) else None


def _read_log(path: Path, generation: int) -> _Log:
    content = _content(path, "what was written since the last snapshot")
    payloads, end = frames.frames(content)
    _check_format(path, [json.loads(payload) for payload in payloads[:1]])
    if payloads and json.loads(payloads[0]).get("log") != generation:
        raise Damaged(f"{path} belongs to another generation")
    return _Log(path, generation, content, payloads, end)


def _check_format(path: Path, headers: list[dict[str, Any]]) -> None:
    if any(header.get("format", FORMAT) != FORMAT for header in headers):
        raise Damaged(f"{path} was written by a later version of cruddur")


def _check(log: _Log, after: _Log | None, mark: tuple[int, int] | None, notes: list[str]) -> None:
    """Tells damage from what was never acknowledged."""
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
    if log.end < size and mark is None and frames.continues(log.content, log.end):
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
