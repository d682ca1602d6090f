"""Talks to the running stack, and runs other processes beside it, as the tests need it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from cruddur_cli.local import stack

REPOSITORY = Path(__file__).parents[2]
TABLE = "cruddur-messages"


def client(service: str) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=stack.aws_endpoint(),
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=3, read_timeout=20, proxies={}),
    )


def make_table(dynamodb: Any, *keys: str) -> None:
    dynamodb.create_table(
        TableName=TABLE,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for key in keys:
        put(dynamodb, key)


def put(dynamodb: Any, key: str) -> None:
    dynamodb.put_item(TableName=TABLE, Item={"pk": {"S": key}})


def keys(dynamodb: Any) -> list[str]:
    return sorted(item["pk"]["S"] for item in dynamodb.scan(TableName=TABLE)["Items"])


def start_python(code: str, **more: Any) -> subprocess.Popen[str]:
    """Another process that runs ``code`` with this checkout on its path."""
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), **more.pop("env", {})}
    command = [more.pop("python", sys.executable), "-c", code]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def finish(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output
