"""Opens the stores that the settings name, and first prints which store a command changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ... import output, settings
from ...aws_client import client as aws_client
from ...dynamodb import client as message_store
from ...errors import NotConfigured, NotFound
from ...settings import Settings
from . import local_databases, targets

# What one store alone needs is imported where that store is opened, so that no command waits for the others.
if TYPE_CHECKING:
    from psycopg import Connection

    from ...aws import group_rules, instance, user_pool
    from ...postgres import connection


def acting_on(s: Settings, at: connection.Server, what: str = "") -> None:
    """Print in one line that a command acts on a database, or on ``what`` of it."""
    output.acting(s, f"{what}{at.label} as {at.user}", remote=targets.is_foreign(at))


@contextmanager
def postgres(s: Settings, *, changes: bool = False, at: connection.Server | None = None) -> Iterator[Connection[Any]]:
    """The user store, opened in one transaction. With ``changes`` the database is printed first.

    With ``changes`` it raises Protected for a database that is marked as production, unless ``--prod`` or ``--dry-run``
    is given.
    """
    from ...postgres import connection, locks, production_marker

    at = at or targets.server(s)
    if changes:
        acting_on(s, at)
    with connection.opened(at, trace=output.trace(s)) as conn, locks.report_holder(conn, at):
        if changes and not s.prod and not s.dry_run:
            production_marker.refuse(conn, at.label)
        local_databases.remember_own(s, at, conn)
        yield conn
    if changes and not s.dry_run:
        local_databases.forget_handles(s)


def refuse_stamped(s: Settings, at: connection.Server) -> None:
    """Raise Protected where the database is marked as production and the command has no ``--prod``."""
    from ...postgres import production_marker

    if s.prod:
        return
    with postgres(s, at=replace(at, read_only=True)) as conn:
        production_marker.refuse(conn, at.label)


@contextmanager
def dynamodb(
    s: Settings, *, changes: bool = False, at: aws_client.Endpoint | None = None
) -> Iterator[message_store.DynamoDB]:
    """The message store, opened. With ``changes`` the table is printed first.

    Raises NotConfigured. With ``changes`` it raises Protected for a table that is marked as production, unless
    ``--prod`` or ``--dry-run`` is given.
    """
    settings.check_table_name(s.table, s.origins["table"])
    at = at or targets.message_endpoint(s)
    remote = at.url is not None and targets.is_far(at)
    if changes or remote or (s.prod and at.url):  # an endpoint of [prod] is printed for reads, too
        origin_text = (
            f" at {at.url}" if at.embedded else f" ({s.origins['dynamodb_endpoint']})" if s.prod and at.url else ""
        )
        in_region = f" in {at.region}" if at.region else ""  # without one, boto3 takes the profile's region
        output.acting(s, f"table {s.table}{in_region}, {at.label}{origin_text}", remote=remote)
    with message_store.opened(at, s.table, computed=at.embedded, trace=output.trace(s)) as opened:
        if s.explain:
            opened.client.meta.events.register("provide-client-params.dynamodb.*", _explain)
        if changes and not s.prod and not s.dry_run:
            from ...dynamodb import tables

            tables.refuse_production(opened)
        yield opened


def _explain(model: Any, params: Any, **_: Any) -> None:
    from ...dynamodb.capacity import explain

    for line in explain.explain(model.name, params):
        output.tell(line)


@contextmanager
def cognito(s: Settings, *, at: aws_client.Endpoint | None = None) -> Iterator[user_pool.Cognito]:
    """The user pool of the settings, else the demo pool, opened. Raises NotConfigured, NotFound."""
    from ...aws import user_pool

    at = at or targets.pool_endpoint(s)
    if s.prod and not s.user_pool_id:
        raise NotConfigured("AWS_COGNITO_USER_POOL_ID is not set.", hint="export AWS_COGNITO_USER_POOL_ID=…")
    if s.prod and at.url:
        output.acting(s, f"{at.label} ({s.origins['cognito_endpoint']})")
    with aws_client.opened(at, trace=output.trace(s)) as client:
        # The embedded Cognito does not have a pool that is configured for AWS.
        pool = s.user_pool_id if s.user_pool_id and not at.embedded else user_pool.require_pool(client, at)
        if not pool:
            raise NotFound("There is no user pool.", hint="cruddur setup")
        yield user_pool.Cognito(client, at, pool)


@contextmanager
def reading(s: Settings, service: str) -> Iterator[tuple[Any, aws_client.Endpoint]]:
    """A client for one service of production's account, which can send only reads; and its endpoint."""
    at = targets.production_endpoint(s, service)
    with aws_client.opened(at, trace=output.trace(s)) as client:
        yield client, at


@contextmanager
def ec2(s: Settings) -> Iterator[group_rules.EC2]:
    """EC2 of the AWS account, opened. It is the real one, even without ``--prod``."""
    from ...aws import group_rules

    at = targets.account_endpoint(s, "ec2")
    with aws_client.opened(at, trace=output.trace(s)) as client:
        yield group_rules.EC2(client, at)


@contextmanager
def rds(s: Settings) -> Iterator[instance.RDS]:
    """RDS of the AWS account, opened. It is the real one, even without ``--prod``."""
    from ...aws import instance

    at = targets.account_endpoint(s, "rds")
    with aws_client.opened(at, trace=output.trace(s)) as client:
        yield instance.RDS(client, at)
