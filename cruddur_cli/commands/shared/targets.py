"""Finds the store that the settings name, or that runs on this machine: its server or endpoint, and if it is remote."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ... import output
from ...aws_client import client as aws_client
from ...errors import CannotConnect, CruddurError, NotConfigured, NotFound, Protected
from ...local import addresses
from ...settings import Settings

# What one store alone needs is imported where that store is named, so that no command waits for the others.
if TYPE_CHECKING:
    from psycopg import Connection

    from ...local import stack
    from ...postgres import connection

# The host names of AWS end in these, in every partition ("AWS General Reference"; botocore's partitions.json).
AWS_SUFFIXES = (
    "amazonaws.com", "api.aws",
    "amazonaws.com.cn", "api.amazonwebservices.com.cn",
    "amazonaws.eu", "api.amazonwebservices.eu",
    "c2s.ic.gov", "api.aws.ic.gov",
    "sc2s.sgov.gov", "api.aws.scloud",
    "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk",
    "csp.hci.ic.gov", "api.aws.hci.ic.gov",
    "on.aws",
)  # fmt: skip
_ASKED: dict[tuple[str, str, int, str], bool] = {}


def server(s: Settings) -> connection.Server:
    """The PostgreSQL database of the settings; if they name none, the embedded one is started. Raises NotConfigured."""
    from ...postgres import connection

    url, origin = s.connection_url, s.origins["connection_url"]
    if url is None and s.prod:
        raise NotConfigured(
            "PROD_CONNECTION_URL is not set, and --prod never falls back to another database.",
            hint="export PROD_CONNECTION_URL=postgresql://user:password@host:5432/cruddur",
        )
    parameters = {} if url is None else connection.parse_url(url, origin=origin)
    embedded = url is None or (not s.prod and addresses.is_postgres(parameters))
    if embedded:
        embedded_url = _embedded(s, aws=False).postgres_url
        assert embedded_url is not None
        embedded_parameters = connection.parse_url(embedded_url, origin="the embedded PostgreSQL")
        parameters = {
            **embedded_parameters,
            **parameters,
            **{name: embedded_parameters[name] for name in ("host", "port", "password")},
        }
    else:
        parameters = connection.completed(parameters)
    address = str(parameters.get("hostaddr") or "")
    named_host = str(parameters.get("host") or address or "localhost")
    # With --prod, a host that does not resolve must not become a database on this machine.
    host = named_host if s.prod or address else resolved(named_host)
    if parameters.get("host"):
        parameters["host"] = host
    at = connection.Server.of(parameters)
    remark = f" ({origin} says {named_host}, which does not resolve here)" if host == "localhost" != named_host else ""
    return replace(
        at,
        label=f"database {at.database!r} on the embedded PostgreSQL{remark}" if embedded else f"{at.label}{remark}",
        embedded=embedded,
        read_only=s.dry_run,
        wait_s=s.wait_s,
        statement_timeout_s=s.statement_timeout_s,
        advice="" if embedded or s.prod or is_remote(at.host, at.address) else _advice(origin),
    )


def _advice(origin: str) -> str:
    """How to reach a local store that does not answer; ``origin`` is the setting that names its address."""
    if "/" in origin:
        return f"start the server, or change the address in {origin}"
    return f"start the server, or `unset {origin}` to use the embedded engine"


def message_endpoint(s: Settings) -> aws_client.Endpoint:
    """The endpoint of DynamoDB. Starts the embedded one where none is named, and none answers at ``local_dynamodb``."""
    label = origin = ""
    if s.prod:
        url, embedded = s.dynamodb_endpoint, False
    elif s.dynamodb_endpoint or s.aws_endpoint:
        name = "dynamodb_endpoint" if s.dynamodb_endpoint else "aws_endpoint"
        named_url, origin = getattr(s, name), s.origins[name]
        url, embedded = _local_url(named_url, origin), False
        if addresses.is_aws(url):
            url, embedded = _embedded_aws(s), True
        elif url != named_url:
            label = f"DynamoDB at {url} ({origin} says {urlsplit(named_url).hostname}, which does not resolve here)"
    elif _is_dynamodb(_local_url(s.local_dynamodb, s.origins["local_dynamodb"])):
        url, embedded = s.local_dynamodb, False
    else:
        url, embedded = _embedded_aws(s), True
    # Some engines have separate tables for each region and key. The embedded one must have the same tables always.
    region = aws_client.LOCAL_REGION if embedded or (url and not s.region) else s.region
    return aws_client.Endpoint(
        "dynamodb",
        url,
        region,
        "the embedded DynamoDB" if embedded else label,
        embedded,
        s.prod,
        s.dry_run,
        unreachable_s=max(aws_client.TIMEOUTS.unreachable, s.wait_s),
        advice=_advice(origin) if origin and not is_remote(urlsplit(url or "").hostname or "") else "",
    )


def _is_dynamodb(url: str) -> bool:
    """Whether a DynamoDB answers at this URL. A host that is not this machine or its network gets no request."""
    if is_remote(urlsplit(url).hostname or ""):
        return False
    return aws_client.speaks(url, "dynamodb", "DynamoDB_20120810.ListTables", "{}", "TableNames")


def answers_as_dynamodb(url: str) -> bool:
    """Whether a DynamoDB of this machine or its network answers at this URL; False for an error, too."""
    try:
        return _is_dynamodb(url)
    except (CruddurError, ValueError):
        return False


def pool_endpoint(s: Settings) -> aws_client.Endpoint:
    """The endpoint of the user pool. AWS_ENDPOINT_URL is used only where it answers as Cognito."""
    if s.prod:
        return _pool_at(s, s.cognito_endpoint)
    if s.cognito_endpoint:
        url = _local_url(s.cognito_endpoint, s.origins["cognito_endpoint"])
        return _embedded_pool(s) if addresses.is_aws(url) else _pool_at(s, url)
    if s.aws_endpoint:
        url = _local_url(s.aws_endpoint, s.origins["aws_endpoint"])
        if addresses.is_aws(url):
            return _embedded_pool(s, else_aws=True)
        operation = "AWSCognitoIdentityProviderService.ListUserPools"
        if aws_client.speaks(url, "cognito-idp", operation, '{"MaxResults":1}', "UserPools"):
            return _pool_at(s, url)
    return _pool_at(s, None) if s.user_pool_id else _embedded_cognito(s)


def pool_endpoint_if_any(s: Settings) -> aws_client.Endpoint | None:
    """``pool_endpoint`` for a command that creates the demo pool; None where the extra ``local`` is not installed.

    Where variables of the shell name a pool that a reset has deleted, it is the embedded Cognito.
    """
    try:
        return pool_endpoint(s)
    except NotFound as error:
        if error.code != "pool_not_found":
            raise
        return _embedded_cognito(s)
    except NotConfigured as error:
        if error.code != "no_extra":
            raise
        return None


def _embedded_pool(s: Settings, *, else_aws: bool = False) -> aws_client.Endpoint:
    """The endpoint of the user pool, where a variable names the embedded stack as its endpoint.

    The pool of the settings is the demo pool or another pool of the stack. If the stack does not have it, then with
    ``else_aws`` the variable is meant for DynamoDB only, and the pool is in AWS. Without ``else_aws`` it raises
    NotFound.
    """
    from ...aws import user_pool

    at = _embedded_cognito(s)
    if not s.user_pool_id:
        return at
    with aws_client.opened(at, trace=output.trace(s)) as client:
        name = user_pool.pools(client, at).get(s.user_pool_id)
    if name is None and else_aws:
        return _pool_at(s, None)
    if name is None:
        origin = s.origins["user_pool_id"]
        raise NotFound(
            f"There is no user pool {s.user_pool_id} in {at.label} ({origin} names it).",
            hint="unset AWS_COGNITO_USER_POOL_ID; cruddur setup",
            code="pool_not_found",
        )
    return at if name == user_pool.DEMO_POOL else _pool_at(s, at.url)


def _embedded_cognito(s: Settings) -> aws_client.Endpoint:
    return aws_client.Endpoint(
        "cognito-idp",
        _embedded_aws(s),
        aws_client.LOCAL_REGION,
        "the embedded Cognito",
        embedded=True,
        read_only=s.dry_run,
    )


def _pool_at(s: Settings, url: str | None) -> aws_client.Endpoint:
    return aws_client.Endpoint(
        "cognito-idp",
        url,
        _pool_region(s),
        own=s.prod,
        read_only=s.dry_run,
        unreachable_s=max(aws_client.TIMEOUTS.unreachable, s.wait_s),
    )


def _pool_region(s: Settings) -> str | None:
    """The region of the user pool. Its id begins with it, and it can differ from the region of the other stores."""
    return s.user_pool_id.partition("_")[0] if s.user_pool_id and "_" in s.user_pool_id else s.region


def account_endpoint(s: Settings, service: str) -> aws_client.Endpoint:
    """The endpoint of EC2 or RDS: AWS, unless the service's own setting names another. AWS_ENDPOINT_URL is ignored."""
    setting = f"{service}_endpoint"
    url: str | None = getattr(s, setting)
    if url and not s.prod:
        url = _local_url(url, s.origins[setting])
    return aws_client.Endpoint(
        service,
        url,
        s.region,
        own=s.prod,
        read_only=s.dry_run,
        unreachable_s=aws_client.TIMEOUTS.unreachable,
    )


def production_endpoint(s: Settings, service: str) -> aws_client.Endpoint:
    """The read-only endpoint of one service of production."""
    region = _pool_region(s) if service == "cognito-idp" else s.region
    url = {
        "dynamodb": s.dynamodb_endpoint,
        "cognito-idp": s.cognito_endpoint,
        "ec2": s.ec2_endpoint,
        "rds": s.rds_endpoint,
    }.get(service)
    return aws_client.Endpoint(service, url, region, f"{service} at {url or 'AWS'}", own=True, read_only=True)


def _embedded_aws(s: Settings) -> str:
    endpoint = _embedded(s, postgres=False).aws_endpoint
    assert endpoint is not None
    return endpoint


def _embedded(s: Settings, **which: bool) -> stack.Stack:
    """The embedded engines, started where they are not running. ``postgres=False`` or ``aws=False`` leaves one out.

    Where ``starts_engines`` is False, nothing is started: raises CannotConnect, with the engine in ``fields``.
    """
    from ...local import stack

    if not s.starts_engines:
        stack_now = stack.running(**which)
        for name, wanted, url in (
            ("PostgreSQL", "postgres", stack_now.postgres_url),
            ("AWS", "aws", stack_now.aws_endpoint),
        ):
            if which.get(wanted, True) and url is None:
                raise CannotConnect(
                    f"The embedded {name} does not run.",
                    hint="cruddur local up",
                    code="engine_stopped",
                    fields={"engine": name},
                )
        return stack_now
    return stack.up(**which, wait_s=max(stack.WAIT_S, s.wait_s), say=lambda text: output.note(s, text))


def _local_url(url: str, origin: str) -> str:
    """The URL of a local endpoint, with ``localhost`` in place of a compose service's name that does not resolve.

    Raises NotConfigured for a text that is no URL, and Protected for a host of AWS.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or parts.scheme not in {"http", "https"} or "@" in url:
        raise NotConfigured(
            f"{origin} is not the URL of an endpoint.", hint="write a URL such as http://localhost:8000"
        )
    if _is_aws(host):
        raise Protected(
            f"{origin} names AWS itself ({host}), and only --prod may use AWS.",
            hint=f"pass --prod to use AWS, or unset {origin}",
        )
    local_host = resolved(host)
    if local_host == host:
        return url
    return f"{parts.scheme}://{local_host}" + (f":{port}" if port else "") + parts.path


def is_far(at: aws_client.Endpoint) -> bool:
    """Whether a service is AWS, or on a host outside of this machine and its network."""
    return not at.embedded and (at.url is None or is_remote(urlsplit(at.url).hostname or ""))


def is_foreign(at: connection.Server) -> bool:
    """Whether a database is on a host outside of this machine and its network, or on RDS, for example behind a tunnel.

    The server is asked if it is RDS, once in each command. Raises the errors of ``connection.opened``.
    """
    return not at.embedded and (is_remote(at.host, at.address) or _is_rds(at))


def is_local(conn: Connection[Any]) -> bool:
    """Whether an opened database is not on RDS (for example behind a tunnel), and not marked as production."""
    from ...postgres import database, production_marker

    return not database.is_rds(conn) and not production_marker.is_production(conn)


def _is_rds(at: connection.Server) -> bool:
    from ...postgres import connection, database

    key = (at.host, at.address, at.port, at.user)
    if key not in _ASKED:
        read_only = replace(at, read_only=True)
        try:
            with connection.opened(read_only) as conn:
                _ASKED[key] = database.is_rds(conn)
        except NotFound:  # the database is yet to be created
            with connection.opened_maintenance(read_only) as conn:
                _ASKED[key] = database.is_rds(conn)
    return _ASKED[key]


def is_remote(host: str, address: str = "") -> bool:
    """Whether a host is remote: an AWS name, or an address that is neither loopback nor private.

    Both can be several, separated by commas, as libpq accepts them. ``address`` has the addresses of the names, which
    are then not looked up.
    """
    names, addresses = host.split(","), address.split(",") if address else []
    places = [
        (addresses[number] if number < len(addresses) else "") or name for number, name in enumerate(names)
    ] + addresses[len(names) :]
    return any(_is_aws(name) for name in names) or any(_is_public(place) for place in places)


def _is_public(host: str) -> bool:
    if not host or host.startswith(("/", "@")):  # a socket on this machine
        return False
    try:
        entries = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except OSError:
        return True  # a name that does not resolve may be a public one
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in entries]
    return not all(address.is_private or address.is_loopback for address in addresses)


def _is_aws(host: str) -> bool:
    name = host.lower().rstrip(".")
    return any(name == suffix or name.endswith(f".{suffix}") for suffix in AWS_SUFFIXES)


def resolved(host: str) -> str:
    """The host, or ``localhost`` for a name without dots that does not resolve, such as a compose service's."""
    if not host or host == "localhost" or any(sign in host for sign in "/.:,"):
        return host
    try:
        socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except OSError:
        return "localhost"
    return host
