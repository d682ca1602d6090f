"""Answers are collected once, page by page; a missing answer does not stop the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cruddur_cli.audit.collect import collect, identity, services
from cruddur_cli.audit.model import Ask, CannotSee, Check, Seen, passed
from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.errors import NotConfigured
from tests import faults
from tests.audit.findings import SCOPE

PAGED = Ask(
    "dynamodb",
    "list_backups",
    "dynamodb:ListBackups",
    lambda _: [{"TableName": "t"}],
    pages=("BackupSummaries", "LastEvaluatedBackupArn", "ExclusiveStartBackupArn"),
)
PARENTS = Ask(
    "organizations",
    "list_parents",
    "organizations:ListParents",
    lambda _: [{"ChildId": "123456789012"}],
    after=lambda answer: {"ChildId": answer["Parents"][0]["Id"]} if answer["Parents"][0]["Type"] != "ROOT" else None,
)
LATER = Ask("ec2", "describe_vpcs", "ec2:DescribeVpcs", lambda seen: [seen.one(PAGED)], needs=(PAGED,))


def check(*asks: Ask) -> Check:
    return Check("x", "X", "low", ("Y",), asks, lambda scope: scope.table_arn, lambda _: passed("fine"))


class Answering:
    """Clients with prepared answers, in order; they record the requests."""

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = answers
        self.sent: list[tuple[str, dict[str, Any]]] = []

    @contextmanager
    def opened(self, service: str) -> Iterator[tuple[Any, aws_client.Endpoint]]:
        at = aws_client.Endpoint(service, None, "eu-central-1", service, own=True, read_only=True, unreachable_s=0.1)
        yield self, at

    def __getattr__(self, operation: str) -> Any:
        def ask(**params: Any) -> Any:
            self.sent.append((operation, params))
            answer = self.answers[operation].pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return ask


def gather(answering: Answering, *asks: Ask) -> Seen:
    return collect([check(*asks)], SCOPE, answering.opened, say=lambda _: None)


def test_all_pages_are_read_and_a_repeated_token_ends_them() -> None:
    def page(name: str, token: str | None) -> dict[str, Any]:
        return {"BackupSummaries": [{"BackupName": name}], "LastEvaluatedBackupArn": token}

    answering = Answering(list_backups=[page("a", "1"), page("b", "2"), page("c", "2"), page("d", None)])
    seen = gather(answering, PAGED)
    assert [one["BackupName"] for one in seen.listed(PAGED)] == ["a", "b", "c"]
    assert [params.get("ExclusiveStartBackupArn") for _, params in answering.sent] == [None, "1", "2"]


def test_parents_are_followed_up_to_the_root() -> None:
    unit = {"Parents": [{"Id": "ou-1", "Type": "ORGANIZATIONAL_UNIT"}]}
    answering = Answering(list_parents=[unit, {"Parents": [{"Id": "r-1", "Type": "ROOT"}]}])
    assert len(gather(answering, PARENTS).all(PARENTS)) == 2
    assert [params["ChildId"] for _, params in answering.sent] == ["123456789012", "ou-1"]


def test_a_read_without_the_answer_that_it_needs_is_not_sent() -> None:
    answering = Answering(list_backups=[_denied("ListBackups")])
    seen = gather(answering, LATER)
    for ask in (PAGED, LATER):
        with pytest.raises(CannotSee) as caught:
            seen.all(ask)
        assert caught.value.permission == "dynamodb:ListBackups"
    assert [operation for operation, _ in answering.sent] == ["list_backups"]


def test_a_service_out_of_reach_is_tried_for_one_read_only() -> None:
    other = Ask("dynamodb", "list_tables", "dynamodb:ListTables", lambda _: [{}])
    with aws_client.opened(
        aws_client.Endpoint("dynamodb", faults.refused_url(), "us-east-1", "DynamoDB", unreachable_s=0.1)
    ) as client:
        sent: list[str] = []
        client.meta.events.register("before-send.*.*", lambda **_: sent.append("x"))

        @contextmanager
        def opened(_: str) -> Iterator[tuple[Any, aws_client.Endpoint]]:
            yield client, aws_client.Endpoint("dynamodb", "x", "us-east-1", "DynamoDB", unreachable_s=0.0)

        seen = collect([check(PAGED, other)], SCOPE, opened, say=lambda _: None)
    assert len(sent) == 1
    with pytest.raises(CannotSee, match="DynamoDB cannot be reached"):
        seen.all(other)


def test_credentials_that_are_not_accepted_end_everything() -> None:
    error = _client_error("UnrecognizedClientException", "GetCallerIdentity")
    answering = Answering(get_caller_identity=[error], list_backups=[error])
    with answering.opened("sts") as (client, at), pytest.raises(NotConfigured):
        identity(client, at)
    with pytest.raises(NotConfigured):
        gather(answering, PAGED)


def test_the_account_and_its_partition_are_known() -> None:
    answer = {"Account": "123456789012", "Arn": "arn:aws-cn:sts::123456789012:assumed-role/me/x"}
    with Answering(get_caller_identity=[answer]).opened("sts") as (client, at):
        assert identity(client, at) == ("123456789012", "aws-cn")


def test_every_service_is_named_once() -> None:
    assert services([check(PAGED), check(LATER)]) == ["dynamodb", "ec2"]


def _client_error(code: str, operation: str) -> Exception:
    from botocore.exceptions import ClientError

    return ClientError({"Error": {"Code": code, "Message": "injected"}}, operation)


def _denied(operation: str) -> Exception:
    return _client_error("AccessDeniedException", operation)
