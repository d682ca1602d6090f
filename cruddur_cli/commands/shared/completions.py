"""Values that a shell completes: people, tables, conversations, migrations.

Only stores of this machine and its network are asked, and only those that run. After any error a shell gets no value
and no message: a person who presses Tab asked for neither.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from ... import settings
from ...errors import CruddurError

if TYPE_CHECKING:
    from ...settings import Settings

Value = tuple[str, str]
_PATIENCE_S = 0.2  # for a store to answer
_DRIVER_S = 0.3  # for Python to load the driver of PostgreSQL
_MOST = 500
# The words of the command line up to the cursor or whole, as Typer's scripts for the shells hand them over.
_LINES = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")


def command_line() -> str:
    """The command line that is completed."""
    return next((os.environ[name] for name in _LINES if name in os.environ), "")


def handles(ctx: typer.Context, incomplete: str) -> list[Value]:
    """The handles of the people in the database, with their names."""
    return _asked(ctx, incomplete, _handles)


def tables(ctx: typer.Context, incomplete: str) -> list[Value]:
    """The tables of the local DynamoDB."""
    return _asked(ctx, incomplete, _tables)


def conversations(ctx: typer.Context, incomplete: str) -> list[Value]:
    """The ids of conversations, with the people in them."""
    return _asked(ctx, incomplete, _conversations)


def versions(ctx: typer.Context, incomplete: str) -> list[Value]:
    """The versions of the checkout's migrations, with their names. Asks no store."""
    try:
        from . import load_sql

        folder = load_sql.find_migrations(settings.load())
        if folder is None or not folder.exists():
            return []
        from ...postgres.migrations import files

        return [(one.version, one.name) for one in files.find(folder) if one.version.startswith(incomplete)]
    except (CruddurError, OSError, ValueError):
        return []


def _asked(ctx: typer.Context, incomplete: str, ask: Callable[[Settings], Iterator[Value]]) -> list[Value]:
    if ctx.params.get("prod") or {"--prod", "prod"} & set(command_line().replace("=", " ").split()):
        return []
    try:
        loaded = settings.load({"table": ctx.params.get("table"), "dry_run": True, "quiet": True})
        found = ask(replace(loaded, starts_engines=False))
        return sorted({one for one in found if one[0].startswith(incomplete)})[:_MOST]
    except Exception:  # noqa: BLE001 - a shell must not get a traceback in the middle of a line
        return []


def _bounded(more_s: float = 0) -> None:
    """End this process, silently, when a store does not answer in time; a lookup of a name cannot be interrupted."""
    timer = threading.Timer(_PATIENCE_S + more_s, os._exit, (0,))
    timer.daemon = True
    timer.start()


def _handles(s: Settings) -> Iterator[Value]:
    from ...postgres import connection, database, production_marker
    from . import connections

    _bounded(_DRIVER_S)
    at = connections.server(s)
    if not at.embedded and connections.is_remote(at.host, at.address):
        return
    with connection.opened(replace(at, read_only=True)) as conn:
        # Behind a tunnel production has an address of this machine.
        if database.is_rds(conn) or production_marker.is_production(conn):
            return
        yield from conn.execute(
            "SELECT handle, coalesce(display_name, '') FROM public.users ORDER BY handle LIMIT 500"
        ).fetchall()


def _tables(s: Settings) -> Iterator[Value]:
    after: dict[str, str] = {}
    for _ in range(_MOST // 100):
        answer = _dynamodb(s, "ListTables", after)
        yield from ((name, "") for name in answer["TableNames"])
        if "LastEvaluatedTableName" not in answer:
            return
        after = {"ExclusiveStartTableName": answer["LastEvaluatedTableName"]}


def _conversations(s: Settings) -> Iterator[Value]:
    names = {"#pk": "pk", "#id": "message_group_uuid", "#handle": "user_handle"}
    answer = _dynamodb(
        s,
        "Scan",
        {
            "TableName": s.table,
            "FilterExpression": "begins_with(#pk, :groups)",
            "ProjectionExpression": "#id, #handle",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": {":groups": {"S": "GRP#"}},
            "Limit": 5000,
        },
    )
    people: dict[str, set[str]] = {}
    for item in answer["Items"]:
        if "message_group_uuid" in item:
            people.setdefault(item["message_group_uuid"]["S"], set()).add(item.get("user_handle", {}).get("S", ""))
    yield from ((group, " ".join(sorted(filter(None, found)))) for group, found in people.items())


def _dynamodb(s: Settings, operation: str, request: dict[str, Any]) -> Any:
    """The answer of the local DynamoDB. Without an SDK: loading one takes as long as a completion may."""
    from urllib.parse import urlsplit

    from ...aws_client import answers
    from ...aws_client import client as aws_client
    from . import connections

    _bounded()
    at = connections.message_endpoint(s)
    if connections.is_far(at) or at.url is None or urlsplit(at.url).scheme != "http":
        raise ValueError("no DynamoDB of this machine")
    # DynamoDB Local has separate tables for each key and region.
    key = aws_client.DUMMY_CREDENTIAL if at.embedded else os.environ.get("AWS_ACCESS_KEY_ID", "")
    said = answers.posted(
        at.url,
        "dynamodb",
        f"DynamoDB_20120810.{operation}",
        json.dumps(request),
        timeout_s=_PATIENCE_S,
        key=key or aws_client.DUMMY_CREDENTIAL,
        region=at.region or aws_client.LOCAL_REGION,
    )
    return json.loads(said)
