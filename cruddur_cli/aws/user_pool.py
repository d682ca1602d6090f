"""The Cognito user pool: who is in it, all pages; and the demo pool of the embedded stack."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..aws_client import client as aws_client
from ..aws_client.client import Endpoint
from ..errors import BadInput, NotConfigured, NotFound, Refused

if TYPE_CHECKING:
    import boto3

DEMO_POOL = "cruddur-demo"
_DEMO_CLIENT = "cruddur-demo"
# The password of all people in the demo pool, which is on this machine only and holds no real account.
DEMO_PASSWORD = "Cruddur-demo-1"
_PAGE = 60  # "ListUsers": at most 60 a page


@dataclass(frozen=True)
class Identity:
    """One user of the pool; ``handle`` is the attribute ``preferred_username``, which some people lack."""

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


@contextmanager
def opened(pool: str | None = None, *, client: Any = None, session: boto3.Session | None = None) -> Iterator[Cognito]:
    """The user pool with that id, over a ``cognito-idp`` client of boto3 or a client of a session's.

    Without an id it is the only pool, or the demo pool. A client that was given stays open. Raises NotConfigured
    without client and session, NotFound without a pool.
    """
    if client is None and session is None:
        raise NotConfigured("A user pool needs a client or a session of boto3.")
    given = client if client is not None else session.client("cognito-idp")  # type: ignore[union-attr]
    try:
        with aws_client.lent(given) as at:
            yield Cognito(given, at, pool or require_pool(given, at))
    finally:
        if client is None:
            given.close()


def identities(cognito: Cognito) -> Iterator[Identity]:
    """All people in the pool, from all pages; a page may be empty and still have a next one.

    All attributes are asked for: naming ``preferred_username`` fails where one user has none. Raises NotFound for a
    missing pool, Refused where the service hands out the same page again.
    """
    params: dict[str, Any] = {"UserPoolId": cognito.pool, "Limit": _PAGE}
    seen: set[str] = set()
    while True:
        answer = aws_client.call(cognito.client, "list_users", params, at=cognito.at)
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
    created = user.get("UserCreateDate")
    if isinstance(created, (int, float)):  # seconds, as every time of this protocol; a client of boto3 gives the time
        created = datetime.fromtimestamp(created, UTC)
    return Identity(
        handle=attributes.get("preferred_username") or None,
        sub=attributes.get("sub") or "",
        username=user.get("Username", ""),
        email=attributes.get("email"),
        status=user.get("UserStatus", ""),
        enabled=bool(user.get("Enabled")),
        created_at=created,
    )


def pools(client: Any, at: Endpoint) -> dict[str, str]:
    """The name of each user pool by its id."""
    params: dict[str, Any] = {"MaxResults": _PAGE}
    found: dict[str, str] = {}
    while True:
        answer = aws_client.call(client, "list_user_pools", params, at=at)
        found |= {str(pool["Id"]): str(pool.get("Name", "")) for pool in answer.get("UserPools", [])}
        if not answer.get("NextToken"):
            return found
        params["NextToken"] = answer["NextToken"]


def find_pool(client: Any, at: Endpoint, name: str) -> str | None:
    """The id of the pool with that name, the only pool where there is just one, else None."""
    found = pools(client, at)
    named = [pool for pool, its_name in found.items() if its_name == name]
    return named[0] if named else next(iter(found)) if len(found) == 1 else None


def require_pool(client: Any, at: Endpoint) -> str:
    """The id of the demo pool, or of the only pool. Raises NotFound if there are several or none."""
    pool = find_pool(client, at, DEMO_POOL)
    if pool is None:
        raise NotFound(
            f"{at.label} has no pool {DEMO_POOL!r}, and not exactly one other user pool.",
            hint="set AWS_COGNITO_USER_POOL_ID, or create the demo pool with `cruddur setup`",
            code="pool_not_found",
        )
    return pool


def make_demo_pool(client: Any, at: Endpoint) -> tuple[str, bool]:
    """The demo pool's id, and whether the pool or its app client was created just now."""
    pool = find_pool(client, at, DEMO_POOL)
    made = pool is None
    if pool is None:
        answer = aws_client.call(client, "create_user_pool", {"PoolName": DEMO_POOL}, at=at)
        pool = str(answer["UserPool"]["Id"])
    if app_client(Cognito(client, at, pool)) is None:
        flows = ["USER_PASSWORD_AUTH", "ADMIN_USER_PASSWORD_AUTH", "USER_SRP_AUTH", "REFRESH_TOKEN_AUTH"]
        params = {
            "UserPoolId": pool,
            "ClientName": _DEMO_CLIENT,
            "ExplicitAuthFlows": [f"ALLOW_{flow}" for flow in flows],
            "PreventUserExistenceErrors": "ENABLED",
        }
        aws_client.call(client, "create_user_pool_client", params, at=at)
        made = True
    return pool, made


def app_client(cognito: Cognito) -> str | None:
    """The id of the demo pool's app client, which has no secret; None if it does not exist."""
    params = {"UserPoolId": cognito.pool, "MaxResults": _PAGE}
    answer = aws_client.call(cognito.client, "list_user_pool_clients", params, at=cognito.at)
    found = [each["ClientId"] for each in answer.get("UserPoolClients", []) if each.get("ClientName") == _DEMO_CLIENT]
    return str(found[0]) if found else None


@dataclass(frozen=True)
class Token:
    """An access token of the demo pool: whose it is, and when it expires."""

    handle: str
    access_token: str
    expires_at: datetime


def token(cognito: Cognito, handle: str) -> Token:
    """An access token for a person of the demo pool, who signs in with the demo password.

    Raises NotFound for a handle that is not in the pool or a pool without app client, Refused where the person has
    another password.
    """
    if not handle.strip():
        raise BadInput("The handle is empty.", hint="cruddur cognito list-users")
    people = {identity.handle: identity for identity in identities(cognito) if identity.handle}
    if handle not in people:
        import difflib

        near = difflib.get_close_matches(handle.lower(), people, 1, 0.5)
        raise NotFound(
            f"There is no user {handle!r} in the demo user pool." + (f" Did you mean {near[0]!r}?" if near else ""),
            details=f"There are: {', '.join(sorted(people))}" if people else "The pool has no users.",
            hint=f"cruddur cognito token {near[0]}" if near else "cruddur setup",
            code="user_not_found",
            fields={"handles": sorted(people)},
        )
    client_id = app_client(cognito)
    if client_id is None:
        raise NotFound("The demo user pool has no app client.", hint="cruddur setup", code="client_not_found")
    params = {
        "UserPoolId": cognito.pool,
        "ClientId": client_id,
        "AuthFlow": "ADMIN_USER_PASSWORD_AUTH",
        "AuthParameters": {"USERNAME": people[handle].username, "PASSWORD": DEMO_PASSWORD},
    }
    try:
        answer = aws_client.call(cognito.client, "admin_initiate_auth", params, at=cognito.at)
    except Refused as error:
        if error.fields.get("aws_code") != "NotAuthorizedException":
            raise
        raise Refused(
            f"{handle} cannot sign in with the demo password: it was changed, or the account is disabled.",
            hint="sign in through the application",
            code="sign_in_refused",
        ) from error
    result = answer.get("AuthenticationResult")
    if not result:
        raise Refused(
            f"{handle} cannot sign in yet: Cognito asks for {answer.get('ChallengeName')}.",
            hint="cruddur setup",
            code="sign_in_refused",
        )
    payload = result["AccessToken"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return Token(handle, result["AccessToken"], datetime.fromtimestamp(claims["exp"], UTC))


def add_people(cognito: Cognito, people: Sequence[tuple[str, str, str]]) -> int:
    """Put (handle, display name, e-mail) into the demo pool where the handle is missing; returns how many.

    All of them can then sign in with the demo password, except people who chose their own.
    """
    there = {identity.handle: identity for identity in identities(cognito)}
    added = 0
    for handle, name, email in people:
        if handle in there:
            if there[handle].status == "FORCE_CHANGE_PASSWORD":
                _set_password(cognito, there[handle].username)
            continue
        attributes = {"preferred_username": handle, "name": name, "email": email, "email_verified": "true"}
        params = {
            "UserPoolId": cognito.pool,
            "Username": handle,
            "MessageAction": "SUPPRESS",
            "UserAttributes": [{"Name": key, "Value": value} for key, value in attributes.items()],
        }
        try:
            aws_client.call(cognito.client, "admin_create_user", params, at=cognito.at)
        except Refused as error:
            if error.fields.get("aws_code") != "UsernameExistsException":
                raise
            continue
        _set_password(cognito, handle)
        added += 1
    return added


def _set_password(cognito: Cognito, username: str) -> None:
    params = {"UserPoolId": cognito.pool, "Username": username, "Password": DEMO_PASSWORD, "Permanent": True}
    aws_client.call(cognito.client, "admin_set_user_password", params, at=cognito.at)
