"""Which store the settings name, with what runs on this machine: a server or an endpoint, and whether it is remote."""

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

# What one store alone needs is imported where that store is named: no command pays for the others.
if TYPE_CHECKING:
    from psycopg import Connection

    from ...local import stack
    from ...postgres import connection

# What the names of every partition's endpoints end in ("AWS General Reference", and botocore's partitions.json).
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
    """The PostgreSQL database of this environment; starts the embedded one where none is named.

    Raises NotConfigured.
    """
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
        started = _embedded(s, aws=False).postgres_url
        assert started is not None
        found = connection.parse_url(started, origin="the embedded PostgreSQL")
        parameters = {**found, **parameters, **{name: found[name] for name in ("host", "port", "password")}}
    else:
        parameters = connection.completed(parameters)
    address = str(parameters.get("hostaddr") or "")
    said = str(parameters.get("host") or address or "localhost")
    # A name of production that does not resolve must not become a database on this machine.
    host = said if s.prod or address else resolved(said)
    if parameters.get("host"):
        parameters["host"] = host
    at = connection.Server.of(parameters)
    why = f" ({origin} says {said}, which does not resolve here)" if host == "localhost" != said else ""
    return replace(
        at,
        label=f"database {at.database!r} on the embedded PostgreSQL{why}" if embedded else f"{at.label}{why}",
        embedded=embedded,
        read_only=s.dry_run,
        wait_s=s.wait_s,
        statement_timeout_s=s.statement_timeout_s,
        advice="" if embedded or s.prod or is_remote(at.host, at.address) else _start_or_leave(origin),
    )


def _start_or_leave(origin: str) -> str:
    """What to do about a store of this machine that does not answer; ``origin`` is the setting that names it."""
    if "/" in origin:
        return f"start the server, or change the address in {origin}"
    return f"start the server, or `unset {origin}` to use the embedded engine"


def message_endpoint(s: Settings) -> aws_client.Endpoint:
    """Where DynamoDB is; starts the embedded one where none is named and none answers on localhost:8000."""
    label = origin = ""
    if s.prod:
        url, embedded = s.dynamodb_endpoint, False
    elif s.dynamodb_endpoint or s.aws_endpoint:
        name = "dynamodb_endpoint" if s.dynamodb_endpoint else "aws_endpoint"
        named, origin = getattr(s, name), s.origins[name]
        url, embedded = _local_url(named, origin), False
        if addresses.is_aws(url):
            url, embedded = _embedded_aws(s), True
        elif url != named:
            label = f"DynamoDB at {url} ({origin} says {urlsplit(named).hostname}, which does not resolve here)"
    elif _answers(_local_url(s.local_dynamodb, s.origins["local_dynamodb"])):
        url, embedded = s.local_dynamodb, False
    else:
        url, embedded = _embedded_aws(s), True
    # Rules differ by region and key on some engines; the embedded one must show the same tables with any variables set.
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
        advice=_start_or_leave(origin) if origin and not is_remote(urlsplit(url or "").hostname or "") else "",
    )


def _answers(url: str) -> bool:
    """Whether a DynamoDB answers there. One that is not on this machine or its network is not even asked."""
    if is_remote(urlsplit(url).hostname or ""):
        return False
    return aws_client.speaks(url, "dynamodb", "DynamoDB_20120810.ListTables", "{}", "TableNames")


def answers_as_dynamodb(url: str) -> bool:
    """Whether a DynamoDB of this machine answers there. No request leaves the machine, and a silent server is none."""
    try:
        return _answers(url)
    except (CruddurError, ValueError):
        return False


def pool_endpoint(s: Settings) -> aws_client.Endpoint:
    """Where the user pool is. A plain AWS_ENDPOINT_URL counts only where it answers as Cognito."""
    if s.prod:
        return _pool_at(s, s.cognito_endpoint)
    if s.cognito_endpoint:
        url = _local_url(s.cognito_endpoint, s.origins["cognito_endpoint"])
        return _embedded_pool(s) if addresses.is_aws(url) else _pool_at(s, url)
    if s.aws_endpoint:
        url = _local_url(s.aws_endpoint, s.origins["aws_endpoint"])
        if addresses.is_aws(url):
            return _embedded_pool(s, else_aws=True)
        asked = "AWSCognitoIdentityProviderService.ListUserPools"
        if aws_client.speaks(url, "cognito-idp", asked, '{"MaxResults":1}', "UserPools"):
            return _pool_at(s, url)
    return _pool_at(s, None) if s.user_pool_id else _embedded_cognito(s)


def pool_endpoint_if_any(s: Settings) -> aws_client.Endpoint | None:
    """``pool_endpoint`` for what makes the demo pool and names it; None where the extra ``local`` is not installed.

    A pool of before a reset, which a shell's variables still name, counts as the demo pool.
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
    """Where the pool is, when an endpoint variable names the embedded stack.

    The pool that is named is the demo pool or another one of the stack. Where it is neither, ``else_aws`` says that the
    variable was meant for DynamoDB, and the pool is in AWS. Raises NotFound without it.
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
    """A pool's id begins with its region, which need not be the one of the other stores."""
    return s.user_pool_id.partition("_")[0] if s.user_pool_id and "_" in s.user_pool_id else s.region


def account_endpoint(s: Settings, service: str) -> aws_client.Endpoint:
    """Where EC2 or RDS is: AWS, unless their own variable names another. The plain AWS_ENDPOINT_URL never counts."""
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
    """Where a service of production is, read only."""
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
    """The embedded engines that are not ruled out, started where they do not run.

    Raises CannotConnect, with the engine in ``fields``, where it does not run and this command starts none.
    """
    from ...local import stack

    if not s.starts_engines:
        found = stack.running(**which)
        for name, wanted, where in (("PostgreSQL", "postgres", found.postgres_url), ("AWS", "aws", found.aws_endpoint)):
            if which.get(wanted, True) and where is None:
                raise CannotConnect(
                    f"The embedded {name} does not run.",
                    hint="cruddur local up",
                    code="engine_stopped",
                    fields={"engine": name},
                )
        return found
    return stack.up(**which, wait_s=max(stack.WAIT_S, s.wait_s), say=lambda text: output.note(s, text))


def _local_url(url: str, origin: str) -> str:
    """An endpoint variable's URL, with a compose name replaced where it does not resolve.

    Raises NotConfigured, Protected.
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
    found = resolved(host)
    if found == host:
        return url
    return f"{parts.scheme}://{found}" + (f":{port}" if port else "") + parts.path


def is_far(at: aws_client.Endpoint) -> bool:
    """Whether a service is AWS's, or on a host that is not this machine or its network."""
    return not at.embedded and (at.url is None or is_remote(urlsplit(at.url).hostname or ""))


def is_foreign(at: connection.Server) -> bool:
    """Whether a database is on a host that is not this machine or its network, or on RDS, behind a tunnel say.

    RDS is asked, once a command. Raises what ``connection.opened`` raises where the server does not answer.
    """
    return not at.embedded and (is_remote(at.host, at.address) or _is_rds(at))


def is_local(conn: Connection[Any]) -> bool:
    """Whether an opened database is neither on RDS, behind a tunnel say, nor marked as production."""
    from ...postgres import database, production_marker

    return not database.is_rds(conn) and not production_marker.is_production(conn)


def _is_rds(at: connection.Server) -> bool:
    from ...postgres import connection, database

    key = (at.host, at.address, at.port, at.user)
    if key not in _ASKED:
        looking = replace(at, read_only=True)
        try:
            with connection.opened(looking) as conn:
                _ASKED[key] = database.is_rds(conn)
        except NotFound:  # the database is yet to be created
            with connection.opened_maintenance(looking) as conn:
                _ASKED[key] = database.is_rds(conn)
    return _ASKED[key]


def is_remote(host: str, address: str = "") -> bool:
    """Whether a host is remote: an AWS name, or an address that is neither loopback nor private.

    Each may be several, with commas, as libpq takes them; ``address`` is where a name leads without being looked up.
    """
    names, addresses = host.split(","), address.split(",") if address else []
    places = [
        (addresses[number] if number < len(addresses) else "") or name for number, name in enumerate(names)
    ] + addresses[len(names) :]
    return any(_is_aws(name) for name in names) or any(_leads_away(place) for place in places)


def _leads_away(host: str) -> bool:
    if not host or host.startswith(("/", "@")):  # a socket on this machine
        return False
    try:
        found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except OSError:
        return True  # it is unknown where it leads
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    return not all(address.is_private or address.is_loopback for address in addresses)


def _is_aws(host: str) -> bool:
    name = host.lower().rstrip(".")
    return any(name == suffix or name.endswith(f".{suffix}") for suffix in AWS_SUFFIXES)


def resolved(host: str) -> str:
    """The host, or ``localhost`` for a compose service's name that means nothing outside of its network."""
    if not host or host == "localhost" or any(sign in host for sign in "/.:,"):
        return host
    try:
        socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except OSError:
        return "localhost"
    return host
