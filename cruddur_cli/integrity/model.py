"""Owns the records that checks read, the declaration of a check, and its findings. Pure."""

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
# The records that checks read.


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
    """One session whose lock blocks writes."""

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
    """Why a store could not be read; ``code`` is that of the error."""

    sentence: str
    hint: str | None
    code: str


@dataclass(frozen=True)
class Database:
    """What was read from PostgreSQL. ``version`` is server_version_num, ``columns`` are those of public.users.

    ``migrations`` is None outside of a checkout; ``has_file`` are the versions that have a file. ``differences`` are
    those from the ``expected`` schema, None if that schema is not known here. ``ahead_s`` is how many seconds the
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
    """What was read from the DynamoDB table.

    ``is_production`` is None if the engine has no tags. ``stream_off`` is the command that turns the stream off; empty
    for an export. ``index_keys`` and ``projection`` are None without the index; the write capacities are None for an
    on-demand table. ``throttled`` counts doctor's own requests, ``throttled_in_a_day`` is CloudWatch's number, and
    ``unseen_metrics`` says why that could not be read.
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
    """What was read from the user pool. This machine's demo pool may also contain people of other databases.

    ``replaces_ids`` is False for the demo pool with a person's own database: a sync replaces only MOCK there.
    """

    label: str
    pool: str
    is_demo: bool
    replaces_ids: bool
    accounts: Sequence[Identity]


@dataclass(frozen=True)
class OtherStore:
    """Another DynamoDB on this machine that has items in a table with the same name."""

    label: str
    url: str


@dataclass(frozen=True)
class Contradiction:
    """Two settings for the same thing with different values. ``used`` is the one that counts; ``why`` adds a reason."""

    used: str
    other: str
    why: str = ""


@dataclass(frozen=True)
class Unresolved:
    """A host in a setting that does not resolve here; ``instead`` is the host that is used, empty without one."""

    origin: str
    host: str
    store: str
    instead: str = ""


@dataclass(frozen=True)
class Clock:
    """How many seconds a server's clock is ahead of this machine's."""

    server: str
    ahead_s: float


class Expiring(Protocol):
    """Credentials for AWS that expire: what they are, when they expire, and the command that renews them."""

    @property
    def what(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def remedy(self) -> str: ...


@dataclass(frozen=True)
class Machine:
    """What was found on this machine.

    ``not_installed`` are the embedded engines that are in use and not installed; ``install`` is the command that
    installs them. ``silent`` are engines that run and do not answer. ``taken_ports`` are the ports of stopped engines
    on which another program listens. ``folder`` is the folder of the embedded stack, ``folder_problem`` why it cannot
    be used, and ``relative_folder`` the value of CRUDDUR_HOME if it is a relative path.
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
    """Everything that the checks read. A store that could not be read is a Problem, one that is not in use None.

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
        """A cruddur command with ``--prod`` if production was read, and with ``table`` with the option for it."""
        option = self.table_option if table else ""
        return f"cruddur {words}{option}{' --prod' if self.prod else ''}"


# ---------------------------------------------------------------------------------------------------------------------
# Checks and findings.


@dataclass(frozen=True)
class Defect:
    """One defect that a check found: the evidence, the command that fixes it, and what the fix costs."""

    evidence: str
    remedy: str
    cost: str = "no capacity"
    fixable: bool | None = None  # None: that of the check


@dataclass(frozen=True)
class Finding:
    """One finding as it is shown. ``fixable`` says whether ``doctor --fix`` fixes it."""

    check: str
    store: str
    severity: Severity
    evidence: str
    cost: str
    remedy: str
    fixable: bool


Look = Callable[[Facts], Iterator[Defect]]


@dataclass(frozen=True)
class Check:
    """One thing that can be wrong. ``look`` yields each defect that it finds."""

    name: str
    store: str
    severity: Severity
    title: str
    look: Look
    fixable: bool


def declare(store: str, into: list[Check]) -> Callable[..., Callable[[Look], Look]]:
    """A decorator that adds a function to ``into`` as a check of a store; its docstring's first line is the title."""

    def check(name: str, severity: Severity, *, fixable: bool = False) -> Callable[[Look], Look]:
        def add(look: Look) -> Look:
            title = (look.__doc__ or "").partition("\n")[0].rstrip(".")
            into.append(Check(name, store, severity, title, look, fixable))
            return look

        return add

    return check


_ORDER: Mapping[Severity, int] = {"high": 0, "medium": 1, "low": 2}


def findings(checks: Iterable[Check], facts: Facts) -> list[Finding]:
    """The findings of the checks, the highest severity first, then in the order of the checks."""
    unsorted = [
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
    return sorted(unsorted, key=lambda finding: _ORDER[finding.severity])


def some(names: Iterable[str]) -> str:
    """The first three names, and the number of the others, as a text."""
    every = list(names)
    more = f" and {len(every) - _SHOWN:,} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more


def count(number: int, one: str, several: str | None = None) -> str:
    """A number with its noun, such as ``1 row`` or ``2,000 rows``."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def notes(facts: Facts) -> list[str]:
    """Sentences that are no findings: about claims of killed commands, and about what was not checked."""
    sentences = [
        f"{each.origin} names the host {each.host}, which does not resolve here: {each.instead} is used"
        for each in facts.machine.unresolved
        if each.instead
    ]
    if isinstance(facts.table, TableFacts):
        claims, shift = facts.table.rows.claims, facts.table.rows.shift
        if claims:
            sentences.append(
                f"{count(claims, 'claim')} left by a killed command: the next message to the conversation replaces it"
            )
        if facts.table.rows.is_sample:
            sentences.append(
                f"A sample: {count(facts.table.rows.items, 'item')} read. Not checked: the group rows of conversations,"
                " and whether any conversation is from this year. Rows that were not read may be wrong, too."
            )
        if facts.prod and facts.table.stream_off and facts.table.stream_view is None:
            sentences.append(
                "The table has no stream, so no Lambda function moves its group rows. If one should: "
                + facts.command("ddb schema-load --stream", table=True)
            )
        if facts.table.unseen_metrics:
            sentences.append(f"Not checked: throttled requests of the last 24 hours. {facts.table.unseen_metrics}")
        if isinstance(facts.database, Database):
            anonymized = names.anonymized(facts.table.rows, {one.uuid: one for one in facts.database.people})
            if anonymized:
                sentences.append(
                    f"{count(anonymized, 'row')} from an anonymized copy: the made-up names differ from those in the"
                    " database. That is no finding, and --fix does not change such rows."
                )
        if shift:
            sentences.append(f"Many conversations: the group rows of 1 in {1 << shift} were compared.")
    if isinstance(facts.database, Database) and facts.database.differences is None:
        sentences.append(f"Not compared: the schema of the database. To compare it: {facts.command('db diff')}")
    if isinstance(facts.database, Problem) or isinstance(facts.table, Problem):
        sentences.append("Not checked: what must agree between PostgreSQL and DynamoDB.")
    return sentences


def is_sample(facts: Facts) -> bool:
    """Whether only a part of the table's items was read."""
    return isinstance(facts.table, TableFacts) and facts.table.rows.is_sample
