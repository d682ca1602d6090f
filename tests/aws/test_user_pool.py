"""The pages of a user pool can be throttled, empty or repeated. A real client gets simulated answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cruddur_cli.aws.user_pool import Cognito, identities
from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.errors import NotFound, Refused
from tests.conftest import NOWHERE

AT = aws_client.Endpoint("cognito-idp", NOWHERE, "us-east-1", "Cognito")


def user(name: str, **attributes: str) -> dict[str, Any]:
    pairs = [{"Name": key, "Value": value} for key, value in attributes.items()]
    return {"Username": name, "Attributes": pairs, "UserStatus": "CONFIRMED", "Enabled": True}


def answering(
    answer: Callable[[dict[str, Any], int], tuple[int, dict[str, Any]]],
) -> tuple[Cognito, list[dict[str, Any]]]:
    """A real client whose requests are not sent. Each is recorded and answered with a status and a body."""
    from botocore.awsrequest import AWSResponse
    from botocore.compat import HTTPHeaders

    asked: list[dict[str, Any]] = []

    class Raw:
        def __init__(self, body: bytes) -> None:
            self.body = body

        def stream(self, *_: object, **__: object) -> Any:
            yield self.body

    def respond(request: Any, **_: object) -> Any:
        asked.append(json.loads(request.body))
        status, body = answer(asked[-1], len(asked))
        headers = HTTPHeaders.from_dict({"content-type": "application/x-amz-json-1.1"})
        return AWSResponse(request.url, status, headers, Raw(json.dumps(body).encode()))

    client = aws_client.open_client(AT)
    client.meta.events.register("before-send.cognito-idp", respond)
    return Cognito(client, AT, "us-east-1_Pool"), asked


def test_every_page_is_read_even_after_an_empty_one() -> None:
    pages = {None: (["a"], "1"), "1": ([], "2"), "2": (["b", "c"], None)}

    def answer(asked: dict[str, Any], _: int) -> tuple[int, dict[str, Any]]:
        names, token = pages[asked.get("PaginationToken")]
        return 200, {"Users": [user(name) for name in names], **({"PaginationToken": token} if token else {})}

    cognito, asked = answering(answer)
    assert [identity.username for identity in identities(cognito)] == ["a", "b", "c"]
    assert all(one["Limit"] == 60 and "AttributesToGet" not in one for one in asked)


def test_a_missing_or_empty_handle_is_none() -> None:
    found = [user("a", sub="1", preferred_username="andrewbrown"), user("b", sub="2"), user("c", preferred_username="")]
    cognito, _ = answering(lambda *_: (200, {"Users": found}))
    assert [(one.handle, one.sub) for one in identities(cognito)] == [("andrewbrown", "1"), (None, "2"), (None, "")]


def test_five_throttled_requests_are_retried() -> None:
    def answer(_: dict[str, Any], number: int) -> tuple[int, dict[str, Any]]:
        if number <= 5:
            return 400, {"__type": "TooManyRequestsException", "message": "Rate exceeded"}
        return 200, {"Users": [user("a")]}

    cognito, asked = answering(answer)
    assert len(list(identities(cognito))) == 1
    assert len(asked) == 6


@pytest.mark.parametrize("tokens", [["same"], ["one", "two"]])
def test_a_repeated_page_token_is_an_error(tokens: list[str]) -> None:
    def answer(_: dict[str, Any], number: int) -> tuple[int, dict[str, Any]]:
        return 200, {"Users": [user("a")], "PaginationToken": tokens[number % len(tokens)]}

    cognito, asked = answering(answer)
    with pytest.raises(Refused) as caught:
        list(identities(cognito))
    assert caught.value.code == "repeated_page"
    assert len(asked) == len(tokens) + 1


def test_a_missing_pool_is_named() -> None:
    cognito, _ = answering(lambda *_: (400, {"__type": "ResourceNotFoundException", "message": "Pool does not exist."}))
    with pytest.raises(NotFound, match="Pool does not exist"):
        list(identities(cognito))
