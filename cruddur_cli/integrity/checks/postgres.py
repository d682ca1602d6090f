"""Checks of the PostgreSQL database."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from ..differences import without_parts
from ..model import Check, Database, Defect, Facts, Problem, count, declare, some
from . import machine

CHECKS: list[Check] = []
check = declare("postgres", CHECKS)
# gen_random_uuid() is built in since then ("PostgreSQL 13 Release Notes").
_OLDEST = 130_000
_WANTED = ("uuid", "handle", "display_name")
_ID_COLUMNS = {"cognito_user_id", "cognito_user_uuid"}


def _of(facts: Facts) -> Iterator[Database]:
    if isinstance(facts.database, Database):
        yield facts.database


def unreachable(facts: Facts, problem: object, remedy: str, store: str) -> Iterator[Defect]:
    """The finding for a store that could not be read, unless another check reports the cause."""
    if isinstance(problem, Problem) and not _is_reported(facts, problem, store):
        hint = f" ({problem.hint})" if problem.hint and not problem.hint.startswith("cruddur ") else ""
        command = problem.hint if problem.hint and problem.hint.startswith("cruddur ") else facts.command(remedy)
        yield Defect(problem.sentence.rstrip(".") + hint, command)


def _is_reported(facts: Facts, problem: Problem, store: str) -> bool:
    if problem.code in {"engine_stopped", "missing_credentials", "locked"}:
        return True
    if problem.code == "refused_credentials" and machine.is_expired(facts):
        return True
    return problem.code == "cannot_connect" and any(each.store == store for each in facts.machine.unresolved)


@check("postgres-unreachable", "high")
def reachable(facts: Facts) -> Iterator[Defect]:
    """The database cannot be read."""
    yield from unreachable(facts, facts.database, "config", "postgres")


@check("postgres-version", "medium")
def version(facts: Facts) -> Iterator[Defect]:
    """PostgreSQL is older than 13."""
    for database in _of(facts):
        if database.version < _OLDEST:
            major = database.version // 10_000
            yield Defect(f"{database.label} is PostgreSQL {major}, and gen_random_uuid() needs 13", "cruddur db ping")


@check("tables-missing", "high")
def tables(facts: Facts) -> Iterator[Defect]:
    """The database lacks tables of the application."""
    for database in _of(facts):
        if database.missing_tables:
            has_none = "users" in database.missing_tables and "activities" in database.missing_tables
            yield Defect(
                f"{database.label} has no table {', '.join(database.missing_tables)}",
                facts.command("db setup" if has_none else "db schema-load"),
            )


@check("columns-missing", "high")
def columns(facts: Facts) -> Iterator[Defect]:
    """The table public.users lacks columns that the application reads."""
    for database in _of(facts):
        if "users" in database.missing_tables:
            continue
        missing = _missing_columns(database)
        if missing:
            yield Defect(f"public.users has no column {', '.join(missing)}", facts.command("db migration-status"))


def _missing_columns(database: Database) -> list[str]:
    missing = [name for name in _WANTED if name not in database.columns]
    return missing + ([] if database.columns & _ID_COLUMNS else ["cognito_user_id"])


@check("schema-differs", "medium")
def schema(facts: Facts) -> Iterator[Defect]:
    """The schema differs from what the schema file and the applied migrations make."""
    for database in _of(facts):
        reported = [f"table public.{name}" for name in database.missing_tables]
        reported += [f"column public.users.{name}" for name in _missing_columns(database)]
        differences = without_parts(database.differences or (), reported)
        if differences:
            than = f" from {database.expected}" if database.expected else ""
            yield Defect(f"the schema differs{than}: {some(map(str, differences))}", facts.command("db diff"))


@check("migrations-unreadable", "medium")
def unreadable_migrations(facts: Facts) -> Iterator[Defect]:
    """The applied migrations cannot be read."""
    for database in _of(facts):
        if isinstance(database.migrations, Problem):
            yield Defect(database.migrations.sentence.rstrip("."), facts.command("db migration-status"))


def _migrations(facts: Facts, state: str) -> Iterator[list[str]]:
    for database in _of(facts):
        if database.migrations and not isinstance(database.migrations, Problem):
            labels = [f"{each.version} {each.name}".strip() for each in database.migrations if each.state == state]
            if labels:
                yield labels


@check("migrations-pending", "medium")
def pending(facts: Facts) -> Iterator[Defect]:
    """Migrations of this checkout are not applied."""
    for labels in _migrations(facts, "pending"):
        yield Defect(f"{count(len(labels), 'migration')} pending: {some(labels)}", facts.command("db migrate"))


@check("migrations-adopted", "low")
def adopted(facts: Facts) -> Iterator[Defect]:
    """Another program recorded migrations as applied, and this program has not seen them applied."""
    for labels in _migrations(facts, "adopted"):
        version = labels[0].split()[0]
        yield Defect(
            f"{count(len(labels), 'migration')} recorded by another program only: {some(labels)}",
            facts.command(f"db migrate --mark-applied {version}"),
        )


@check("migration-file-missing", "medium")
def lost_files(facts: Facts) -> Iterator[Defect]:
    """Migrations are recorded as applied, and their files are missing."""
    for database in _of(facts):
        if database.migrations is None or isinstance(database.migrations, Problem):
            continue
        lost = [
            f"{each.version} {each.name}".strip()
            for each in database.migrations
            if each.state == "applied" and each.version not in database.has_file
        ]
        if lost:
            yield Defect(
                f"{count(len(lost), 'applied migration')} without a file: {some(lost)}",
                facts.command("db migration-status"),
            )


@check("handles-duplicate", "high")
def duplicates(facts: Facts) -> Iterator[Defect]:
    """Two people have the same handle."""
    for database in _of(facts):
        numbers = Counter(person.handle for person in database.people if person.handle is not None)
        twice = sorted(handle for handle, number in numbers.items() if number > 1)
        if twice:
            yield Defect(f"several people have the handle {some(twice)}", facts.command("db connect"))


@check("handles-differ-in-case", "medium")
def cases(facts: Facts) -> Iterator[Defect]:
    """Handles of two people differ in case only."""
    for database in _of(facts):
        by_fold: dict[str, set[str]] = defaultdict(set)
        for person in database.people:
            if person.handle is not None:
                by_fold[person.handle.casefold()].add(person.handle)
        near = [" and ".join(sorted(handles)) for handles in by_fold.values() if len(handles) > 1]
        if near:
            yield Defect(f"handles that differ in case only: {some(sorted(near))}", facts.command("db connect"))


@check("locks-held", "medium")
def locks(facts: Facts) -> Iterator[Defect]:
    """A session holds a lock that blocks writes, or even reads."""
    if isinstance(facts.database, Problem) and facts.database.code == "locked":
        yield Defect(facts.database.sentence.rstrip("."), facts.command("db sessions"))
    for database in _of(facts):
        blocking = [
            f"session {each.pid} ({each.state or 'state hidden'}) has {each.mode} on {each.relation}"
            for each in database.blockers
        ]
        if blocking:
            yield Defect(some(blocking), facts.command("db sessions"))


@check("database-not-marked", "low", fixable=True)
def unmarked(facts: Facts) -> Iterator[Defect]:
    """The production database lacks the mark that protects it."""
    for database in _of(facts):
        if facts.prod and not database.is_production:
            yield Defect(
                f"{database.label} is not marked as production, so a command without --prod may write to it",
                facts.command("doctor --fix"),
            )


@check("database-marked", "high")
def marked(facts: Facts) -> Iterator[Defect]:
    """The database of this environment is marked as production."""
    for database in _of(facts):
        if database.is_production and not facts.prod:
            yield Defect(
                f"{database.label} is marked as production: without --prod nothing is written to it",
                "cruddur db release-copy",
            )
