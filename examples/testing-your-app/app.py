"""A small application of Cruddur's kind: people in PostgreSQL, messages in DynamoDB, a pool that opens at import."""

import os
import uuid
from datetime import UTC, datetime

import boto3
from flask import Flask, jsonify, request
from psycopg_pool import ConnectionPool

app = Flask(__name__)
pool = ConnectionPool(os.environ["CONNECTION_URL"], max_size=4, open=True)
dynamodb = boto3.client("dynamodb")


def table() -> str:
    """The table of messages; read at each request."""
    return os.environ["DDB_MESSAGE_TABLE"]


@app.get("/api/users")
def users():
    """Everybody's handle."""
    with pool.connection() as conn:
        return jsonify([handle for (handle,) in conn.execute("SELECT handle FROM users ORDER BY handle")])


@app.delete("/api/users/<handle>")
def forget(handle):
    """Delete a person and what the person wrote."""
    with pool.connection() as conn:
        conn.execute("DELETE FROM activities USING users WHERE user_uuid = users.uuid AND handle = %s", (handle,))
        found = conn.execute("DELETE FROM users WHERE handle = %s", (handle,))
    return jsonify({"deleted": found.rowcount})


@app.get("/api/messages/<group>")
def messages(group):
    """The texts of a conversation, oldest first."""
    found = dynamodb.query(
        TableName=table(),
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"MSG#{group}"}},
    )
    return jsonify([item["message"]["S"] for item in found["Items"]])


@app.post("/api/messages/<group>")
def write(group):
    """Add a message to a conversation."""
    text = (request.get_json(silent=True) or {}).get("message", "").strip()
    if not text:
        return jsonify({"error": "a message needs a text"}), 422
    item = {
        "pk": {"S": f"MSG#{group}"},
        "sk": {"S": datetime.now(UTC).isoformat(timespec="microseconds")},
        "message_uuid": {"S": str(uuid.uuid4())},
        "message": {"S": text},
    }
    dynamodb.put_item(TableName=table(), Item=item)
    return jsonify({"message": text}), 201
