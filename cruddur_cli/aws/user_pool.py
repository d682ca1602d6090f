"""Read the users of the Cognito user pool, and create the demo pool of the embedded stack."""

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
# The password of all users of the demo pool. The pool exists only on this machine and has no real accounts.
DEMO_PASSWORD = "Cruddur-demo-1"
_PAGE = 60  # "ListUsers": at most 60 a page


@dataclass(frozen=True)
class Identity:
    """One user of the pool. ``handle`` is the attribute ``preferred_username``, or None if the user has none."""

    handle: str | None
    sub: str
    username: str
    email: str | None
    status: str
    enabled: bool
    created_at: datetime | None


@dataclass(frozen=True)
class Cognito:
    """The opened Cognito service, and the id of the user pool that a command works on."""

    client: Any
    at: Endpoint
    pool: str


@contextmanager
def opened(pool: str | None = None, *, client: Any = None, session: boto3.Session | None = None) -> Iterator[Cognito]:
    """The user pool with the id ``pool``, opened with boto3's ``cognito-idp`` client or with a session.

    Without an id, it is the demo pool or the only pool. The given client stays open; a client of the session is closed
    at the end. Raises NotConfigured without client and session, and NotFound if there is no pool.
    """
    if client is None and session is None:
        raise NotConfigured("A user pool needs a client or a session of boto3.")
    boto3_client = client if client is not None else session.client("cognito-idp")  # type: ignore[union-attr]
    try:
        with aws_client.lent(boto3_client) as at:
            yield Cognito(boto3_client, at, pool or require_pool(boto3_client, at))
    finally:
        if client is None:
            boto3_client.close()


def identities(cognito: Cognito) -> Iterator[Identity]:
    """Yield all users of the pool, from all pages. A page can be empty although more pages follow.

    The request asks for all attributes, because a request for ``preferred_username`` fails if a user has none. Raises
    NotFound if there is no pool, and Refused if the service repeats a page.
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
    if isinstance(created, (int, float)):  # the protocol has seconds; a boto3 client returns a datetime
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
    names: dict[str, str] = {}
    while True:
        answer = aws_client.call(client, "list_user_pools", params, at=at)
        names |= {str(pool["Id"]): str(pool.get("Name", "")) for pool in answer.get("UserPools", [])}
        if not answer.get("NextToken"):
            return names
        params["NextToken"] = answer["NextToken"]


def find_pool(client: Any, at: Endpoint, name: str) -> str | None:
    """The id of the pool with that name, or of the only pool; None if no pool has the name and there are several."""
    names = pools(client, at)
    named = [pool for pool, its_name in names.items() if its_name == name]
    return named[0] if named else next(iter(names)) if len(names) == 1 else None


def require_pool(client: Any, at: Endpoint) -> str:
    """The id of the demo pool, or of the only pool. Raises NotFound if there is no pool, or several other pools."""
    pool = find_pool(client, at, DEMO_POOL)
    if pool is None:
        raise NotFound(
            f"{at.label} has no pool {DEMO_POOL!r}, and not exactly one other user pool.",
            hint="set AWS_COGNITO_USER_POOL_ID, or create the demo pool with `cruddur setup`",
            code="pool_not_found",
        )
    return pool


def make_demo_pool(client: Any, at: Endpoint) -> tuple[str, bool]:
    """Create the demo pool and its app client if they are missing; return its id, and whether one was created.

    If there is exactly one other pool, that pool is used.
    """
    pool = find_pool(client, at, DEMO_POOL)
    created = pool is None
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
        created = True
    return pool, created


def app_client(cognito: Cognito) -> str | None:
    """The id of the demo pool's app client, which has no secret; None if there is none."""
    params = {"UserPoolId": cognito.pool, "MaxResults": _PAGE}
    answer = aws_client.call(cognito.client, "list_user_pool_clients", params, at=cognito.at)
    ids = [each["ClientId"] for each in answer.get("UserPoolClients", []) if each.get("ClientName") == _DEMO_CLIENT]
    return str(ids[0]) if ids else None


@dataclass(frozen=True)
class Token:
    """An access token of the demo pool, with the handle of its user and the time at which it expires."""

    handle: str
    access_token: str
    expires_at: datetime


def token(cognito: Cognito, handle: str) -> Token:
    """Sign in a user of the demo pool with the demo password; return the access token.

    Raises BadInput for an empty handle, NotFound if the handle is not in the pool or the pool has no app client, and
    Refused if the user has another password or cannot sign in yet.
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
    """Add the missing ones of ``people`` (handle, display name, e-mail) to the demo pool; return how many were added.

    All of them can then sign in with the demo password, except users who have set another one.
    """
    existing = {identity.handle: identity for identity in identities(cognito)}
    added = 0
    for handle, name, email in people:
        if handle in existing:
            if existing[handle].status == "FORCE_CHANGE_PASSWORD":
                _set_password(cognito, existing[handle].username)
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
