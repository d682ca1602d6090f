"""What a check is: the reads it needs, how it decides from their answers, and what it found."""

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
    """A check has no answer to decide from: ``reason`` says why, ``permission`` what would have to be allowed."""

    def __init__(self, reason: str, *, permission: str | None = None, error: Exception | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permission = permission
        self.error = error


@dataclass(frozen=True)
class Scope:
    """What is audited: the account and region, and the names of what Cruddur has there."""

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
        """The table's ARN, known without asking for it."""
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

    ``params`` gives the parameters of each request, from the scope and the answers to what it ``needs``; it may raise
    CannotSee. ``after`` gives those of a request that follows from an answer. ``pages`` names the list in the answer,
    the token that the answer has for the next page, and the parameter that takes it. A code in ``none`` means that
    there is none, which is an answer too: an empty one.
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
        """This read after those that it needs, each once."""
        found = [ask for needed in self.needs for ask in needed.closure]
        return tuple(dict.fromkeys([*found, self]))


Answers = Mapping[Ask, "list[dict[str, Any]] | CannotSee"]


class Seen:
    """The answers that were collected; a check that asks for one that could not be had ends with CannotSee."""

    def __init__(self, scope: Scope, answers: Answers) -> None:
        self.scope = scope
        self._answers = answers

    def all(self, ask: Ask) -> list[dict[str, Any]]:
        """What every request of this kind answered, in their order. Raises CannotSee."""
        found = self._answers[ask]
        if isinstance(found, CannotSee):
            raise found
        return found

    def one(self, ask: Ask) -> dict[str, Any]:
        """What the only request of this kind answered; empty where there is none. Raises CannotSee."""
        found = self.all(ask)
        return found[0] if found else {}

    def listed(self, ask: Ask) -> list[Any]:
        """The entries of all pages of one kind of list. Raises CannotSee."""
        assert ask.pages is not None
        return [entry for answer in self.all(ask) for entry in answer.get(ask.pages[0]) or []]


@dataclass(frozen=True)
class Verdict:
    """What a check decided: the evidence, and where it failed the command that fixes it."""

    passed: bool
    evidence: str
    remedy: str | None = None


def passed(evidence: str) -> Verdict:
    """It is as it should be."""
    return Verdict(True, evidence)


def failed(evidence: str, *, remedy: str) -> Verdict:
    """It is not as it should be."""
    return Verdict(False, evidence, remedy)


@dataclass(frozen=True)
class Check:
    """One question about the account.

    ``controls`` are those of AWS Security Hub (``DynamoDB.6``), AWS Config's rules, or else the title of the AWS page
    that asks for it. ``resource`` names what it is about.
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
        """Every read that has to be made before this check can decide, in an order that works."""
        return tuple(dict.fromkeys(ask for named in self.asks for ask in named.closure))

    @property
    def permissions(self) -> tuple[str, ...]:
        """The IAM actions that this check needs."""
        return tuple(dict.fromkeys(ask.permission for ask in self.reads))


@dataclass(frozen=True)
class Finding:
    """What one check found: ``result`` is ``pass``, ``fail``, ``cannot see`` or ``accepted``."""

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
    """What a check finds in the answers; the same answers always give the same finding."""
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
    """A policy as an object: some services give it as JSON text, of others botocore reads it. Raises CannotSee."""
    if isinstance(text, str):
        try:
            text = json.loads(text)
        except ValueError as error:
            raise CannotSee("The policy is no JSON.") from error
    return text if isinstance(text, dict) else {}


def day(moment: datetime) -> str:
    """The day of a moment in UTC, for a sentence."""
    return f"{moment.astimezone(UTC):%Y-%m-%d}"


def minute(moment: datetime) -> str:
    """A moment in UTC, for a sentence."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%MZ}"


def either(names: Sequence[str], *, none: str = "none") -> str:
    """Names for a sentence."""
    return ", ".join(names) or none
