"""Where the measurements happen: a stack, an engine and tables of their own, which go at the end."""

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

_NOWHERE = "http://127.0.0.1:9"


@contextmanager
def stack() -> Iterator[Target]:
    """An empty home, in which a stack may be started."""
    with tempfile.TemporaryDirectory(prefix="cruddur-benchmark-") as folder:
        Path(folder).chmod(0o711)  # for PostgreSQL's account, where root runs this
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
    """Where the engines of the stack listen, by name."""
    status = target.printed(*CRUDDUR, "local", "status", "-o", "json")
    return {engine["name"]: engine["endpoint"] for engine in json.loads(status)["items"]}


def dynamodb_local() -> str | None:
    """The endpoint of a DynamoDB Local, if TEST_DYNAMODB_LOCAL names one."""
    return os.environ.get("TEST_DYNAMODB_LOCAL")


@contextmanager
def engine() -> Iterator[tuple[str, Target]]:
    """The DynamoDB that many items are measured on, by name, and the users of a seeded database: DynamoDB Local where
    there is one, which is the quicker of the two and tells its capacity; else the embedded one."""
    with stack() as target:
        other = dynamodb_local()
        target.cruddur(*(["db", "setup"] if other else ["setup"]))
        name = "DynamoDB Local" if other else "the embedded engine"
        yield name, target.having(AWS_ENDPOINT_URL_DYNAMODB=other or endpoints(target)["aws"])


@contextmanager
def table(target: Target) -> Iterator[Target]:
    """The target with an empty table of its own."""
    own = target.having(DDB_MESSAGE_TABLE=f"benchmark-{uuid.uuid4().hex[:8]}")
    own.cruddur("ddb", "schema-load")
    try:
        yield own
    finally:
        own.cruddur("ddb", "drop", "--yes")


@contextmanager
def endless() -> Iterator[str]:
    """The endpoint of a DynamoDB that keeps nothing, ``peers/endless.py``."""
    file = Path(__file__).parent / "peers" / "endless.py"
    with subprocess.Popen([sys.executable, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdin
        assert one.stdout
        yield f"http://127.0.0.1:{one.stdout.readline().strip()}"
        one.stdin.close()


def aws_cli() -> str | None:
    """The AWS CLI that works here, from AWS_CLI or the path."""
    found = os.environ.get("AWS_CLI") or shutil.which("aws")
    if found is None:
        return None
    return found if subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0 else None
