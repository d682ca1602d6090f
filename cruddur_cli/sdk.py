"""The one place that makes AWS clients: endpoint, credentials, time-outs, retries, and errors turned into ours."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import get_ident
from typing import Any

from .errors import CannotConnect, CruddurError, NotConfigured, NotFound, Refused

LOCAL_REGION = "us-east-1"
CONNECT_S = 3
READ_S = 5
# Codes that mean "later", not "no": "Error retries and exponential backoff in AWS".
_BUSY = {
    "ThrottlingException",
    "Throttling",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "TransactionInProgressException",
    "TransactionConflictException",
    "InternalServerError",
    "InternalFailure",
    "InternalErrorException",
    "ServiceUnavailable",
}
_CREDENTIALS = {
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "InvalidClientTokenId",
    "ExpiredTokenException",
    "ExpiredToken",
    "RequestExpired",
    "AuthFailure",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
}
# What EC2, RDS, DynamoDB and Cognito call it when the credentials are good and the policy is not.
_DENIED = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}
_READS = ("Describe", "List", "Get", "Query", "Scan", "BatchGet", "TransactGet")


@dataclass(frozen=True)
class Endpoint:
    """Where one AWS service is: ``url`` None is AWS itself, in ``region`` (None: the profile's).

    ``own`` is a production endpoint of one's own, a VPC endpoint say, where credentials are those for AWS.
    """

    service: str
    url: str | None
    region: str | None
    label: str
    embedded: bool = False
    own: bool = False
    read_only: bool = False
    unreachable_s: float = 4.0

    @property
    def local(self) -> bool:
        """Whether it is an engine of the developer's own: nothing that is configured for AWS counts there."""
        return self.url is not None and not self.own


def open_client(at: Endpoint, *, trace: Callable[[str], None] | None = None) -> Any:
    """A botocore client for one endpoint. Nothing is sent yet, except what a profile's credentials need.

    At a local endpoint neither profiles, configuration files, proxies nor an instance's metadata count. With
    ``read_only`` a request that is not a read is refused before it is made. Raises NotConfigured.
    """
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, InvalidRegionError, NoRegionError, ProfileNotFound
    from botocore.session import Session

    options: dict[str, Any] = {
        "ignore_configured_endpoint_urls": True,
        "connect_timeout": CONNECT_S,
        "read_timeout": READ_S,
        # Retried in call(): botocore's own pauses differ between 1.43 and 1.44.
        "retries": {"mode": "standard", "total_max_attempts": 1},
        "max_pool_connections": 32,
    }
    credentials: dict[str, Any] = {}
    if at.url is not None:
        options["proxies"] = {}  # an endpoint of one's own is near, and a proxy is for what is far
    if not at.local:
        session = Session()
    else:
        nowhere = (None, None, os.devnull, None)
        session = Session(session_vars={"profile": (None, None, None, None), "config_file": nowhere})
        session.set_config_variable("credentials_file", os.devnull)
        options |= {"use_fips_endpoint": False, "use_dualstack_endpoint": False}
        credentials = _local_credentials(at)
    try:
        session.register_component("data_loader", _loader(session, at))
        client = session.create_client(
            at.service,
            endpoint_url=at.url,
            region_name=at.region or (LOCAL_REGION if at.local else None),
            config=Config(**options),
            **credentials,
        )
    except NoRegionError as error:
        raise NotConfigured(
            "No AWS region is set.", hint='export AWS_REGION=… or region = "…" in cruddur.toml'
        ) from error
    except InvalidRegionError as error:
        raise NotConfigured(f"{at.region!r} is not an AWS region.") from error
    except ProfileNotFound as error:
        raise NotConfigured(f"{error}.", hint="aws configure list-profiles") from error
    except (BotoCoreError, ValueError) as error:
        raise NotConfigured(f"{at.label}: {error}") from error
    if at.read_only:
        client.meta.events.register("before-call.*.*", _refuse_writes)
    if trace is not None:
        client.meta.events.register("before-call.*.*", lambda model, **_: trace(f"{model.name} → {at.label}"))
    return client


def _loader(session: Any, at: Endpoint) -> Any:
    """botocore's loader of service models, without two readings that cost a command a third of its start-up.

    It looks into every service's folder, twice, to learn that ours exist; and it reads where AWS has endpoints even
    when the endpoint is given.
    """
    from botocore.loaders import Loader

    class Ours(Loader):
        def list_available_services(self, type_name: str) -> list[str]:
            # The others are where a profile's credentials come from.
            return [at.service, "sts", "sso", "sso-oidc", "signin"]

        def load_data_with_path(self, name: str) -> Any:
            if at.local and name == "endpoints":
                defaults = {"hostname": "{service}.{region}.{dnsSuffix}", "signatureVersions": ["v4"]}
                aws = {"partition": "aws", "dnsSuffix": "amazonaws.com", "regionRegex": ".*", "regions": {}}
                return {"version": 3, "partitions": [{**aws, "defaults": defaults, "services": {}}]}, ""
            return super().load_data_with_path(name)

    extra = session.get_config_variable("data_path")
    return Ours(extra_search_paths=extra.split(os.pathsep) if extra else None)


def _local_credentials(at: Endpoint) -> dict[str, str | None]:
    """DynamoDB Local keeps separate tables per access key, so a key that is set counts there as it does for the app."""
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if at.embedded or not key or not secret:
        return {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    return {"aws_access_key_id": key, "aws_secret_access_key": secret}


def _refuse_writes(model: Any, **_: Any) -> None:
    if not model.name.startswith(_READS):
        raise AssertionError(f"{model.name} was attempted in a dry run")


class Patience:
    """How long one command keeps trying: ``busy_s`` without progress, ``at.unreachable_s`` without an answer.

    Threads may share one: none gives up while another gets on.
    """

    def __init__(self, at: Endpoint, busy_s: float = 25.0) -> None:
        self._at = at
        self._busy_s = busy_s
        self._since: float | None = None
        self._tries = 0
        self._silent: dict[int, int] = {}

    def progress(self) -> None:
        """Something was done: the clock starts anew."""
        self._since, self._tries, self._silent = None, 0, {}

    def wait(self, *, busy: bool = True, silent: bool = False) -> bool:
        """Sleep before the next try, longer each time and jittered; False when it is time to give up.

        ``silent`` is an answer that did not come within the read time-out: each costs seconds, so three are enough.
        """
        now = time.monotonic()
        # Threads that share it may forget the time in between: progress of one is progress of all.
        since = self._since
        if since is None:
            since = self._since = now
        self._tries += 1
        if silent:
            thread = get_ident()
            mine = self._silent[thread] = self._silent.get(thread, 0) + 1
            if mine >= 3:
                return False
        limit_s = self._busy_s if busy or silent else self._at.unreachable_s
        left_s = limit_s - (now - since)
        if left_s <= 0:
            return False
        import random

        pause_s = random.uniform(0.3, 1.0) * min(2.0, 0.05 * 2**self._tries)
        time.sleep(min(pause_s, left_s))
        return True


def call(
    client: Any, operation: str, params: Mapping[str, Any], *, at: Endpoint, patience: Patience | None = None
) -> Any:
    """The answer to one request (``operation`` in snake case), retried while the service is busy or out of reach.

    Every request of this project may be repeated safely. Raises our errors: CannotConnect, NotConfigured, NotFound,
    Refused (whose ``fields["aws_code"]`` is the service's own code).
    """
    from botocore.exceptions import BotoCoreError, ClientError

    patience = patience or Patience(at)
    while True:
        try:
            answer = getattr(client, operation)(**params)
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if (_aws_code(error) in _BUSY or status >= 500) and patience.wait():
                continue
            raise _translate(error, at) from error
        except BotoCoreError as error:
            if _is_transport(error) and patience.wait(busy=False, silent="Read" in type(error).__name__):
                continue
            raise _translate(error, at) from error
        patience.progress()
        return answer


def _aws_code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", "")).rpartition("#")[2]


def _is_transport(error: Exception) -> bool:
    from botocore.exceptions import ConnectionError, HTTPClientError, ProxyConnectionError, SSLError

    return isinstance(error, (ConnectionError, HTTPClientError)) and not isinstance(
        error, (SSLError, ProxyConnectionError)
    )


def _translate(error: Any, at: Endpoint) -> CruddurError:
    from botocore import exceptions as sdk

    if isinstance(error, sdk.ClientError):
        code = _aws_code(error)
        text = error.response.get("Error", {}).get("Message") or code
        fields = {"aws_code": code, "response": error.response}
        if code in _CREDENTIALS:
            return NotConfigured(
                f"{at.label} does not accept the credentials: {text}", hint="aws sts get-caller-identity"
            )
        if code in _DENIED:
            return _denied(error, at, fields)
        if code in {"ResourceNotFoundException", "UserPoolNotFoundException"}:
            return NotFound(f"{at.label}: {text}", fields=fields)
        if code in _BUSY:
            return Refused(
                f"{at.label} is still busy ({code}) after many tries.",
                hint="run the same command again: it continues safely",
                code="throttled",
                fields=fields,
            )
        return Refused(f"{at.label} refused: {text} ({code})", fields=fields)
    if isinstance(error, (sdk.NoCredentialsError, sdk.PartialCredentialsError, sdk.CredentialRetrievalError)):
        return NotConfigured(f"{at.label}: {error}.".replace("..", "."), hint="aws configure, or aws sso login")
    if isinstance(error, (sdk.TokenRetrievalError, sdk.SSOError)):
        return NotConfigured(f"{at.label}: {error}.", hint="aws sso login")
    if isinstance(error, (sdk.ConnectionError, sdk.HTTPClientError)):
        return CannotConnect(f"{at.label} cannot be reached ({_reason(error)}).", hint=_advice(at))
    if isinstance(error, sdk.ParamValidationError):
        return Refused(f"{at.label}: {' '.join(str(error).split())}")
    return Refused(f"{at.label}: {error}")


def _denied(error: Any, at: Endpoint, fields: dict[str, Any]) -> Refused:
    """AWS's sentence is followed by a page of encoded policy; what a person needs is the action that is missing."""
    import re

    text = error.response.get("Error", {}).get("Message") or ""
    named = re.search(r"perform:? ([a-z0-9-]+:[A-Za-z]+)", text)
    action = named[1] if named else f"{at.service}:{error.operation_name}"
    return Refused(
        f"{at.label}: these credentials lack the permission {action}.",
        hint=f"allow {action} in their policy; aws sts get-caller-identity shows whose they are",
        code="access_denied",
        fields={**fields, "action": action},
    )


def _reason(error: Exception) -> str:
    name = type(error).__name__
    if "Timeout" in name:
        return "no answer in time"
    if "SSL" in name or "Proxy" in name:
        return str(error)
    cause = str(getattr(error, "kwargs", {}).get("error", ""))
    if "refused" in cause.lower():
        return "connection refused"
    if "resolve" in cause.lower() or "Name or service" in cause:
        return "the host name does not resolve"
    return "connection failed"


def _advice(at: Endpoint) -> str:
    if at.embedded:
        return "cruddur local up"
    if at.url is None:
        return "check the network, and the region with `cruddur config`"
    return "is it running? `cruddur config` shows where the address comes from"


@contextmanager
def opened(at: Endpoint, *, trace: Callable[[str], None] | None = None) -> Iterator[Any]:
    """An AWS client that is closed at the end; see ``open_client``."""
    client = open_client(at, trace=trace)
    try:
        yield client
    finally:
        client.close()
