"""Mends the rows of conversations: group rows that are lost, doubled or late, and names that people have changed.

Every write is conditional on what was read, so that a writer who works at the same time loses nothing.
"""

from __future__ import annotations

from ...errors import Refused
from .. import schema
from ..client import DynamoDB
from ..schema import Item, Person
from . import group_rows, queries


def group(dynamodb: DynamoDB, name: str) -> bool:
    """Make each person's group row of the conversation say what its newest message says; whether that was possible.

    It moves no row backwards. Without a message, or where its people cannot be told, nothing is changed. Raises Refused
    when others do not stop writing to the conversation.
    """
    newest = queries.latest(dynamodb, name, limit=1)
    return bool(newest) and group_rows.advance(dynamodb, name, newest[-1]).missing is None


def rename(dynamodb: DynamoDB, item: Item, person: Person) -> bool:
    """Write a person's names into a row that names them; False where another writer moved or deleted the row.

    An attribute that the row lacks stays missing.
    """
    named = {"user_handle": person.handle, "user_display_name": person.display_name}
    wanted = {name: value for name, value in named.items() if name in item and value is not None}
    if not wanted:
        return False
    try:
        dynamodb.call(
            "update_item",
            TableName=dynamodb.table,
            Key={"pk": item["pk"], "sk": item["sk"]},
            UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in wanted),
            ConditionExpression="user_uuid = :uuid",
            ExpressionAttributeValues={
                ":uuid": {"S": person.uuid},
                **{f":{name}": {schema.BY_NAME[name].type: value} for name, value in wanted.items()},
            },
        )
    except Refused as error:
        if error.fields.get("aws_code") != "ConditionalCheckFailedException":
            raise
        return False
    return True
