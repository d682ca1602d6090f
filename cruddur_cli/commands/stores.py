"""Which store a command talks to: settings and what runs on this machine, made into an opened store."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .. import output, probe, sdk, table_name
from ..aws import group_rules, instance, user_pool
from ..dynamodb import client as message_store
from ..dynamodb import explaining, tables
from ..errors import NotConfigured, NotFound, Protected
from ..local import stack
from ..postgres import connection, locks, stamp
from ..settings import Settings, mask_url

if TYPE_CHECKING:
    from psycopg import Connection


def trace(s: Settings) -> Callable[[str], None] | None:
    """Where --debug tells the requests made."""
    return (lambda text: output.tell(f"debug: {text}")) if s.debug else None


def acting(s: Settings, what: str, *, aws: bool = False, remote: bool = False) -> None:
    """Say what a change acts on, in one line; even with --quiet where that is production, the account, or remote."""
    environment = s.environment if s.prod else "AWS" if aws else "remote" if remote else s.environment
    line = f"{environment}: {what}" + (" (dry run)" if s.dry_run else "")
    if s.prod or aws or remote:
        output.tell(line)
    else:
        output.note(s, line)


def acting_on(s: Settings, at: connection.Server, what: str = "") -> None:
    """``acting`` for a database, or for ``what`` of it."""
    acting(s, f"{what}{at.label} as {at.user}", remote=is_foreign(at))


def is_remote(host: str, address: str = "") -> bool:
    """Whether a host is somebody else's: an AWS name, or an address that is neither loopback nor private.

    Each may be several, with commas, as libpq takes them; ``address`` is where a name leads without being looked up.
    """
    names, addresses = host.split(","), address.split(",") if address else []
    places = [
        (addresses[number] if number < len(addresses) else "") or name for number, name in enumerate(names)
    ] + addresses[len(names) :]
    return any(_is_aws(name) for name in names) or any(_leads_away(place) for place in places)


def is_foreign(at: connection.Server) -> bool:
    """Whether a database is on a host that is somebody else's."""
    return not at.embedded and is_remote(at.host, at.address)


def is_far(at: sdk.Endpoint) -> bool:
    """Whether a service is AWS's, or on a host that is somebody else's."""
    return at.url is None or is_remote(urlsplit(at.url).hostname or "")


def _leads_away(host: str) -> bool:
    if not host or host.startswith(("/", "@")):  # a socket on this machine
        return False
    try:
        found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except OSError:
        return True  # nobody knows where it leads
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    return not all(address.is_private or address.is_loopback for address in addresses)


def _is_aws(host: str) -> bool:
    return host.lower().rstrip(".").endswith(("amazonaws.com", "amazonaws.com.cn", ".api.aws"))


def _resolved(host: str) -> str:
    """The host, or ``localhost`` for a compose service's name that means nothing outside of its network."""
    if not host or host == "localhost" or any(sign in host for sign in "/.:,"):
        return host
    try:
        socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except OSError:
        return "localhost"
    return host


def server(s: Settings) -> connection.Server:
    """The PostgreSQL database of this environment; starts the embedded one where none is named.

    Raises NotConfigured.
    """
    url, origin = s.connection_url, s.origins["connection_url"]
    if url is None and s.prod:
        raise NotConfigured(
            "PROD_CONNECTION_URL is not set, and --prod never falls back to another database.",
            hint="export PROD_CONNECTION_URL=postgresql://user:password@host:5432/cruddur",
        )
    embedded = url is None
    if url is None:
        url = _embedded(s, aws=False).postgres_url
        origin = "the embedded PostgreSQL"
    assert url is not None
    parameters = connection.parse_url(url, origin=origin)
    if not embedded:
        parameters = connection.completed(parameters)
    address = str(parameters.get("hostaddr") or "")
    said = str(parameters.get("host") or address or "localhost")
    # A name of production that does not resolve must not become a database on this machine.
    host = said if s.prod or address else _resolved(said)
    if parameters.get("host"):
        parameters["host"] = host
    port = connection.port(parameters)
    database = str(parameters.get("dbname") or "cruddur")
    user = str(parameters.get("user") or connection.os_user())
    at_address = f" (at {address})" if address not in {"", host} else ""
    where = "the embedded PostgreSQL" if embedded else f"{host}:{port}{at_address}"
    why = f" ({origin} says {said}, which does not resolve here)" if host == "localhost" != said else ""
    return connection.Server(
        parameters=parameters,
        host=host,
        port=port,
        database=database,
        user=user,
        label=f"database {database!r} on {where}{why}",
        embedded=embedded,
        read_only=s.dry_run,
        wait_s=s.wait_s,
        address=address,
    )


@contextmanager
def postgres(s: Settings, *, changes: bool = False, at: connection.Server | None = None) -> Iterator[Connection[Any]]:
    """The user store, opened in one transaction; ``changes`` says first what is acted on.

    With it, raises Protected where the database is stamped as production and the command came without --prod.
    """
    at = at or server(s)
    if changes:
        acting_on(s, at)
    with connection.opened(at, trace=trace(s)) as conn, locks.named(conn, at):
        if changes and not s.prod and not s.dry_run:
            stamp.refuse(conn, at.label)
        yield conn


def refuse_stamped(s: Settings, at: connection.Server) -> None:
    """Raise Protected where the database is stamped as production and the command came without --prod."""
    if s.prod:
        return
    with postgres(s, at=replace(at, read_only=True)) as conn:
        stamp.refuse(conn, at.label)


def message_endpoint(s: Settings) -> sdk.Endpoint:
    """Where DynamoDB is; starts the embedded one where none is named and none answers on localhost:8000."""
    if s.prod:
        url, embedded = s.dynamodb_endpoint, False
    elif s.dynamodb_endpoint or s.aws_endpoint:
        name = "dynamodb_endpoint" if s.dynamodb_endpoint else "aws_endpoint"
        url, embedded = _local_url(getattr(s, name), s.origins[name]), False
    elif probe.answers(s.local_dynamodb, "dynamodb", "DynamoDB_20120810.ListTables", "{}", "TableNames"):
        url, embedded = s.local_dynamodb, False
    else:
        url, embedded = _embedded_aws(s), True
    # Rules differ by region and key on some engines; the embedded one must show the same tables whatever is exported.
    region = sdk.LOCAL_REGION if embedded or (url and not s.region) else s.region
    label = "the embedded DynamoDB" if embedded else f"DynamoDB at {url}" if url else f"DynamoDB in {region or 'AWS'}"
    return sdk.Endpoint("dynamodb", url, region, label, embedded, s.prod, s.dry_run, unreachable_s=max(4.0, s.wait_s))


def _embedded_aws(s: Settings) -> str:
    endpoint = _embedded(s, postgres=False).aws_endpoint
    assert endpoint is not None
    return endpoint


def _embedded(s: Settings, **which: bool) -> stack.Stack:
    """The embedded engines that are not ruled out, started where they do not run."""
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
    if not host or parts.scheme not in {"http", "https"}:
        raise NotConfigured(f"{origin} is not the URL of an endpoint: {mask_url(url)!r}.", hint="http://localhost:8000")
    if _is_aws(host):
        raise Protected(f"{origin} names AWS itself ({host}), and without --prod nothing reaches it.", hint="--prod")
    found = _resolved(host)
    if found == host:
        return url
    return f"{parts.scheme}://{found}" + (f":{port}" if port else "") + parts.path


@contextmanager
def dynamodb(s: Settings, *, changes: bool = False, at: sdk.Endpoint | None = None) -> Iterator[message_store.DynamoDB]:
    """The message store, opened; ``changes`` says first what is acted on.

    Raises NotConfigured, and with ``changes`` Protected where the table is stamped as production and the command came
    without --prod. A dry run changes nothing, and may look.
    """
    table_name.check(s.table, s.origins["table"])
    at = at or message_endpoint(s)
    if changes:
        acting(
            s,
            f"table {s.table} in {at.region or 'the default region'}, {at.label}"
            + (f" at {at.url}" if at.embedded else ""),
        )
    with message_store.opened(at, s.table, computed=at.embedded, trace=trace(s)) as opened:
        if s.explain:
            opened.client.meta.events.register("provide-client-params.dynamodb.*", _explain)
        if changes and not s.prod and not s.dry_run:
            tables.refuse_stamped(opened)
        yield opened


def _explain(model: Any, params: Any, **_: Any) -> None:
    for line in explaining.explain(model.name, params):
        output.tell(line)


def pool_endpoint(s: Settings) -> sdk.Endpoint:
    """Where the user pool is. A plain AWS_ENDPOINT_URL counts only where it answers as Cognito."""
    if s.prod:
        return _pool_at(s, s.cognito_endpoint)
    if s.cognito_endpoint:
        return _pool_at(s, _local_url(s.cognito_endpoint, s.origins["cognito_endpoint"]))
    if s.aws_endpoint:
        url = _local_url(s.aws_endpoint, s.origins["aws_endpoint"])
        asked = "AWSCognitoIdentityProviderService.ListUserPools"
        if probe.answers(url, "cognito-idp", asked, '{"MaxResults":1}', "UserPools"):
            return _pool_at(s, url)
    if s.user_pool_id:
        return _pool_at(s, None)
    return sdk.Endpoint(
        "cognito-idp", _embedded_aws(s), sdk.LOCAL_REGION, "the embedded Cognito", embedded=True, read_only=s.dry_run
    )


def _pool_at(s: Settings, url: str | None) -> sdk.Endpoint:
    # A pool's id begins with its region, which need not be the one of the other stores.
    region = s.user_pool_id.partition("_")[0] if s.user_pool_id and "_" in s.user_pool_id else s.region
    label = f"Cognito at {url}" if url else f"Cognito in {region or 'AWS'}"
    return sdk.Endpoint(
        "cognito-idp", url, region, label, own=s.prod, read_only=s.dry_run, unreachable_s=max(4.0, s.wait_s)
    )


@contextmanager
def cognito(s: Settings, *, at: sdk.Endpoint | None = None) -> Iterator[user_pool.Cognito]:
    """The user pool, opened: the one that is named, else the demo pool. Raises NotConfigured, NotFound."""
    at = at or pool_endpoint(s)
    if s.prod and not s.user_pool_id:
        raise NotConfigured("AWS_COGNITO_USER_POOL_ID is not set.", hint="export AWS_COGNITO_USER_POOL_ID=…")
    with sdk.opened(at, trace=trace(s)) as client:
        # The embedded stack knows only its own pools, whatever is exported for AWS.
        pool = s.user_pool_id if s.user_pool_id and not at.embedded else user_pool.require_pool(client, at)
        if not pool:
            raise NotFound("There is no user pool.", hint="cruddur setup")
        yield user_pool.Cognito(client, at, pool)


def _account_endpoint(s: Settings, service: str) -> sdk.Endpoint:
    """Where EC2 or RDS is: AWS, unless their own variable names another. The plain AWS_ENDPOINT_URL never counts."""
    setting = f"{service}_endpoint"
    url: str | None = getattr(s, setting)
    if url and not s.prod:
        url = _local_url(url, s.origins[setting])
    label = f"{service.upper()} at {url}" if url else f"{service.upper()} in {s.region or 'AWS'}"
    return sdk.Endpoint(service, url, s.region, label, own=s.prod, read_only=s.dry_run)


@contextmanager
def ec2(s: Settings) -> Iterator[group_rules.EC2]:
    """The account's EC2, opened: the real one, with or without --prod."""
    at = _account_endpoint(s, "ec2")
    with sdk.opened(at, trace=trace(s)) as client:
        yield group_rules.EC2(client, at)


@contextmanager
def rds(s: Settings) -> Iterator[instance.RDS]:
    """The account's RDS, opened: the real one, with or without --prod."""
    at = _account_endpoint(s, "rds")
    with sdk.opened(at, trace=trace(s)) as client:
        yield instance.RDS(client, at)
