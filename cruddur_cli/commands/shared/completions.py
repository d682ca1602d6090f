"""Values that a shell completes: people, tables, conversations, migrations.

Only stores of this machine and its network are asked, and only those that run; a database that a connection string
names, only where a command has found that it is local (``local_databases``). After any error a shell gets no value and
no message: a person who presses Tab asked for neither.
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
_PATIENCE_S = 0.2  # for a store to answer
_MOST = 500
# The words of the command line up to the cursor or whole, as Typer's scripts for the shells hand them over.
_LINES = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")


def command_line() -> str:
    """The command line that is completed."""
    return next((os.environ[name] for name in _LINES if name in os.environ), "")


def handles(ctx: typer.Context, incomplete: str) -> list[Value]:
    """The handles of the people in the database, with their names."""
    return _asked(ctx, incomplete, _handles)


def local_handles(ctx: typer.Context, incomplete: str) -> list[Value]:
    """The same of the local database, for a command that also reads production: many people are in both."""
    return _asked(ctx, incomplete, _handles, words=frozenset({"--prod"}))


def tables(ctx: typer.Context, incomplete: str) -> list[Value]:
    """The tables of the local DynamoDB."""
    return _asked(ctx, incomplete, _tables)


def conversations(ctx: typer.Context, incomplete: str) -> list[Value]:
    """The ids of conversations, with the people in them."""
    return _asked(ctx, incomplete, _conversations)


def backups(ctx: typer.Context, incomplete: str) -> list[Value]:
    """The local backups of the table. Asks no store."""
    return _asked(ctx, incomplete, _backups)


def partition_keys(ctx: typer.Context, incomplete: str) -> list[Value]:
    """The partition keys of the messages of each conversation, with the people in it."""
    return _asked(ctx, incomplete, lambda s: ((f"MSG#{group}", people) for group, people in _conversations(s)))


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


def _asked(
    ctx: typer.Context,
    incomplete: str,
    ask: Callable[[Settings], Iterator[Value]],
    *,
    words: frozenset[str] = frozenset({"--prod", "prod"}),
) -> list[Value]:
    """What ``ask`` finds; nothing where one of the ``words`` says that the command is for production."""
    if ctx.params.get("prod") or words & set(command_line().replace("=", " ").split()):
        return []
    try:
        loaded = settings.load({"table": ctx.params.get("table"), "dry_run": True, "quiet": True})
        found = ask(replace(loaded, starts_engines=False))
        return sorted({one for one in found if one[0].startswith(incomplete)})[:_MOST]
    except Exception:  # noqa: BLE001 - a shell must not get a traceback in the middle of a line
        return []


def _bounded() -> None:
    """End this process, silently, when a store does not answer in time; a lookup of a name cannot be interrupted."""
    timer = threading.Timer(_PATIENCE_S, os._exit, (0,))
    timer.daemon = True
    timer.start()


def _handles(s: Settings) -> Iterator[Value]:
    from . import local_databases

    known = local_databases.handles(s)
    if known is not None:
        yield from known
        return
    from ...postgres import connection
    from . import targets

    connection.load_driver()
    _bounded()
    at = targets.server(s)
    if not at.embedded and (
        not local_databases.is_local(s) or targets.is_remote(at.host, at.address) or _is_as_production(at)
    ):
        return
    with connection.opened(replace(at, read_only=True)) as conn:
        if not at.embedded and not local_databases.remember(s, conn):
            return
        found = conn.execute(
            "SELECT handle, coalesce(display_name, '') FROM public.users ORDER BY handle LIMIT 500"
        ).fetchall()
    local_databases.keep(s, found)
    yield from found


def _is_as_production(at: Server) -> bool:
    """Whether production has the same user, password and database: then this may be a tunnel to it."""
    from ...postgres import connection

    url = settings.load({"prod": True}).connection_url
    if url is None:
        return False
    found = connection.parse_url(url, origin="PROD_CONNECTION_URL")
    names = ("user", "password", "dbname")
    return [found.get(name) for name in names] == [at.parameters.get(name) for name in names]


def _backups(s: Settings) -> Iterator[Value]:
    from ...dynamodb.transfer import backup_files
    from ...local import home

    for one in backup_files.listed(home.backups(), s.table):
        yield one.backup, ""


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
    from . import targets

    _bounded()
    at = targets.message_endpoint(s)
    if targets.is_far(at) or at.url is None or urlsplit(at.url).scheme != "http":
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
