"""Owns the records of the audit: a check, the reads that it needs, their answers, and its finding."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

PASS, FAIL, UNSEEN, ACCEPTED = "pass", "fail", "cannot see", "accepted"
SEVERITIES = ("critical", "high", "medium", "low")

Params = Mapping[str, Any]


class CannotSee(Exception):
    """A check has no answer to decide from. ``reason`` says why; ``permission`` is the missing IAM permission."""

    def __init__(self, reason: str, *, permission: str | None = None, error: Exception | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permission = permission
        self.error = error


@dataclass(frozen=True)
class Scope:
    """What is audited: account, region, and the names of Cruddur's resources; None for one that is not known."""

    table: str
    region: str
    account: str
    partition: str
    now: datetime
    user_pool_id: str | None = None
    db_instance: str | None = None
    security_group_id: str | None = None
    vpc_id: str | None = None
    function: str = "cruddur-stream"

    @property
    def table_arn(self) -> str:
        """The table's ARN, computed without a request."""
        return f"arn:{self.partition}:dynamodb:{self.region}:{self.account}:table/{self.table}"

    def cruddur(self, command: str) -> str:
        """A command of this program for the table."""
        return f"cruddur {command} --table {self.table} --prod"

    def aws(self, command: str) -> str:
        """A command of the AWS CLI for this region."""
        return f"aws {command} --region {self.region}"


@dataclass(frozen=True, eq=False)
class Ask:
    """One kind of read: the operation, its parameters, and the IAM permission that it needs.

    ``params`` returns the parameters of each request, from the scope and the answers to the reads in ``needs``; it may
    raise CannotSee. ``after`` returns the parameters of a request that follows an answer, None for no request.
    ``pages`` are the answer's field with the list, its field with the token of the next page, and the parameter for
    that token. An error code in ``none`` means that nothing exists: the answer is empty.
    """

    service: str
    operation: str
    permission: str
    params: Callable[[Seen], Iterable[Params]]
    needs: tuple[Ask, ...] = ()
    after: Callable[[Params], Params | None] | None = None
    pages: tuple[str, str, str] | None = None
    none: frozenset[str] = frozenset()

    @property
    def closure(self) -> tuple[Ask, ...]:
        """All reads that this one needs, each once, and then this one."""
        before = [ask for needed in self.needs for ask in needed.closure]
        return tuple(dict.fromkeys([*before, self]))


Answers = Mapping[Ask, "list[dict[str, Any]] | CannotSee"]


class Seen:
    """The answers that were collected. A check that uses a missing answer ends with CannotSee."""

    def __init__(self, scope: Scope, answers: Answers) -> None:
        self.scope = scope
        self._answers = answers

    def all(self, ask: Ask) -> list[dict[str, Any]]:
        """The answers to all requests of this kind, in their order. Raises CannotSee."""
        answers = self._answers[ask]
        if isinstance(answers, CannotSee):
            raise answers
        return answers

    def one(self, ask: Ask) -> dict[str, Any]:
        """The answer to the first request of this kind; empty without a request. Raises CannotSee."""
        answers = self.all(ask)
        return answers[0] if answers else {}

    def listed(self, ask: Ask) -> list[Any]:
        """The entries in all pages of a read with ``pages``. Raises CannotSee."""
        assert ask.pages is not None
        return [entry for answer in self.all(ask) for entry in answer.get(ask.pages[0]) or []]


@dataclass(frozen=True)
class Verdict:
    """The decision of a check: the evidence, and for a failure the command that fixes it."""

    passed: bool
    evidence: str
    remedy: str | None = None


def passed(evidence: str) -> Verdict:
    """The verdict that the check passes."""
    return Verdict(True, evidence)


def failed(evidence: str, *, remedy: str) -> Verdict:
    """The verdict that the check fails; ``remedy`` is the command that fixes it."""
    return Verdict(False, evidence, remedy)


@dataclass(frozen=True)
class Check:
    """One question about the account.

    ``controls`` are controls of AWS Security Hub (``Security Hub DynamoDB.6``), rules of AWS Config, or else titles of
    AWS pages. ``asks`` are the reads that ``decide`` uses. ``resource`` returns the ARN that the finding is about.
    """

    name: str
    title: str
    severity: str
    controls: tuple[str, ...]
    asks: tuple[Ask, ...]
    resource: Callable[[Scope], str]
    decide: Callable[[Seen], Verdict]

    @property
    def reads(self) -> tuple[Ask, ...]:
        """All reads that this check needs, each after those that it depends on."""
        return tuple(dict.fromkeys(ask for named in self.asks for ask in named.closure))

    @property
    def permissions(self) -> tuple[str, ...]:
        """The IAM actions that this check needs."""
        return tuple(dict.fromkeys(ask.permission for ask in self.reads))


@dataclass(frozen=True)
class Finding:
    """The finding of one check: ``result`` is ``pass``, ``fail``, ``cannot see`` or ``accepted``."""

    check: str
    result: str
    severity: str
    title: str
    resource: str
    evidence: str
    remedy: str | None
    permission: str | None
    controls: tuple[str, ...]
    accepted_reason: str | None = None
    accepted_until: str | None = None


def evaluate(check: Check, seen: Seen) -> Finding:
    """The finding of a check from the answers. Pure: it depends on the answers alone."""
    remedy = permission = None
    try:
        verdict = check.decide(seen)
        result, evidence, remedy = (PASS if verdict.passed else FAIL), verdict.evidence, verdict.remedy
    except CannotSee as unseen:
        result, evidence, permission = UNSEEN, unseen.reason, unseen.permission
    return Finding(
        check=check.name,
        result=result,
        severity=check.severity,
        title=check.title,
        resource=check.resource(seen.scope),
        evidence=evidence,
        remedy=remedy,
        permission=permission,
        controls=check.controls,
    )


def document(text: object) -> dict[str, Any]:
    """A policy as an object: some services return JSON text, for others botocore parses it. Raises CannotSee."""
    if isinstance(text, str):
        try:
            text = json.loads(text)
        except ValueError as error:
            raise CannotSee("The policy is no JSON.") from error
    return text if isinstance(text, dict) else {}


def day(moment: datetime) -> str:
    """The day of a moment in UTC, such as 2026-11-20."""
    return f"{moment.astimezone(UTC):%Y-%m-%d}"


def minute(moment: datetime) -> str:
    """A moment in UTC to the minute, such as 2026-11-20 10:00Z."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%MZ}"


def either(names: Sequence[str], *, none: str = "none") -> str:
    """The names separated by commas, or ``none`` without names."""
    return ", ".join(names) or none
