"""Finds, reads and creates the files of migrations, and orders them by the time in their numbers."""

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

# The lines of dbmate (README, "Creating Migrations"), and those of goose and sql-migrate with the same meaning.
_PART = re.compile(
    r"^--[ \t]*(?:migrate:|\+goose[ \t]+|\+migrate[ \t]+)(up|down)[ \t]*([^\r\n]*?)[ \t]*\r?$",
    re.MULTILINE | re.IGNORECASE,
)
_NO_TRANSACTION = re.compile(r"(transaction:false|notransaction)", re.IGNORECASE)
_GOOSE_ALONE = re.compile(r"^--[ \t]*\+goose[ \t]+(NO[ \t]+TRANSACTION)\b", re.MULTILINE | re.IGNORECASE)
_FILE = re.compile(r"([0-9]+)[_-]?(.*)\.(py|sql)")
# golang-migrate has the two parts in two files (MIGRATIONS.md, "Migration Filename Format").
_UP, _DOWN = ".up.sql", ".down.sql"
_TICKS = 10_000_000  # in a second: 17 digits count tenths of microseconds since 1970
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STAMPS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S", 17: "%Y%m%d%H%M%S%f"}
_TEMPLATE = "-- migrate:up\n\n\n-- migrate:down\n\n"


@dataclass(frozen=True)
class Migration:
    """One migration: ``version`` is the number in its file's name, ``name`` the rest without the ending.

    ``down_path`` is the file of the down part; None if ``path`` has both parts.
    """

    version: str
    name: str
    path: Path
    down_path: Path | None = None

    @property
    def down_source(self) -> Path:
        """The file with the down part."""
        return self.down_path or self.path


def find(folder: Path) -> list[Migration]:
    """The migrations of a folder, the oldest first; other files are ignored.

    Raises BadInput for a folder that cannot be read, and for two files with the same time, which have no order.
    """
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise BadInput(f"{folder} cannot be read: {error.strerror}.", code="file_not_readable") from error
    migrations = []
    for name in names:
        match = _FILE.fullmatch(name)
        stem = name.removesuffix(_DOWN)
        if match is None or (stem != name and f"{stem}{_UP}" in names):
            continue
        down_name = f"{name.removesuffix(_UP)}{_DOWN}"
        down_path = folder / down_name if name.endswith(_UP) and down_name in names else None
        migrations.append(Migration(match[1], match[2].removesuffix(".up"), folder / name, down_path))
    migrations.sort(key=lambda migration: version_key(migration.version))
    for first, second in pairwise(migrations):
        if version_key(first.version) == version_key(second.version):
            raise BadInput(
                f"{first.path.name} and {second.path.name} in {folder} have the same number.",
                hint="give one of the two another number",
                code="duplicate_migration",
            )
    return migrations


def up(migration: Migration) -> str:
    """The SQL that applies a migration, on the lines where the file has it.

    Raises BadInput, also for an SQL file without SQL: it would count as applied, and SQL written later would never run.
    An empty migration in Python is allowed, as in the application's own script.
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
        down_name = f"{migration.path.name.removesuffix(_UP)}{_DOWN}"
        raise BadInput(f"{source} has no down part.", hint=f"write its SQL into {down_name}", code="no_way_back")
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
    """Create a file of SQL with an empty up and an empty down part; the migration.

    Its number is the time ``now_ns`` (nanoseconds since 1970) in tenths of microseconds, or later if an existing
    migration has a later one.
    Raises BadInput for a name without a letter or digit or of more than 150 characters, for the name of an existing
    migration, and if the file cannot be written.
    """
    cleaned = re.sub(r"\W+", "_", name).strip("_")
    if not cleaned or len(cleaned) > 150:
        raise BadInput(f"{name!r} cannot name a migration: letters and digits, as in add_bio_column.")
    others = list(existing)
    same = next((other for other in others if other.name.casefold() == cleaned.casefold()), None)
    if same is not None:
        raise BadInput(
            f"There is a migration {same.name!r} already: {same.path}.",
            hint="choose another name, or write the SQL into that file if it is not applied yet",
            code="migration_exists",
        )
    keys = [version_key(migration.version) for migration in others]
    version = max([now_ns // 100, *(ticks + 1 for is_time, ticks in keys if is_time)])
    migration = Migration(str(version), cleaned, folder / f"{version}_{cleaned}.sql")
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
    """The key that orders versions: (1, tenths of microseconds since 1970), or (0, the number) if it is no time.

    The application makes a number from ``str(time.time())`` without the dot, which drops trailing zeros. So the first
    ten digits are seconds and the rest is a fraction: one rule for seconds, ms, µs, 0.1 µs and ns (10, 13, 16, 17 and
    19 digits). A number that can be read as YYYYMMDD, YYYYMMDDhhmm, YYYYMMDDhhmmss or YYYYMMDDhhmmssmmm from 2000 on
    is that date: as epoch seconds such numbers would begin in 2033. Other numbers (0001, 0002) come before every time.
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
    """The version's time as a number of 17 digits, because the scripts compare numbers; else the version itself."""
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
