"""People of a user pool and of the database."""

from __future__ import annotations

from typing import Any


def add(cognito: Any, pool: str, username: str, handle: str | None) -> str:
    attributes = [{"Name": "email", "Value": f"{username}@example.com"}]
    attributes += [{"Name": "preferred_username", "Value": handle}] if handle else []
    user = cognito.admin_create_user(
        UserPoolId=pool, Username=username, MessageAction="SUPPRESS", UserAttributes=attributes
    )["User"]
    return next(str(one["Value"]) for one in user["Attributes"] if one["Name"] == "sub")


def insert(url: str, *handles: str) -> None:
    import psycopg

    with psycopg.connect(url) as conn:
        for handle in handles:
            conn.execute(
                "INSERT INTO users (display_name, handle, email, cognito_user_id) VALUES (%s, %s, %s, 'MOCK')",
                [handle, handle, f"{handle}@example.com"],
            )


def ids(url: str) -> dict[str, str]:
    import psycopg

    with psycopg.connect(url) as conn:
        return dict(conn.execute("SELECT handle, cognito_user_id FROM users").fetchall())
