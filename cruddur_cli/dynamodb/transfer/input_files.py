"""Read the input of an import: a file, standard input, or the folder of DynamoDB's export to S3."""

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
    """One or more data files, which are read one after the other; ``files`` is empty for standard input.

    ``counts`` has the number of items of each file from the manifest, or None.
    """

    name: str
    format: Format
    files: tuple[Path, ...] = ()
    counts: tuple[int | None, ...] = ()

    def identity(self) -> list[list[Any]]:
        """The identity of the files: the path, the size and the time of the last change of each."""
        return [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in self.files]


@dataclass(frozen=True)
class Place:
    """The place of an item: the index of the file, from 0, and the number of the line, from 1."""

    file: int
    line: int


Placed = tuple[Place, dict[str, Any], int]


def find(name: str, format: Format | None) -> Source:
    """The source with the given name; ``-`` is standard input. Raises BadInput if it cannot be read."""
    if name == "-":
        return Source("standard input", format or Format.JSONL)
    path = Path(name)
    if path.is_dir():
        return _folder(path, format)
    try:
        path.open("rb").close()
    except OSError as error:
        raise BadInput(f"{name} cannot be read: {error.strerror}.", code="file_not_readable") from error
    return Source(name, format or formats.guess(name), (path,), (None,))


def items(source: Source, *, after: Place | None = None) -> Iterator[Placed]:
    """Yield the items after the place ``after``, each with its place and the number of its bytes in the file.

    Raises BadInput, with file and line, for the first line that is not an item, and for a file whose number of items
    differs from the manifest. Raises Protected if the file ends before ``after``.
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
        count = 0
        name = source.name if len(source.files) == 1 else str(path)
        with path.open("rb") as file, _unzipped(file, name) as stream:
            for line, item, size in _lines(stream, source.format, name, skipped):
                count += 1
                yield Place(number, line), item, size
        expected = source.counts[number]
        if expected is not None and not skipped and count != expected:
            raise BadInput(
                f"{path} holds {count:,} items, and {_MANIFEST} says {expected:,}.",
                hint="copy it once more from S3",
                code="malformed_file",
            )


def where(source: Source, place: Place) -> str:
    """A place as text, such as ``items.jsonl, line 3``."""
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
    """The stream, decompressed if its name ends with ``.gz`` or its first bytes are those of gzip."""
    zipped = name.lower().endswith(".gz")
    try:
        first_bytes = stream.peek()
    except OSError as error:
        raise BadInput(f"{name} cannot be read: {error.strerror or error}.", code="file_not_readable") from error
    if not first_bytes and zipped:  # Python reads an empty file as valid gzip; other programs do not
        raise BadInput(
            f"{name} is empty, and a gzip file is never empty: it was not written completely.", code="malformed_file"
        )
    if not zipped and not first_bytes.startswith(b"\x1f\x8b"):
        yield stream
        return
    with gzip.GzipFile(fileobj=stream) as unzipped:
        yield io.BufferedReader(cast(Any, unzipped), 256 * 1024)


def _folder(path: Path, format: Format | None) -> Source:
    """The source of a folder with DynamoDB's export: the files in its manifest, or all data files without a manifest.

    Raises BadInput if a file is missing or its MD5 differs from the manifest.
    """
    if format not in {None, Format.DYNAMODB_JSON}:
        raise BadInput(f"{path} is a folder, and only --format dynamodb-json reads a folder.")
    manifest = path / _MANIFEST
    if not manifest.exists():
        data_files = sorted([*path.glob("data/*.json.gz"), *path.glob("*.json.gz"), *path.glob("data/*.json")])
        if not data_files:
            raise BadInput(
                f"{path} holds neither {_MANIFEST} nor data/*.json.gz.",
                hint="name the folder with the export's id, AWSDynamoDB/01…",
                code="file_not_readable",
            )
        return Source(str(path), Format.DYNAMODB_JSON, tuple(data_files), (None,) * len(data_files))
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
        if digest is not None and not _has_md5(file, digest):
            raise BadInput(
                f"{file} was changed: its MD5 differs from the one in {_MANIFEST}.",
                hint="copy it once more from S3",
                code="malformed_file",
            )
        files.append(file)
        counts.append(count)
    return Source(str(path), Format.DYNAMODB_JSON, tuple(files), tuple(counts))


def _has_md5(file: Path, digest: str) -> bool:
    """Whether a file has this MD5. The manifest has it in base64 ("DynamoDB table export output format")."""
    with file.open("rb") as stream:
        actual = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).digest()
    return digest == base64.b64encode(actual).decode() or digest.lower() == actual.hex()
