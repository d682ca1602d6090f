"""What the checks get to see, how a check is declared, and what it finds. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, TypeVar

from . import names
from .differences import Difference
from .rows import Rows

Severity = Literal["high", "medium", "low"]
T = TypeVar("T")
_SHOWN = 3


# ---------------------------------------------------------------------------------------------------------------------
# What was read.


class User(Protocol):
    """One row of ``public.users``."""

    @property
    def uuid(self) -> str: ...
    @property
    def handle(self) -> str: ...
    @property
    def display_name(self) -> str: ...
    @property
    def cognito_user_id(self) -> str: ...


class Identity(Protocol):
    """One account of the user pool."""

    @property
    def handle(self) -> str | None: ...
    @property
    def sub(self) -> str: ...
    @property
    def username(self) -> str: ...
    @property
    def enabled(self) -> bool: ...


class Migration(Protocol):
    """One migration that is applied or has a file."""

    @property
    def version(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...


class Blocker(Protocol):
    """One session that holds a lock which keeps others from writing."""

    @property
    def pid(self) -> int: ...
    @property
    def state(self) -> str | None: ...
    @property
    def mode(self) -> str: ...
    @property
    def relation(self) -> str: ...


@dataclass(frozen=True)
class Problem:
    """Why a store could not be read; ``code`` is the error's."""

    sentence: str
    hint: str | None
    code: str


@dataclass(frozen=True)
class Database:
    """What was read of PostgreSQL. ``version`` is server_version_num, ``columns`` are those of public.users.

    ``migrations`` are None outside of a checkout; ``has_file`` says of which versions there is a file. ``differences``
    are those from the ``expected`` schema, None where that is not known on this machine. ``ahead_s`` is how far the
    server's clock is ahead of this machine's.
    """

    label: str
    version: int
    missing_tables: Sequence[str]
    columns: frozenset[str]
    people: Sequence[User]
    migrations: Sequence[Migration] | Problem | None
    has_file: frozenset[str]
    blockers: Sequence[Blocker]
    is_production: bool
    ahead_s: float | None = None
    differences: Sequence[Difference] | None = None
    expected: str = ""


@dataclass(frozen=True)
class TableFacts:
    """What was read of the DynamoDB table. ``is_production`` is None where the engine knows no tags; ``stream_off`` is
    the command that turns its stream off.

    ``index_keys`` and ``projection`` are None without the index; the write capacities are None where it is on demand.
    ``throttled`` counts doctor's own requests, ``throttled_in_a_day`` is CloudWatch's figure, and ``unseen_metrics``
    says why that could not be read.
    """

    label: str
    keys: str
    expected_keys: str
    index_keys: str | None
    expected_index_keys: str
    projection: str | None
    write_capacity: int | None
    index_write_capacity: int | None
    stream_view: str | None
    is_production: bool | None
    rows: Rows
    ahead_s: float | None = None
    throttled: int = 0
    throttled_in_a_day: int | None = None
    unseen_metrics: str = ""
    stream_off: str = ""


@dataclass(frozen=True)
class Pool:
    """What was read of the user pool. In the demo pool of this machine there may be people of other databases.

    ``replaces_ids`` is False for the demo pool and a database of one's own: there it replaces MOCK only.
    """

    label: str
    pool: str
    is_demo: bool
    replaces_ids: bool
    accounts: Sequence[Identity]


@dataclass(frozen=True)
class OtherStore:
    """Another DynamoDB of this machine that has items in a table of the same name."""

    label: str
    url: str


@dataclass(frozen=True)
class Contradiction:
    """Two settings that mean the same and have different values; ``why`` says what follows, beside that one counts."""

    used: str
    other: str
    why: str = ""


@dataclass(frozen=True)
class Unresolved:
    """A host that a setting names and that does not resolve here; ``instead`` is the host that is used, if any."""

    origin: str
    host: str
    store: str
    instead: str = ""


@dataclass(frozen=True)
class Clock:
    """How far a server's clock is ahead of this machine's, in seconds."""

    server: str
    ahead_s: float


class Expiring(Protocol):
    """Credentials for AWS that expire: whose they are, when, and the command that renews them."""

    @property
    def what(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def remedy(self) -> str: ...


@dataclass(frozen=True)
class Machine:
    """What was read of this machine.

    ``not_installed`` are the embedded engines that are in use and not installed, ``install`` is the command that
    installs them. ``silent`` engines run and do not answer. ``taken_ports`` are ports of engines that do not run, on
    which another program listens. ``folder`` is the folder of the embedded stack, ``folder_problem`` why it cannot be
    used, and ``relative_folder`` what CRUDDUR_HOME says where it depends on the working folder.
    """

    contradictions: Sequence[Contradiction] = ()
    folder: str = ""
    free_bytes: int | None = None
    python: tuple[int, ...] = (3, 11)
    not_installed: Sequence[str] = ()
    install: str = ""
    silent: Sequence[str] = ()
    taken_ports: Mapping[str, int] = field(default_factory=dict)
    folder_problem: str = ""
    folder_is_missing: bool = False
    relative_folder: str = ""
    unresolved: Sequence[Unresolved] = ()
    clocks: Sequence[Clock] = ()
    expiry: Expiring | None = None


@dataclass(frozen=True)
class Facts:
    """Everything that was read. A store is a Problem where it could not be, None where none is in use.

    ``table_option`` is that of ``Settings``. ``engines`` are the embedded engines that are in use and do not run.
    """

    prod: bool
    table_name: str
    table_option: str
    now: datetime
    database: Database | Problem | None = None
    table: TableFacts | Problem | None = None
    pool: Pool | Problem | None = None
    others: Sequence[OtherStore] = ()
    engines: Sequence[str] = ()
    machine: Machine = Machine()

    def command(self, words: str, *, table: bool = False) -> str:
        """A command of this program on the stores that were read."""
        named = self.table_option if table else ""
        return f"cruddur {words}{named}{' --prod' if self.prod else ''}"


# ---------------------------------------------------------------------------------------------------------------------
# Checks and findings.


@dataclass(frozen=True)
class Found:
    """What a check says: the evidence, what the fix costs, and the command that fixes it."""

    evidence: str
    remedy: str
    cost: str = "no capacity"
    fixable: bool | None = None  # None: as the check says


@dataclass(frozen=True)
class Finding:
    """One finding, as it is shown. ``fixable``: ``doctor --fix`` fixes it."""

    check: str
    store: str
    severity: Severity
    evidence: str
    cost: str
    remedy: str
    fixable: bool


Look = Callable[[Facts], Iterator[Found]]


@dataclass(frozen=True)
class Check:
    """One thing that can be wrong. ``look`` yields what it finds, nothing where all is well."""

    name: str
    store: str
    severity: Severity
    title: str
    look: Look
    fixable: bool


def declare(store: str, into: list[Check]) -> Callable[..., Callable[[Look], Look]]:
    """A decorator that declares a function as a check of that store; the first line of its text is the title."""

    def check(name: str, severity: Severity, *, fixable: bool = False) -> Callable[[Look], Look]:
        def keep(look: Look) -> Look:
            title = (look.__doc__ or "").partition("\n")[0].rstrip(".")
            into.append(Check(name, store, severity, title, look, fixable))
            return look

        return keep

    return check


_ORDER: Mapping[Severity, int] = {"high": 0, "medium": 1, "low": 2}


def findings(checks: Iterable[Check], facts: Facts) -> list[Finding]:
    """What the checks find: the highest severity first, then in the order of the checks."""
    found = [
        Finding(
            check.name,
            check.store,
            check.severity,
            one.evidence,
            one.cost,
            one.remedy,
            check.fixable if one.fixable is None else one.fixable,
        )
        for check in checks
        for one in check.look(facts)
    ]
    return sorted(found, key=lambda finding: _ORDER[finding.severity])


def some(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - _SHOWN:,} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more


def count(number: int, one: str, several: str | None = None) -> str:
    """A number with its noun."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def notes(facts: Facts) -> list[str]:
    """Notes that are no findings: claims of killed commands, and what could not be compared."""
    said = [
        f"{each.origin} names the host {each.host}, which does not resolve here: {each.instead} is used"
        for each in facts.machine.unresolved
        if each.instead
    ]
    if isinstance(facts.table, TableFacts):
        claims, shift = facts.table.rows.claims, facts.table.rows.shift
        if claims:
            said.append(
                f"{count(claims, 'claim')} left by a killed command: the next message to the conversation replaces it"
            )
        if facts.table.rows.is_sample:
            said.append(
                f"A sample: {count(facts.table.rows.items, 'item')} read. Not checked: the group rows of conversations,"
                " and whether any conversation is from this year. Rows that were not read may be wrong, too."
            )
        if facts.prod and facts.table.stream_off and facts.table.stream_view is None:
            said.append(
                "The table has no stream, so no Lambda function moves its group rows. If one should: "
                + facts.command("ddb schema-load --stream", table=True)
            )
        if facts.table.unseen_metrics:
            said.append(f"Not checked: throttled requests of the last 24 hours. {facts.table.unseen_metrics}")
        if isinstance(facts.database, Database):
            anonymized = names.anonymized(facts.table.rows, {one.uuid: one for one in facts.database.people})
            if anonymized:
                said.append(
                    f"{count(anonymized, 'row')} from an anonymized copy: the made-up names differ from those in the"
                    " database. That is no finding, and --fix does not change such rows."
                )
        if shift:
            said.append(f"Many conversations: the group rows of 1 in {1 << shift} were compared.")
    if isinstance(facts.database, Database) and facts.database.differences is None:
        said.append(f"Not compared: the schema of the database. To compare it: {facts.command('db diff')}")
    if isinstance(facts.database, Problem) or isinstance(facts.table, Problem):
        said.append("Not checked: what must agree between PostgreSQL and DynamoDB.")
    return said


def is_sample(facts: Facts) -> bool:
    """Whether only a part of the table was read."""
    return isinstance(facts.table, TableFacts) and facts.table.rows.is_sample
