"""Reads the facts that the checks of ``doctor`` judge.

Each store is read by itself, so that a store that cannot be read does not hide the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from ... import output, times
from ...aws_client import client as aws_client
from ...aws_client import observations
from ...dynamodb import scanning, schema, tables
from ...dynamodb.capacity import estimate as estimates
from ...dynamodb.capacity.limiter import RateLimiter
from ...dynamodb.client import DynamoDB
from ...dynamodb.transfer import input_files
from ...errors import CruddurError, Incomplete, Protected
from ...integrity import differences
from ...integrity import rows as integrity_rows
from ...integrity.differences import Difference
from ...integrity.model import Clock, Database, Facts, OtherStore, Pool, Problem, TableFacts
from ...integrity.rows import Rows
from ...local import extra, stack
from ...postgres import catalogue, database, production_marker, sessions, users
from ...postgres.migrations import files as migration_files
from ...postgres.migrations import runner as migration_runner
from ...settings import SEEDED_GROUP, Settings
from ..shared import capacity_guard, connections, expected_schema, load_sql, targets
from . import this_machine

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")
# Read capacity units for production's table without --max-units: 8 MB, eventually consistent.
_PRODUCTION_UNITS = 1_000.0
_DAY = timedelta(days=1)
_THROTTLE_METRICS = ("ReadThrottleEvents", "WriteThrottleEvents")
# How often --fix reads the table: to find what is wrong, to write names, and to check the result.
_FIX_READS = 3


def read_only(s: Settings) -> Settings:
    """The settings of a command that only reads: every store refuses writes, and no engine is started."""
    return replace(s, dry_run=True, starts_engines=False)


def facts(s: Settings, dynamodb: DynamoDB | Problem | input_files.Source, *, whole: bool) -> Facts:
    """The facts for all checks. An export is read instead of the table; with ``whole`` the table is never sampled."""
    in_database = _or_problem(lambda: _database(s))
    in_table = _in_table(s, dynamodb, whole)
    pool = None if _has_no_pool(s) else _or_problem(lambda: _pool(s))
    stores = {"postgres": in_database, "dynamodb": in_table, "cognito": pool}
    is_empty = in_table.code == "table_not_found" if isinstance(in_table, Problem) else not in_table.rows.items
    has_others = is_empty and isinstance(dynamodb, DynamoDB) and not s.prod
    return Facts(
        prod=s.prod,
        table_name=s.table,
        table_option=s.table_option,
        now=times.now(),
        database=in_database,
        table=in_table,
        pool=pool,
        others=list(_others(s, dynamodb)) if has_others and isinstance(dynamodb, DynamoDB) else [],
        engines=this_machine.stopped_engines(stores.values()),
        machine=this_machine.read(s, stores, clocks=_clocks(in_database, in_table)),
    )


def _in_table(s: Settings, dynamodb: DynamoDB | Problem | input_files.Source, whole: bool) -> TableFacts | Problem:
    """The facts of the table, or the problem that stops it from being read.

    Raises BadInput for an export that cannot be read.
    """
    if isinstance(dynamodb, input_files.Source):
        return _exported(dynamodb)
    return dynamodb if isinstance(dynamodb, Problem) else _or_problem(lambda: _described(s, dynamodb, whole))


@contextmanager
def table(s: Settings, export: str | None) -> Iterator[DynamoDB | Problem | input_files.Source]:
    """The message store, opened; or the problem that stops it from being opened; or the export. Raises BadInput."""
    if export is not None:
        yield input_files.find(export, None)
        return
    try:
        at = targets.message_endpoint(s)
    except CruddurError as error:
        yield problem(error)
        return
    with connections.dynamodb(s, at=at) as opened:
        yield opened


def problem(error: CruddurError) -> Problem:
    """The error of a store, as a fact for the checks."""
    credentials = error.fields.get("credentials")
    return Problem(error.message, error.hint, f"{credentials}_credentials" if credentials else error.code)


def _or_problem(read: Callable[[], T]) -> T | Problem:
    try:
        return read()
    except CruddurError as error:
        return problem(error)


def _clocks(in_database: object, in_table: object) -> Iterator[Clock]:
    for facts in (in_database, in_table):
        if isinstance(facts, Database | TableFacts) and facts.ahead_s is not None:
            yield Clock(facts.label, facts.ahead_s)


def _database(s: Settings) -> Database:
    at = targets.server(s)
    with connections.postgres(s, at=replace(at, read_only=True)) as conn:
        missing = [name for name in database.missing_tables(conn) if name not in database.BOOKKEEPING]
        has_users = "users" not in missing
        migrations, has_file = _migrations(s, conn)
        return Database(
            label=at.label,
            version=conn.info.server_version,
            missing_tables=missing,
            columns=frozenset(users.column_names(conn)) if has_users else frozenset(),
            people=users.read_all(conn) if has_users else [],
            migrations=migrations,
            has_file=has_file,
            blockers=sessions.blockers(conn),
            is_production=production_marker.is_production(conn),
            ahead_s=_ahead(conn),
            differences=_differences(s, conn),
            expected=_expected(s),
        )


def _differences(s: Settings, conn: Connection[Any]) -> list[Difference] | None:
    """How the schema differs from the expected one; None where the expected schema is not known on this machine."""
    try:
        folder = load_sql.find_migrations(s)
        files = migration_files.find(folder) if folder is not None and folder.exists() else []
        expected = expected_schema.stored(s, expected_schema.applied(conn, files))
    except CruddurError:
        return None
    return None if expected is None else differences.compare(catalogue.definitions(conn), expected)


def _expected(s: Settings) -> str:
    """The schema file with which the schema is compared, as text; empty where it cannot be read."""
    try:
        script = load_sql.read_schema(s)
    except CruddurError:
        return ""
    return "the built-in one, because there is no schema.sql here" if script.is_built_in else script.source


def _ahead(conn: Connection[Any]) -> float:
    """How many seconds the server's clock is ahead of this machine's."""
    sent_at = times.of_this_machine()
    server = database.clock(conn)
    received_at = times.of_this_machine()
    return (server - (sent_at + (received_at - sent_at) / 2)).total_seconds()


def _migrations(s: Settings, conn: Connection[Any]) -> tuple[Any, frozenset[str]]:
    """The state of each migration, None outside of a checkout; and the versions that have a file."""
    try:
        folder = load_sql.find_migrations(s)
        if folder is None or not folder.exists():
            return None, frozenset()
        files = migration_files.find(folder)
        return migration_runner.status(conn, files), frozenset(migration.version for migration in files)
    except CruddurError as error:
        return problem(error), frozenset()


def _exported(source: input_files.Source) -> TableFacts:
    """The facts of an export. It says nothing about the table's keys, index and stream, so these are as expected."""
    expected = tables.expected()
    return TableFacts(
        label=source.name,
        keys=expected.keys,
        expected_keys=expected.keys,
        index_keys=expected.index_keys,
        expected_index_keys=expected.index_keys,
        projection=None,
        write_capacity=None,
        index_write_capacity=None,
        stream_view=None,
        is_production=None,
        rows=integrity_rows.collect(
            (item for _, item, _ in input_files.items(source)), now=times.now(), seeded=SEEDED_GROUP
        ),
    )


def _described(s: Settings, dynamodb: DynamoDB, whole: bool) -> TableFacts:
    with observations.observed(dynamodb.client) as observed:
        table_facts = _read_table(s, dynamodb, whole)
    throttled, unseen = _throttled_in_a_day(s, dynamodb.at) if s.prod and dynamodb.at.url is None else (None, "")
    return replace(
        table_facts,
        ahead_s=observed.ahead_s,
        throttled=observed.throttled,
        throttled_in_a_day=throttled,
        unseen_metrics=unseen,
    )


def _throttled_in_a_day(s: Settings, at: aws_client.Endpoint) -> tuple[int | None, str]:
    """How many requests to table and index were throttled in 24 hours, and ""; or None, and why it is not known.

    It asks CloudWatch, for an existing table only. Source: "DynamoDB metrics and dimensions".
    """
    at_cloudwatch = aws_client.Endpoint("cloudwatch", None, at.region, read_only=True)
    try:
        with aws_client.opened(at_cloudwatch, trace=output.trace(s)) as client:
            return round(sum(_throttle_events(client, at_cloudwatch, s.table))), ""
    except CruddurError as error:
        return None, error.message


def _throttle_events(client: Any, at: aws_client.Endpoint, table: str) -> Iterator[float]:
    of_table = [{"Name": "TableName", "Value": table}]
    of_index = [*of_table, {"Name": "GlobalSecondaryIndexName", "Value": schema.INDEX}]
    end = times.now()
    for metric in _THROTTLE_METRICS:
        for dimensions in (of_table, of_index):
            params = {
                "Namespace": "AWS/DynamoDB",
                "MetricName": metric,
                "Dimensions": dimensions,
                "StartTime": end - _DAY,
                "EndTime": end,
                "Period": int(_DAY.total_seconds()),
                "Statistics": ["Sum"],
            }
            answer = aws_client.call(client, "get_metric_statistics", params, at=at)
            yield from (point["Sum"] for point in answer["Datapoints"])


def _read_table(s: Settings, dynamodb: DynamoDB, whole: bool) -> TableFacts:
    description = tables.description(dynamodb)
    table = tables.of_description(description)
    expected = tables.expected()
    indexes = {
        index_description["IndexName"]: index_description
        for index_description in description.get("GlobalSecondaryIndexes", [])
    }
    index = indexes.get(schema.INDEX)
    keys, _, projection = table.indexes.get(schema.INDEX, "").rpartition(", projection ")
    is_provisioned = table.billing != "on demand"
    knows_tags = not description["TableArn"].startswith(tables.UNTAGGED)
    return TableFacts(
        label=dynamodb.at.label,
        keys=table.keys,
        expected_keys=expected.keys,
        index_keys=keys if index else None,
        expected_index_keys=expected.index_keys,
        projection=projection if index else None,
        write_capacity=_write_capacity(description) if is_provisioned else None,
        index_write_capacity=_write_capacity(index) if is_provisioned and index else None,
        stream_view=table.stream,
        is_production=tables.is_production(dynamodb) if knows_tags else None,
        rows=_rows(s, dynamodb, description, whole),
        stream_off=tables.stream_off(dynamodb.table, dynamodb.at.url),
    )


def _write_capacity(described: dict[str, Any]) -> int | None:
    return (described.get("ProvisionedThroughput") or {}).get("WriteCapacityUnits")


def _has_no_pool(s: Settings) -> bool:
    """Whether there is no pool to read: it would be the demo pool, and its engine is not installed."""
    is_named = s.prod or s.cognito_endpoint or s.aws_endpoint or s.user_pool_id
    return (s.prod and not s.user_pool_id) or (not is_named and "AWS" in extra.missing())


def _pool(s: Settings) -> Pool:
    from ...aws import user_pool

    at = targets.pool_endpoint(s)
    with connections.cognito(s, at=at) as cognito:
        return Pool(
            label=f"user pool {user_pool.DEMO_POOL if at.embedded else cognito.pool}",
            pool=cognito.pool,
            is_demo=at.embedded,
            replaces_ids=not at.embedded or _has_embedded_database(s),
            accounts=list(user_pool.identities(cognito)),
        )


def _has_embedded_database(s: Settings) -> bool:
    try:
        return targets.server(s).embedded
    except CruddurError:  # another check reports it
        return False


def _others(s: Settings, dynamodb: DynamoDB) -> Iterator[OtherStore]:
    """Yield the other DynamoDBs of this machine that have items in a table of the same name."""
    places = {s.local_dynamodb: f"DynamoDB at {s.local_dynamodb}"}
    if embedded := stack.aws_endpoint():
        places[embedded] = "the embedded DynamoDB"
    for url, label in places.items():
        if url == dynamodb.at.url or not targets.answers_as_dynamodb(url):
            continue
        at = replace(dynamodb.at, url=url, label=label, embedded=url == embedded, read_only=True)
        try:
            with connections.dynamodb(s, at=at) as other:
                if next(scanning.pages(other, limit=1), []):
                    yield OtherStore(label, url)
        except CruddurError:
            continue


def _rows(s: Settings, dynamodb: DynamoDB, description: dict[str, Any], whole: bool) -> Rows:
    """The summary of the table's items: of all items, or of a sample that the limit of units allows."""
    scanning.give_memory_back()
    items, size = description.get("ItemCount", 0), description.get("TableSizeBytes", 0)
    max_units = _most_units(s)
    estimate = capacity_guard.of_scan(description)
    if max_units is not None and dynamodb.limiter is None:
        provisioned = estimates.throughput(description)
        # A sample fits into burst capacity. Reading a whole table in production leaves half to the application.
        rate = provisioned.read / 2 if s.prod and whole and provisioned is not None else None
        unit = "capacity units" if whole else "RCU"
        output.tell(f"{capacity_guard.sentence(estimate, rate=rate)}; at most {max_units:g} {unit} are used")
        mean = size / items if items else 0.0
        dynamodb.limiter = RateLimiter(max_units=max_units, rate=rate, indexes=[schema.GROUPS], item_bytes=mean)
    is_sample = max_units is not None and not whole and estimate.read_units > max_units
    if is_sample and max_units is not None:
        pages = scanning.sample(
            dynamodb, int(items * max_units / estimate.read_units), parts=max(1, int(max_units / 2))
        )
    else:
        pages = scanning.pages(dynamodb, plan=scanning.plan(dynamodb, items=items, size=size))
    items_until_limit = _UntilLimit(pages)
    rows = integrity_rows.collect(items_until_limit, now=times.now(), seeded=SEEDED_GROUP)
    rows.is_sample = is_sample or items_until_limit.is_cut
    return rows


def _most_units(s: Settings) -> float | None:
    return s.max_units or (_PRODUCTION_UNITS if s.prod else None)


def refuse_to_fix_a_sample(s: Settings, dynamodb: DynamoDB) -> None:
    """Raise Protected if the limit of units is too low for reading the table as often as ``--fix`` does.

    It reads no item.
    """
    max_units = _most_units(s)
    if max_units is None:
        return
    try:
        description = tables.description(dynamodb)
    except CruddurError:  # a check reports it
        return
    units = capacity_guard.of_scan(description).read_units
    # Near the limit, pages get small, and the units of each page are rounded up.
    needed = math.ceil(1.2 * _FIX_READS * units) + 10
    if needed > max_units:
        raise Protected(
            f"--fix reads all of table {dynamodb.table} up to {_FIX_READS} times. Each time uses {units:,.10g} RCU,"
            f" and the limit is {max_units:g} capacity units. Nothing was read.",
            hint=f"--max-units {needed}",
            code="max_units",
        )


class _UntilLimit:
    """The items of pages, until the limit of units is reached; ``is_cut`` says that it was."""

    def __init__(self, pages: Iterator[list[Any]]) -> None:
        self._pages = pages
        self.is_cut = False

    def __iter__(self) -> Iterator[Any]:
        try:
            for page in self._pages:
                yield from page
        except Incomplete as error:
            if error.code != "max_units":
                raise
            self.is_cut = True
