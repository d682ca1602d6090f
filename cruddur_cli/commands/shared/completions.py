"""Completes values in a shell: handles, tables, conversations, backups and migrations.

It asks only stores of this machine and its network, and only those that are running. It asks a database of a connection
string only after a command has found that the database is local (``local_databases``). After any error it returns no
value and prints no message, because text in the middle of a command line confuses.
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
    from ...postgres.connection import Server
    from ...settings import Settings

Value = tuple[str, str]
_TIMEOUT_S = 0.2  # within which a store must answer
_MOST = 500
# Variables in which Typer's shell scripts pass the command line, whole or up to the cursor.
_LINES = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")


def command_line() -> str:
    """The command line that the shell completes; empty where no shell completes."""
    return next((os.environ[name] for name in _LINES if name in os.environ), "")


def handles(ctx: typer.Context, incomplete: str) -> list[Value]:
    """The handles of the people in the database, with their names."""
    return _complete(ctx, incomplete, _handles)


def local_handles(ctx: typer.Context, incomplete: str) -> list[Value]:
    """The handles in the local database, for a command that also reads production: many people are in both."""
    return _complete(ctx, incomplete, _handles, words=frozenset({"--prod"}))


def tables(ctx: typer.Context, incomplete: str) -> list[Value]:
    """The tables of the local DynamoDB."""
    return _complete(ctx, incomplete, _tables)


def conversations(ctx: typer.Context, incomplete: str) -> list[Value]:
    """The ids of conversations, with the people in them."""
    return _complete(ctx, incomplete, _conversations)


def backups(ctx: typer.Context, incomplete: str) -> list[Value]:
    """The local backups of the table. Sends no request."""
    return _complete(ctx, incomplete, _backups)


def partition_keys(ctx: typer.Context, incomplete: str) -> list[Value]:
    """The partition keys of the messages of each conversation, with the people in it."""
    return _complete(ctx, incomplete, lambda s: ((f"MSG#{group}", people) for group, people in _conversations(s)))


def versions(ctx: typer.Context, incomplete: str) -> list[Value]:
    """The versions of the checkout's migrations, with their names. Sends no request."""
    try:
        from . import load_sql

        folder = load_sql.find_migrations(settings.load())
        if folder is None or not folder.exists():
            return []
        from ...postgres.migrations import files

        return [
            (migration.version, migration.name)
            for migration in files.find(folder)
            if migration.version.startswith(incomplete)
        ]
    except (CruddurError, OSError, ValueError):
        return []


def _complete(
    ctx: typer.Context,
    incomplete: str,
    ask: Callable[[Settings], Iterator[Value]],
    *,
    words: frozenset[str] = frozenset({"--prod", "prod"}),
) -> list[Value]:
    """The values of ``ask`` that begin with ``incomplete``; none where one of ``words`` names production."""
    if ctx.params.get("prod") or words & set(command_line().replace("=", " ").split()):
        return []
    try:
        s = settings.load({"table": ctx.params.get("table"), "dry_run": True, "quiet": True})
        values = ask(replace(s, starts_engines=False))
        return sorted({value for value in values if value[0].startswith(incomplete)})[:_MOST]
    except Exception:  # noqa: BLE001 - a shell must not get a traceback in the middle of a line
        return []


def _start_deadline() -> None:
    """End this process, without a message, when a store does not answer in time.

    A thread does it, because nothing else interrupts the lookup of a host name.
    """
    timer = threading.Timer(_TIMEOUT_S, os._exit, (0,))
    timer.daemon = True
    timer.start()


def _handles(s: Settings) -> Iterator[Value]:
    from . import local_databases

    cached = local_databases.handles(s)
    if cached is not None:
        yield from cached
        return
    from ...postgres import connection
    from . import targets

    connection.load_driver()
    _start_deadline()
    at = targets.server(s)
    if not at.embedded and (
        not local_databases.is_local(s) or targets.is_remote(at.host, at.address) or _is_as_production(at)
    ):
        return
    with connection.opened(replace(at, read_only=True)) as conn:
        if not at.embedded and not local_databases.remember(s, conn):
            return
        rows = conn.execute(
            "SELECT handle, coalesce(display_name, '') FROM public.users ORDER BY handle LIMIT 500"
        ).fetchall()
    local_databases.keep(s, rows)
    yield from rows


def _is_as_production(at: Server) -> bool:
    """Whether production has the same user, password and database: the address may then be a tunnel to production."""
    from ...postgres import connection

    url = settings.load({"prod": True}).connection_url
    if url is None:
        return False
    parameters = connection.parse_url(url, origin="PROD_CONNECTION_URL")
    names = ("user", "password", "dbname")
    return [parameters.get(name) for name in names] == [at.parameters.get(name) for name in names]


def _backups(s: Settings) -> Iterator[Value]:
    from ...dynamodb.transfer import backup_files
    from ...local import home

    for backup in backup_files.listed(home.backups(), s.table):
        yield backup.backup, ""


def _tables(s: Settings) -> Iterator[Value]:
    start_key: dict[str, str] = {}
    for _ in range(_MOST // 100):
        answer = _dynamodb(s, "ListTables", start_key)
        yield from ((name, "") for name in answer["TableNames"])
        if "LastEvaluatedTableName" not in answer:
            return
        start_key = {"ExclusiveStartTableName": answer["LastEvaluatedTableName"]}


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
    yield from ((group, " ".join(sorted(filter(None, handles)))) for group, handles in people.items())


def _dynamodb(s: Settings, operation: str, request: dict[str, Any]) -> Any:
    """The answer of the local DynamoDB. No SDK is used: loading one takes as long as a completion may take."""
    from urllib.parse import urlsplit

    from ...aws_client import answers
    from ...aws_client import client as aws_client
    from . import targets

    _start_deadline()
    at = targets.message_endpoint(s)
    if targets.is_far(at) or at.url is None or urlsplit(at.url).scheme != "http":
        raise ValueError("no DynamoDB of this machine")
    # DynamoDB Local has separate tables for each key and region.
    key = aws_client.DUMMY_CREDENTIAL if at.embedded else os.environ.get("AWS_ACCESS_KEY_ID", "")
    answer = answers.posted(
        at.url,
        "dynamodb",
        f"DynamoDB_20120810.{operation}",
        json.dumps(request),
        timeout_s=_TIMEOUT_S,
        key=key or aws_client.DUMMY_CREDENTIAL,
        region=at.region or aws_client.LOCAL_REGION,
    )
    return json.loads(answer)
