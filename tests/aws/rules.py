"""A security group of the simulated account, and requests about its rules."""

from __future__ import annotations

from typing import Any

from cruddur_cli.aws.group_rules import EC2
from cruddur_cli.aws_client import client as aws_client
from tests.aws.account import Account, Refusal


def opened(account: Account, **more: Any) -> EC2:
    at = aws_client.Endpoint("ec2", account.url, "us-east-1", f"EC2 at {account.url}", **more)
    return EC2(aws_client.open_client(at), at)


def denied(message: str = "You are not authorized to perform this operation.") -> Refusal:
    return Refusal("UnauthorizedOperation", message, 403)
