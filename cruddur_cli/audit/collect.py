"""Reads the answers that the checks need from AWS. No other module of the audit sends requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from ..aws_client import client as aws_client
from ..errors import CannotConnect, CruddurError, NotConfigured, NotFound
from .checks.table import TABLE
from .model import Ask, CannotSee, Check, Params, Scope, Seen

Opened = Callable[[str], AbstractContextManager["tuple[Any, aws_client.Endpoint]"]]


def identity(client: Any, at: aws_client.Endpoint) -> tuple[str, str]:
    """The account id of the credentials, and its partition (``aws``, ``aws-cn``)."""
    answer = aws_client.call(client, "get_caller_identity", {}, at=at)
    return str(answer["Account"]), str(answer["Arn"]).split(":")[1]


def services(checks: Sequence[Check]) -> list[str]:
    """The services that the checks read from, in the order of the first request to each."""
    return list(dict.fromkeys(ask.service for check in checks for ask in check.reads))


def collect(checks: Sequence[Check], scope: Scope, opened: Opened, *, say: Callable[[str], None]) -> Seen:
    """The answers to all reads of the checks, each sent once; CannotSee instead of an answer that AWS does not give.

    Raises NotFound if the table is missing, NotConfigured if the credentials are not accepted.
    """
    answers: dict[Ask, list[dict[str, Any]] | CannotSee] = {}
    seen = Seen(scope, answers)
    unreachable: dict[str, CannotSee] = {}
    with ExitStack() as stack:
        clients: dict[str, tuple[Any, aws_client.Endpoint]] = {}
        for ask in dict.fromkeys(ask for check in checks for ask in check.reads):
            if ask.service not in clients:
                say(f"reading {ask.service}")
                clients[ask.service] = stack.enter_context(opened(ask.service))
            if ask.service in unreachable:
                answers[ask] = unreachable[ask.service]
                continue
            try:
                answers[ask] = list(_answers(ask, seen, *clients[ask.service]))
            except CannotSee as unseen:
                answers[ask] = unseen
            except NotConfigured:
                raise
            except CruddurError as error:
                if ask is TABLE and isinstance(error, NotFound):
                    raise _no_table(scope, error) from error
                answers[ask] = _unseen(ask, error)
                if isinstance(error, CannotConnect):
                    unreachable[ask.service] = CannotSee(error.message, error=error)
    return seen


def _no_table(scope: Scope, error: NotFound) -> NotFound:
    return NotFound(
        f"There is no table {scope.table!r} in {scope.region} of account {scope.account}: nothing was checked.",
        hint="cruddur ddb list-tables --prod",
        code="table_not_found",
        fields=error.fields,
    )


def _unseen(ask: Ask, error: CruddurError) -> CannotSee:
    if error.code == "access_denied":
        return CannotSee(f"needs permission {ask.permission}", permission=ask.permission, error=error)
    return CannotSee(error.message, error=error)


def _answers(ask: Ask, seen: Seen, client: Any, at: aws_client.Endpoint) -> Iterator[dict[str, Any]]:
    queue: list[Params] = list(ask.params(seen))
    while queue:
        params = queue.pop(0)
        for answer in _pages(ask, params, client, at):
            yield answer
            following = ask.after(answer) if ask.after else None
            if following is not None:
                queue.append(following)


def _pages(ask: Ask, params: Params, client: Any, at: aws_client.Endpoint) -> Iterator[dict[str, Any]]:
    tokens: set[str] = set()
    while True:
        try:
            answer = aws_client.call(
                client,
                ask.operation,
                params,
                at=at,
                backoff=aws_client.Backoff(busy_s=aws_client.TIMEOUTS.busy_audit, unreachable_s=at.unreachable_s),
            )
        except CruddurError as error:
            if error.fields.get("aws_code") in ask.none:
                return
            raise
        yield answer
        token = answer.get(ask.pages[1]) if ask.pages else None
        if not token or token in tokens:
            return
        tokens.add(token)
        params = {**params, ask.pages[2]: token} if ask.pages else params
