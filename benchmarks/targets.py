"""Provides stacks, engines and tables for the measurements, and deletes them afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import CRUDDUR, Target

_NOWHERE = "http://127.0.0.1:9"  # no DynamoDB answers there


@contextmanager
def stack() -> Iterator[Target]:
    """A target with an empty home directory, in which commands may start a stack; it is deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="cruddur-benchmark-") as folder:
        Path(folder).chmod(0o711)  # so that PostgreSQL's account can enter it if root runs this
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": folder,
            "CRUDDUR_HOME": f"{folder}/stack",
            "CRUDDUR_LOCAL_DYNAMODB": _NOWHERE,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "LC_ALL": "C.UTF-8",
            "DDB_MESSAGE_TABLE": "cruddur-messages",
        }
        try:
            yield Target(env, folder)
        finally:
            Target(env, folder).cruddur("local", "reset", "--yes")


def endpoints(target: Target) -> dict[str, str]:
    """The addresses of the stack's engines, by name."""
    status = target.printed(*CRUDDUR, "local", "status", "-o", "json")
    return {engine["name"]: engine["endpoint"] for engine in json.loads(status)["items"]}


def dynamodb_local() -> str | None:
    """The endpoint of the DynamoDB Local that TEST_DYNAMODB_LOCAL names; None without one."""
    return os.environ.get("TEST_DYNAMODB_LOCAL")


@contextmanager
def engine() -> Iterator[tuple[str, Target]]:
    """The name of the DynamoDB for many items, and a target with it and a seeded database.

    It is DynamoDB Local if there is one, because it is faster and returns consumed capacity; else the embedded engine.
    """
    with stack() as target:
        other = dynamodb_local()
        target.cruddur(*(["db", "setup"] if other else ["setup"]))
        name = "DynamoDB Local" if other else "the embedded engine"
        yield name, target.having(AWS_ENDPOINT_URL_DYNAMODB=other or endpoints(target)["aws"])


@contextmanager
def table(target: Target) -> Iterator[Target]:
    """A target with an empty table of its own, which is dropped at the end."""
    own = target.having(DDB_MESSAGE_TABLE=f"benchmark-{uuid.uuid4().hex[:8]}")
    own.cruddur("ddb", "schema-load")
    try:
        yield own
    finally:
        own.cruddur("ddb", "drop", "--yes")


@contextmanager
def endless() -> Iterator[str]:
    """The endpoint of a DynamoDB that stores nothing, ``peers/endless.py``."""
    file = Path(__file__).parent / "peers" / "endless.py"
    with subprocess.Popen([sys.executable, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdin
        assert one.stdout
        yield f"http://127.0.0.1:{one.stdout.readline().strip()}"
        one.stdin.close()


def aws_cli() -> str | None:
    """The path of the AWS CLI, from AWS_CLI or PATH; None if there is none that runs."""
    program = os.environ.get("AWS_CLI") or shutil.which("aws")
    if program is None:
        return None
    return program if subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0 else None
