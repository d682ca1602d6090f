"""What an import reads: a file, standard input, or the folder that DynamoDB's export to S3 leaves."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import shlex
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ...errors import BadInput, Protected
from . import Format, formats
from .formats import BadLine, Line

_MANIFEST = "manifest-files.json"


@dataclass(frozen=True)
class Source:
    """One or more data files that are read one after the other; ``files`` is empty for standard input.

    ``counts`` is how many items each should hold, where a manifest says so.
    """

    name: str
    format: Format
    files: tuple[Path, ...] = ()
    counts: tuple[int | None, ...] = ()

    def identity(self) -> list[list[Any]]:
        """What tells these files from others, and from what they were before they were changed."""
        return [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in self.files]


@dataclass(frozen=True)
class Place:
    """Where an item stands: the line, counted from 1, of the file, counted from 0."""

    file: int
    line: int


Placed = tuple[Place, dict[str, Any], int]


def find(name: str, format: Format | None) -> Source:
    """The source that a person named; ``-`` is standard input. Raises BadInput where it cannot be read."""
    if name == "-":
        return Source("standard input", format or Format.JSONL)
    path = Path(name)
    if path.is_dir():
        return _folder(path, format)
    try:
        path.open("rb").close()
    except OSError as error:
        raise BadInput(f"{name} cannot be read: {error.strerror}.", code="file_not_readable") from error
    # What is no file, a pipe say, can be read only once.
    return Source(name, format or formats.guess(name), (path,), (None,))


def items(source: Source, *, after: Place | None = None) -> Iterator[Placed]:
    """All items, each with its place and the number of bytes that it stood in; only those behind ``after``.

    Raises BadInput, with the file and the line, for the first that is none.
    """
    if not source.files:
        with _unzipped(sys.stdin.buffer, source.name) as stream:
            for number, item, size in _lines(stream, source.format, source.name, 0):
                yield Place(0, number), item, size
        return
    for number, path in enumerate(source.files):
        if after is not None and number < after.file:
            continue
        skipped = after.line if after is not None and number == after.file else 0
        found = 0
        name = source.name if len(source.files) == 1 else str(path)
        with path.open("rb") as file, _unzipped(file, name) as stream:
            for line, item, size in _lines(stream, source.format, name, skipped):
                found += 1
                yield Place(number, line), item, size
        expected = source.counts[number]
        if expected is not None and not skipped and found != expected:
            raise BadInput(
                f"{path} holds {found:,} items, and {_MANIFEST} says {expected:,}.",
                hint="copy it once more from S3",
                code="malformed_file",
            )


def where(source: Source, place: Place) -> str:
    """A place for a person."""
    file = source.name if len(source.files) < 2 else str(source.files[place.file])
    return f"{file}, line {place.line}"


def _lines(stream: io.BufferedIOBase, format: Format, name: str, after: int) -> Iterator[Line]:
    last = after
    try:
        for line in formats.lines(stream, format, after=after):
            last = line[0]
            yield line
    except formats.PastEnd as error:
        raise Protected(
            f"The checkpoint of {name} cannot be used to resume: it names line {after:,}, and the file ends before it.",
            hint="--restart starts over: equal items are not written again",
            code="checkpoint",
        ) from error
    except BadLine as error:
        hint = error.advice.replace("FILE", shlex.quote(name)) if error.advice else None
        raise BadInput(f"{name}, line {error.number} {error.why}.", hint=hint, code=error.code) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadInput(
            f"{name} is damaged or not complete: gzip ends after line {last} ({error}).", code="malformed_file"
        ) from error
    except OSError as error:
        raise BadInput(f"{name} cannot be read: {error.strerror or error}.", code="file_not_readable") from error


@contextmanager
def _unzipped(stream: Any, name: str) -> Iterator[io.BufferedIOBase]:
    """The stream itself, or what is compressed in it: by the suffix, and where there is none by the first bytes."""
    zipped = name.lower().endswith(".gz")
    try:
        begins = stream.peek()
    except OSError as error:
        raise BadInput(f"{name} cannot be read: {error.strerror or error}.", code="file_not_readable") from error
    if not begins and zipped:  # Python takes no bytes at all for the gzip of nothing, which no other program does
        raise BadInput(
            f"{name} is empty, and a gzip file is never empty: it was not written completely.", code="malformed_file"
        )
    if not zipped and not begins.startswith(b"\x1f\x8b"):
        yield stream
        return
    with gzip.GzipFile(fileobj=stream) as unzipped:
        yield io.BufferedReader(cast(Any, unzipped), 256 * 1024)


def _folder(path: Path, format: Format | None) -> Source:
    """An export of DynamoDB's: the files that its manifest names, or all data files where there is no manifest."""
    if format not in {None, Format.DYNAMODB_JSON}:
        raise BadInput(f"{path} is a folder, and only --format dynamodb-json reads a folder.")
    manifest = path / _MANIFEST
    if not manifest.exists():
        found = sorted([*path.glob("data/*.json.gz"), *path.glob("*.json.gz"), *path.glob("data/*.json")])
        if not found:
            raise BadInput(
                f"{path} holds neither {_MANIFEST} nor data/*.json.gz.",
                hint="name the folder with the export's id, AWSDynamoDB/01…",
                code="file_not_readable",
            )
        return Source(str(path), Format.DYNAMODB_JSON, tuple(found), (None,) * len(found))
    files, counts = [], []
    for number, line in enumerate(manifest.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            named, count, digest = entry["dataFileS3Key"], entry.get("itemCount"), entry.get("md5Checksum")
            file = next(
                (place for place in (path / "data" / Path(named).name, path / Path(named).name) if place.is_file()),
                None,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"{manifest}, line {number} names no data file.", code="malformed_file") from error
        if file is None:
            raise BadInput(f"{manifest}, line {number} names {named}, which does not exist.", code="file_not_readable")
        if digest is not None and not _is(file, digest):
            raise BadInput(
                f"{file} was changed: its MD5 differs from the one in {_MANIFEST}.",
                hint="copy it once more from S3",
                code="malformed_file",
            )
        files.append(file)
        counts.append(count)
    return Source(str(path), Format.DYNAMODB_JSON, tuple(files), tuple(counts))


def _is(file: Path, digest: str) -> bool:
    """Whether a file has an MD5, which the manifest gives in base64 ("DynamoDB table export output format")."""
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).digest()
    return digest == base64.b64encode(found).decode() or digest.lower() == found.hex()
