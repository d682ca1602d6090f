"""The files of migrations: found, ordered by the time that each number stands for, read and created."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from ... import trust
from ...errors import BadInput
from ..sql_files import splitter
from . import python_files

# The convention of dbmate (README, "Creating Migrations"), and the lines of goose and sql-migrate, which mean the same.
_PART = re.compile(
    r"^--[ \t]*(?:migrate:|\+goose[ \t]+|\+migrate[ \t]+)(up|down)[ \t]*([^\r\n]*?)[ \t]*\r?$",
    re.MULTILINE | re.IGNORECASE,
)
_NO_TRANSACTION = re.compile(r"(transaction:false|notransaction)", re.IGNORECASE)
_GOOSE_ALONE = re.compile(r"^--[ \t]*\+goose[ \t]+(NO[ \t]+TRANSACTION)\b", re.MULTILINE | re.IGNORECASE)
_FILE = re.compile(r"([0-9]+)[_-]?(.*)\.(py|sql)")
# golang-migrate keeps the two parts in two files (MIGRATIONS.md, "Migration Filename Format").
_UP, _DOWN = ".up.sql", ".down.sql"
_TICKS = 10_000_000  # in a second: 17 digits count tenths of microseconds since 1970
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STAMPS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S", 17: "%Y%m%d%H%M%S%f"}
_TEMPLATE = "-- migrate:up\n\n\n-- migrate:down\n\n"


@dataclass(frozen=True)
class Migration:
    """One file: ``version`` is its number as it is written, ``name`` the rest without the ending.

    ``down_path`` is the file of the down part, where it is another one.
    """

    version: str
    name: str
    path: Path
    down_path: Path | None = None

    @property
    def down_source(self) -> Path:
        """The file that holds the down part."""
        return self.down_path or self.path


def find(folder: Path) -> list[Migration]:
    """The migrations of a folder by time, the oldest first; other files do not count.

    Raises BadInput for a folder that cannot be read, and for two files with the same time: which one is first?
    """
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise BadInput(f"{folder} cannot be read: {error.strerror}.", code="file_not_readable") from error
    found = []
    for name in names:
        match = _FILE.fullmatch(name)
        stem = name.removesuffix(_DOWN)
        if match is None or (stem != name and f"{stem}{_UP}" in names):
            continue
        way_back = f"{name.removesuffix(_UP)}{_DOWN}"
        down_path = folder / way_back if name.endswith(_UP) and way_back in names else None
        found.append(Migration(match[1], match[2].removesuffix(".up"), folder / name, down_path))
    found.sort(key=lambda migration: version_key(migration.version))
    for first, second in pairwise(found):
        if version_key(first.version) == version_key(second.version):
            raise BadInput(
                f"{first.path.name} and {second.path.name} in {folder} have the same number.",
                hint="give one of the two another number",
                code="duplicate_migration",
            )
    return found


def up(migration: Migration) -> str:
    """The SQL that applies a migration, on the lines where the file has it.

    Raises BadInput, also where there is none yet: it would count as applied, and be filled in for nothing. The
    application's own empty ones in Python pass, as they always did.
    """
    if migration.path.suffix == ".py":
        return python_files.sql(migration.path, "migrate_sql")
    text = _part(migration, "up")
    if not splitter.split(text, source=str(migration.path)):
        raise BadInput(
            f"{migration.path} has no SQL in its up part.",
            hint="write it below the line `-- migrate:up`, or delete the file",
            code="empty_migration",
        )
    return text


def down(migration: Migration) -> str:
    """The SQL that undoes a migration, on the lines where the file has it. Raises BadInput."""
    if migration.path.suffix == ".py":
        return python_files.sql(migration.path, "rollback_sql")
    return _read(migration.down_path) if migration.down_path else _part(migration, "down")


def _read(path: Path) -> str:
    try:
        trust.check(path)
        return splitter.decode(path.read_bytes(), source=str(path))
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.", code="file_not_readable") from error


def _part(migration: Migration, wanted: str) -> str:
    source = str(migration.path)
    text = _read(migration.path)
    parts = list(_PART.finditer(text))
    kinds = [part[1].lower() for part in parts]
    if not kinds and source.endswith(_UP):
        if wanted == "up":
            return text
        way_back = f"{migration.path.name.removesuffix(_UP)}{_DOWN}"
        raise BadInput(f"{source} has no down part.", hint=f"write its SQL into {way_back}", code="no_way_back")
    if kinds not in (["up"], ["up", "down"]):
        raise BadInput(
            f"{source} needs a line `-- migrate:up`, then at most one line `-- migrate:down`; it has "
            f"{', '.join(kinds) or 'neither'}.",
            hint="write `-- migrate:up` above its SQL, and `-- migrate:down` above the SQL that undoes it",
            code="bad_migration",
        )
    if splitter.split(text[: parts[0].start()], source=source):
        raise BadInput(f"{source} has SQL before its line `-- migrate:up`.", code="bad_migration")
    if wanted not in kinds:
        raise BadInput(
            f"{source} has no down part.",
            hint="add a line `-- migrate:down` and SQL",
            code="no_way_back",
        )
    part = parts[kinds.index(wanted)]
    alone = _GOOSE_ALONE.search(text) or _NO_TRANSACTION.search(text, part.start(), part.end())
    if alone:
        line = text.count("\n", 0, alone.start()) + 1
        raise BadInput(
            f"{source}, line {line}: {alone[1]} is not supported: each migration is one transaction.",
            code="bad_migration",
        )
    end = next((later.start() for later in parts if later.start() > part.start()), len(text))
    return "\n" * text.count("\n", 0, part.end()) + text[part.end() : end]


def create(folder: Path, name: str, *, now_ns: int, existing: Iterable[Migration], dry_run: bool = False) -> Migration:
    """A new file of SQL with an empty up and an empty down part; its number is later than every other one's.

    ``now_ns`` is the time, in nanoseconds since 1970. Raises BadInput for a name without a letter or digit.
    """
    cleaned = re.sub(r"\W+", "_", name).strip("_")
    if not cleaned or len(cleaned) > 150:
        raise BadInput(f"{name!r} cannot name a migration: letters and digits, as in add_bio_column.")
    latest = max((version_key(migration.version) for migration in existing), default=(0, 0))
    ticks = max(now_ns // 100, latest[1] + 1 if latest[0] else 0)
    migration = Migration(str(ticks), cleaned, folder / f"{ticks}_{cleaned}.sql")
    if dry_run:
        return migration
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with migration.path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(_TEMPLATE)
    except OSError as error:
        raise BadInput(f"{migration.path} cannot be written: {error.strerror}.", code="file_not_writable") from error
    return migration


def version_key(version: str) -> tuple[int, int]:
    """What versions are compared by: (1, tenths of microseconds since 1970), or (0, the number) where it is no time.

    The application makes its numbers from ``str(time.time())`` without the dot, which drops trailing zeros: the first
    ten digits are seconds and the rest is a fraction, so 10, 13, 16, 17 and 19 digits (seconds, ms, µs, 0.1 µs, ns) are
    one rule. A number that reads as YYYYMMDD, YYYYMMDDhhmm, YYYYMMDDhhmmss or YYYYMMDDhhmmssmmm in this century is
    that; as epoch seconds those would begin in 2033. Numbers of neither kind (0001, 0002) come before every time.
    """
    stamp = _stamp(version)
    if stamp is not None:
        return 1, (stamp - _EPOCH) // timedelta(microseconds=1) * 10
    if len(version) >= 10 and version[0] != "0":
        seconds, fraction = int(version[:10]), (version[10:] + "0000000")[:7]
        if seconds < 4_102_444_800:  # 2100
            return 1, seconds * _TICKS + int(fraction)
    return 0, int(version)


def comparable(version: str) -> str:
    """The version as a number of 17 digits that means the same; the scripts compare numbers of any length."""
    kind, ticks = version_key(version)
    return str(ticks) if kind else version


def _stamp(version: str) -> datetime | None:
    form = _STAMPS.get(len(version))
    if form is None or not version.startswith("20"):
        return None
    try:
        return datetime.strptime(version, form).replace(tzinfo=UTC)
    except ValueError:
        return None
