"""Repair group rows that are missing, duplicated or out of date, and names that people have changed.

Every write is conditional on the rows that were read, so that a concurrent write is not lost.
"""

from __future__ import annotations

from ...errors import Refused
from .. import schema
from ..client import DynamoDB
from ..schema import Item, Person
from . import group_rows, queries


def group(dynamodb: DynamoDB, name: str) -> bool:
    """Give each person of the conversation ``name`` one group row with its newest message; return whether that worked.

    No row gets an older message. Returns False if the conversation has no message, or if one of its people is unknown.
    Raises Refused when conflicting writes do not end in time.
    """
    newest = queries.latest(dynamodb, name, limit=1)
    return bool(newest) and group_rows.advance(dynamodb, name, newest[-1]).missing is None


def rename(dynamodb: DynamoDB, item: Item, person: Person) -> bool:
    """Set the handle and display name of ``person`` in a row that names them; return whether the row was updated.

    Returns False if another writer has changed the names in the row, moved it or deleted it. An attribute that the
    row lacks is not added.
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
            ConditionExpression=" AND ".join(["user_uuid = :uuid", *(f"{name} = :old_{name}" for name in wanted)]),
            ExpressionAttributeValues={
                ":uuid": {"S": person.uuid},
                **{f":old_{name}": item[name] for name in wanted},
                **{f":{name}": {schema.BY_NAME[name].type: value} for name, value in wanted.items()},
            },
        )
    except Refused as error:
        if error.fields.get("aws_code") != "ConditionalCheckFailedException":
            raise
        return False
    return True
