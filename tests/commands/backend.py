"""A small backend like the application's: it finds its stores by variables only, and its users by their tokens.

    python backend.py FILE

Listens on a free port of 127.0.0.1 and writes the port into FILE.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import jwt
import psycopg
from psycopg.rows import dict_row

from cruddur_cli import times

POOL = os.environ["AWS_COGNITO_USER_POOL_ID"]
CLIENT = os.environ["AWS_COGNITO_USER_POOL_CLIENT_ID"]
ISSUER = f"https://cognito-idp.{os.environ['AWS_DEFAULT_REGION']}.amazonaws.com/{POOL}"
# The one thing that differs from the application in AWS: where the keys are.
KEYS = f"{os.environ['AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER']}/{POOL}/.well-known/jwks.json"
TABLE = os.environ["DDB_MESSAGE_TABLE"]


def dynamodb() -> Any:
    return boto3.client("dynamodb", endpoint_url=os.environ["AWS_ENDPOINT_URL"])


def who(header: str) -> str:
    """The sub of the person in this token."""
    token = header.removeprefix("Bearer ")
    with urllib.request.urlopen(KEYS) as answer:
        keys = {key["kid"]: key for key in json.load(answer)["keys"]}
    key = jwt.PyJWK(keys[jwt.get_unverified_header(token)["kid"]])
    claims: dict[str, Any] = jwt.decode(
        token, key.key, algorithms=["RS256"], issuer=ISSUER, options={"require": ["exp", "iat", "sub"]}
    )
    if (claims["token_use"], claims["client_id"]) != ("access", CLIENT):
        raise jwt.InvalidTokenError("not an access token of this application")
    return str(claims["sub"])


def rows(sql: str, *values: object) -> list[dict[str, Any]]:
    with psycopg.connect(os.environ["CONNECTION_URL"], row_factory=dict_row) as conn:
        return conn.execute(sql.encode(), values).fetchall()


def query(key: str, forward: bool) -> list[dict[str, str]]:
    answer = dynamodb().query(
        TableName=TABLE,
        KeyConditionExpression="pk = :pk AND begins_with(sk, :year)",
        ExpressionAttributeValues={":pk": {"S": key}, ":year": {"S": str(times.now().year)}},
        ScanIndexForward=forward,
        Limit=20,
    )
    return [{name: value["S"] for name, value in item.items()} for item in answer["Items"]]


def answer(method: str, path: str, me: dict[str, Any], body: dict[str, str]) -> Any:
    match method, path.split("/")[2:]:
        case "GET", ["profile"]:
            return {name: str(value) for name, value in me.items()}
        case "GET", ["activities"]:
            sql = "SELECT message, handle FROM activities a JOIN users u ON u.uuid = user_uuid ORDER BY a.created_at"
            return rows(sql)
        case "POST", ["activities"]:
            sql = "INSERT INTO activities (user_uuid, message, expires_at) VALUES (%s, %s, now() + interval '1 day')"
            rows(f"{sql} RETURNING message", me["uuid"], body["message"])
            return {}
        case "GET", ["message_groups"]:
            return query(f"GRP#{me['uuid']}", forward=False)
        case "GET", ["messages", group]:
            return query(f"MSG#{group}", forward=False)
        case "POST", ["messages", group]:
            item = {
                "pk": f"MSG#{group}",
                "sk": times.now().isoformat(),
                "message": body["message"],
                "message_uuid": str(uuid.uuid4()),
                "user_uuid": str(me["uuid"]),
                "user_display_name": me["display_name"],
                "user_handle": me["handle"],
            }
            dynamodb().put_item(TableName=TABLE, Item={name: {"S": value} for name, value in item.items()})
            return item
    raise LookupError(path)


class Handler(BaseHTTPRequestHandler):
    def _respond(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        try:
            sub = who(self.headers.get("Authorization", ""))
            (me,) = rows("SELECT uuid, handle, display_name FROM users WHERE cognito_user_id = %s", sub)
            status, found = 200, answer(self.command, self.path, me, body)
        except (jwt.InvalidTokenError, KeyError):
            status, found = 401, {}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    do_GET = do_POST = _respond

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    temporary = Path(sys.argv[1] + ".new")
    temporary.write_text(str(server.server_port))
    temporary.rename(sys.argv[1])
    server.serve_forever()
