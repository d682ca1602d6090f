"""Reads a conversation with boto3 alone and prints JSON, for comparison with ``cruddur ddb get-conversation``."""

import json
import os
import sys

import boto3

client = boto3.client(
    "dynamodb",
    endpoint_url=os.environ["AWS_ENDPOINT_URL_DYNAMODB"],
    region_name="us-east-1",
    aws_access_key_id="local",
    aws_secret_access_key="local",
)
answer = client.query(
    TableName=os.environ["DDB_MESSAGE_TABLE"],
    KeyConditionExpression="pk = :pk",
    ExpressionAttributeValues={":pk": {"S": "MSG#5ae290ed-55d1-47a0-bc6d-fe2bc2700399"}},
    ScanIndexForward=False,
    Limit=20,
    ReturnConsumedCapacity="INDEXES",
)
items = [{name: value["S"] for name, value in item.items()} for item in reversed(answer["Items"])]
json.dump({"items": items, "count": len(items), "consumed_capacity": answer["ConsumedCapacity"]}, sys.stdout)
