"""Helpers that use the running stack, and run other processes beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from cruddur_cli.local import home as homes
from cruddur_cli.local import stack
from cruddur_cli.local.engine import Engine
from tests.waiting import until

REPOSITORY = Path(__file__).parents[2]
TABLE = "cruddur-messages"


def client(service: str) -> Any:
    endpoint = stack.aws_endpoint()
    assert endpoint is not None, "the embedded AWS does not answer"
    return _client(service, endpoint)


@cache
def _client(service: str, endpoint: str) -> Any:
    # Making one takes longer than most requests.
    import boto3
    from botocore.config import Config

    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=3, read_timeout=60, proxies={}),
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
    """Start a process that runs ``code`` with this checkout on its path."""
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), **more.pop("env", {})}
    command = [more.pop("python", sys.executable), "-c", code]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def finish(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output


UP = "from cruddur_cli.local import stack; s = stack.up(); print(s.postgres_url, s.aws_endpoint)"


def pids() -> dict[str, int]:
    return {engine.name: engine.pid for engine in stack.status() if engine.pid}


def engine(name: str) -> Engine:
    return next(engine for engine in stack.status() if engine.name == name)


def pid(name: str) -> int:
    found = engine(name).pid
    assert found
    return found


def kill(name: str) -> None:
    os.kill(pid(name), signal.SIGKILL)
    until(lambda: not homes.is_held(homes.locate() / name / "alive"))
    assert engine(name).state == "failed"
