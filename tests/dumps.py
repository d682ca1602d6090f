"""Everything that two stores hold, so that a test can say: nothing has changed."""

from __future__ import annotations

from typing import Any

from cruddur_cli.aws_client import client as aws_client


def rows(url: str) -> dict[str, list[str]]:
    """Every row of every table in schema public, as text; ``xmin`` tells even an UPDATE that changes no value."""
    import psycopg

    found = {}
    with psycopg.connect(url) as conn:
        names = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (name,) in names:
            query = f"SELECT t.xmin::text || t::text FROM public.{name} AS t ORDER BY 1".encode()
            found[name] = [row[0] for row in conn.execute(query).fetchall()]
    return found


def items(environment: dict[str, str]) -> list[dict[str, Any]]:
    """Every item of the test's table, in the order of its keys; empty where there is no table."""
    client = aws_client.open_client(
        aws_client.Endpoint("dynamodb", environment["AWS_ENDPOINT_URL_DYNAMODB"], None, "the engine")
    )
    try:
        found = client.scan(TableName=environment["DDB_MESSAGE_TABLE"])["Items"]
    except client.exceptions.ResourceNotFoundException:
        return []
    return sorted(found, key=lambda item: (item["pk"]["S"], item["sk"]["S"]))
