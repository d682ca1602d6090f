"""The Cognito user pool: who is in it, all pages; and the demo pool of the embedded stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .. import json_answers, sdk
from ..errors import NotFound, Refused
from ..sdk import Endpoint

DEMO_POOL = "cruddur-demo"
_PAGE = 60  # "ListUsers": at most 60 a page
_PARSING = "before-parse.cognito-identity-provider.ListUsers"


@dataclass(frozen=True)
class Identity:
    """One person in the user pool; ``handle`` is the attribute ``preferred_username``, and not everybody has one."""

    handle: str | None
    sub: str
    username: str
    email: str | None
    status: str
    enabled: bool
    created_at: datetime | None


@dataclass(frozen=True)
class Cognito:
    """An opened Cognito and the one user pool a command works on."""

    client: Any
    at: Endpoint
    pool: str


def identities(cognito: Cognito) -> Iterator[Identity]:
    """Everybody in the pool, all pages; a page may be empty and still have a next one.

    All attributes are asked for: naming ``preferred_username`` fails where one user has none. Raises NotFound for a
    missing pool, Refused where the service hands out the same page again.
    """
    # botocore's walk through its model is half of the time of a page.
    cognito.client.meta.events.register(_PARSING, json_answers.take, unique_id=_PARSING)
    params: dict[str, Any] = {"UserPoolId": cognito.pool, "Limit": _PAGE}
    seen: set[str] = set()
    while True:
        answer = sdk.call(cognito.client, "list_users", params, at=cognito.at)
        yield from map(_identity, answer.get("Users", []))
        token = answer.get("PaginationToken")
        if not token:
            return
        if token in seen:
            raise Refused(
                f"{cognito.at.label} gave the same page of users again.", hint="run it again", code="repeated_page"
            )
        seen.add(token)
        params["PaginationToken"] = token


def _identity(user: dict[str, Any]) -> Identity:
    attributes = {attribute["Name"]: attribute.get("Value") for attribute in user.get("Attributes", [])}
    created = user.get("UserCreateDate")  # in seconds, as every time of this protocol
    return Identity(
        handle=attributes.get("preferred_username") or None,
        sub=attributes.get("sub") or "",
        username=user.get("Username", ""),
        email=attributes.get("email"),
        status=user.get("UserStatus", ""),
        enabled=bool(user.get("Enabled")),
        created_at=None if created is None else datetime.fromtimestamp(created, UTC),
    )


def find_pool(client: Any, at: Endpoint, name: str) -> str | None:
    """The id of the pool with that name, the only pool where there is just one, else None."""
    params: dict[str, Any] = {"MaxResults": _PAGE}
    pools: list[dict[str, Any]] = []
    while True:
        answer = sdk.call(client, "list_user_pools", params, at=at)
        pools += answer.get("UserPools", [])
        if not answer.get("NextToken"):
            break
        params["NextToken"] = answer["NextToken"]
    named = [pool["Id"] for pool in pools if pool.get("Name") == name]
    if named:
        return str(named[0])
    return str(pools[0]["Id"]) if len(pools) == 1 else None


def require_pool(client: Any, at: Endpoint) -> str:
    """The id of the demo pool, or of the only pool there is. Raises NotFound."""
    pool = find_pool(client, at, DEMO_POOL)
    if pool is None:
        raise NotFound(
            f"There is no user pool on {at.label}.",
            hint="cruddur setup, or set AWS_COGNITO_USER_POOL_ID",
            code="pool_not_found",
        )
    return pool


def make_demo_pool(client: Any, at: Endpoint) -> tuple[str, bool]:
    """The demo pool's id, and whether it was made just now."""
    pool = find_pool(client, at, DEMO_POOL)
    if pool is not None:
        return pool, False
    answer = sdk.call(client, "create_user_pool", {"PoolName": DEMO_POOL}, at=at)
    return str(answer["UserPool"]["Id"]), True


def add_people(cognito: Cognito, people: Sequence[tuple[str, str, str]]) -> int:
    """Put (handle, display name, e-mail) into the pool where the handle is not there yet; comes back with how many."""
    there = {identity.handle for identity in identities(cognito)}
    added = 0
    for handle, name, email in people:
        if handle in there:
            continue
        attributes = {"preferred_username": handle, "name": name, "email": email, "email_verified": "true"}
        params = {
            "UserPoolId": cognito.pool,
            "Username": handle,
            "MessageAction": "SUPPRESS",
            "UserAttributes": [{"Name": key, "Value": value} for key, value in attributes.items()],
        }
        try:
            sdk.call(cognito.client, "admin_create_user", params, at=cognito.at)
        except Refused as error:
            if error.fields.get("aws_code") != "UsernameExistsException":
                raise
            continue
        added += 1
    return added
