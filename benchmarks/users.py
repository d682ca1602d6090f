"""Measures commands with many users: the sync of Cognito ids, and a large file of SQL."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import botocore.session
import psycopg
from measure import Target, alternate
from results import Ratio
from targets import endpoints, stack

from cruddur_cli.local import postgres

_LISTING = (sys.executable, str(Path(__file__).parent / "peers" / "listing.py"))
_INSERT = (
    "INSERT INTO public.users (display_name, handle, email, cognito_user_id) VALUES ('User {0}', 'user{0:05}',"
    " 'user{0:05}@example.com', 'MOCK');\n"
)


def identities(*, count: int, runs: int) -> Iterator[Ratio]:
    """The time of ``db update-cognito-user-ids`` against a plain listing of the user pool."""
    with stack() as target:
        target.cruddur("setup")
        endpoint = endpoints(target)["aws"]
        pool = _fill_pool(endpoint, count)
        with psycopg.connect(_url(target), autocommit=True) as conn:
            for number in range(count):
                conn.execute(_INSERT.format(number).encode())
            reset_ids = "UPDATE public.users SET cognito_user_id = 'MOCK' WHERE handle LIKE 'user%'"
            rounds = []
            for _ in range(runs + 1):
                conn.execute(reset_ids)
                first = target.cruddur("db", "update-cognito-user-ids", "-o", "json")
                again = target.cruddur("db", "update-cognito-user-ids", "-o", "json")
                bare = target.having(BENCHMARK_ENDPOINT=endpoint, BENCHMARK_POOL=pool).run(*_LISTING)
                rounds.append([first, again, bare])
    took = [sorted(cost.wall_ms for cost in costs)[runs // 2] for costs in zip(*rounds[1:], strict=True)]
    for what, wall_ms in (("all ids new", took[0]), ("no new id", took[1])):
        name = f"`update-cognito-user-ids`, {count:,} users, {what}"
        yield Ratio(name, wall_ms, "user list with botocore", took[2], "ms", 1.2)


def _fill_pool(endpoint: str, count: int) -> str:
    client: Any = botocore.session.Session().create_client(
        "cognito-idp", endpoint_url=endpoint, region_name="us-east-1",
        aws_access_key_id="local", aws_secret_access_key="local",
    )  # fmt: skip
    pool: str = client.list_user_pools(MaxResults=10)["UserPools"][0]["Id"]

    def create(number: int) -> None:
        name = f"user{number:05}"
        attributes = {"preferred_username": name, "email": f"{name}@example.com"}
        client.admin_create_user(
            UserPoolId=pool, Username=f"{name}@example.com", MessageAction="SUPPRESS",
            UserAttributes=[{"Name": key, "Value": value} for key, value in attributes.items()],
        )  # fmt: skip

    with ThreadPoolExecutor(8) as several:
        list(several.map(create, range(count)))
    return pool


def sql_file(*, count: int, runs: int) -> Iterator[Ratio]:
    """The time of ``db schema-load`` with many statements against psql, both in one transaction."""
    psql = shutil.which("psql")
    if psql is None:
        return
    with stack() as target:
        target.cruddur("setup")
        text = target.printed(
            sys.executable,
            "-c",
            "from cruddur_cli.commands.shared import seed_files; print(seed_files.text('schema.sql'))",
        )
        file = Path(target.folder) / "many.sql"
        file.write_text(text + "".join(map(_INSERT.format, range(count))), encoding="utf-8")
        load, by_psql = alternate(
            partial(target.cruddur, "db", "schema-load", "--yes", "--file", str(file)),
            partial(target.run, psql, "-q", "-1", "-v", "ON_ERROR_STOP=1", "-f", str(file), _url(target)),
            runs=runs,
        )
    yield Ratio(f"`db schema-load`, {count:,} statements", load.wall_ms, "psql", by_psql.wall_ms, "ms", 1.2)


def _url(target: Target) -> str:
    port = endpoints(target)["postgres"].rpartition(":")[2]
    return postgres.url(Path(target.env["CRUDDUR_HOME"]), int(port))
