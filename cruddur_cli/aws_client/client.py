"""Create AWS clients, send requests with retries, and translate the SDK's errors.

Every AWS client of this package is created here, so that endpoints, credentials, time-outs and retries follow one rule.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import get_ident
from typing import TYPE_CHECKING, Any

from ..errors import CannotConnect, CruddurError, NotConfigured, NotFound, Refused
from . import answers, botocore_parts, fast_json

if TYPE_CHECKING:
    import boto3

LOCAL_REGION = "us-east-1"
# The key and the secret for engines that accept any. DynamoDB Local accepts only letters and digits.
DUMMY_CREDENTIAL = "cruddurlocal"


@dataclass(frozen=True)
class Timeouts:
    """Every time-out of requests to AWS, in seconds.

    ``connect`` and ``read`` limit one request. ``unreachable`` limits retries while a server refuses connections or is
    not the service. ``busy`` limits retries while the service answers "later"; it counts from the last progress.
    ``busy_audit`` replaces it for each of an audit's about fifty reads, ``busy_lambda`` for each request of the stream
    function. ``table`` limits the wait until a table is created, changed or deleted.

    ``silent_tries`` is not a time: it is the number of requests without an answer after which the client gives up.
    Three times ``read`` is half of the 30 seconds in which every command must end.
    """

    connect: float = 3.0
    read: float = 5.0
    unreachable: float = 4.0
    busy: float = 25.0
    busy_audit: float = 8.0
    busy_lambda: float = 10.0
    table: float = 60.0
    silent_tries: int = 3


TIMEOUTS = Timeouts()
# Codes of requests that may succeed later: "Error retries and exponential backoff in AWS".
THROTTLED = {
    "ThrottlingException",
    "Throttling",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
}
_BUSY = THROTTLED | {
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
# Codes of EC2, RDS, DynamoDB and Cognito for valid credentials whose policy does not allow the action.
_DENIED = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}
_READS = ("Describe", "List", "Get", "Query", "Scan", "BatchGet", "TransactGet")


@dataclass(frozen=True)
class Endpoint:
    """The endpoint of one AWS service. If ``url`` is None, it is AWS itself, in ``region`` (None: the profile's).

    ``own`` is True for an endpoint in ``[prod]``, such as that of a VPC, which needs credentials for AWS. ``embedded``
    is True for the embedded engine. With ``read_only``, requests that are not reads are refused before they are sent.
    ``label`` is its name in messages; the default is the service and its place. ``advice`` is the hint if it cannot be
    reached.
    """

    service: str
    url: str | None = None
    region: str | None = None
    label: str = ""
    embedded: bool = False
    own: bool = False
    read_only: bool = False
    unreachable_s: float = TIMEOUTS.unreachable
    advice: str = ""

    def __post_init__(self) -> None:
        if not self.label:
            name = answers.NAMES.get(self.service, self.service)
            where = f"at {self.url}" if self.url else f"in {self.region or 'AWS'}"
            object.__setattr__(self, "label", f"{name} {where}")

    @property
    def local(self) -> bool:
        """Whether it is an engine of the developer's own, where no setting for AWS applies."""
        return self.url is not None and not self.own


def open_client(at: Endpoint, *, trace: Callable[[str], None] | None = None) -> Any:
    """A botocore client for one endpoint. It sends no request, except those that a profile's credentials need.

    At a local endpoint, profiles, configuration files, proxies and an instance's metadata are ignored. With
    ``at.read_only``, a request that is not a read raises AssertionError before it is sent. ``trace`` gets a line for
    each request. Raises NotConfigured.
    """
    with _configuring(at):
        prepared, options = _prepared(at)
        client = prepared.create_client(at.service, endpoint_url=at.url, **options)
    botocore_parts.on_answers(client, _check_answer)
    if at.service == "dynamodb":
        botocore_parts.on_requests(client, "BatchWriteItem", fast_json.set_aside, fast_json.put_back)
    if at.read_only:
        client.meta.events.register("before-call.*.*", _refuse_writes)
    if trace is not None:
        client.meta.events.register("before-call.*.*", lambda model, **_: trace(f"{model.name} → {at.label}"))
    return client


def session(at: Endpoint) -> boto3.Session:
    """A boto3 session with the region and the credentials of an endpoint, for programs that use the library.

    ``session(at).client("dynamodb", endpoint_url=at.url)`` is a client for the endpoint. Commands create the client
    with botocore instead, as boto3 does, because boto3 takes 50 ms to load. Raises NotConfigured.
    """
    import boto3

    with _configuring(at):
        prepared, options = _prepared(at)
        keys = {name: options[name] for name in ("aws_access_key_id", "aws_secret_access_key") if name in options}
        prepared.set_default_client_config(options["config"])
        return boto3.Session(botocore_session=prepared, region_name=options["region_name"], **keys)


@contextmanager
def lent(client: Any) -> Iterator[Endpoint]:
    """The endpoint of a boto3 client. In the block, the client's answers are checked like those of ``open_client``."""
    from urllib.parse import urlsplit

    service, url, region = client.meta.service_model.service_name, client.meta.endpoint_url, client.meta.region_name
    aws = (urlsplit(url).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))
    unregister = botocore_parts.on_answers(client, _check_answer)
    try:
        yield Endpoint(service, None if aws else url, region)
    finally:
        unregister()


def _prepared(at: Endpoint) -> tuple[Any, dict[str, Any]]:
    """A botocore session for one endpoint, and the options of its client."""
    from botocore.config import Config
    from botocore.session import Session

    options: dict[str, Any] = {
        "ignore_configured_endpoint_urls": True,
        "connect_timeout": TIMEOUTS.connect,
        "read_timeout": TIMEOUTS.read,
        # `call` retries: botocore's own pauses differ between 1.43 and 1.44.
        "retries": {"mode": "standard", "total_max_attempts": 1},
        "max_pool_connections": 32,
    }
    credentials: dict[str, Any] = {}
    if not at.local:
        refuse_dummies(at.label)
    if at.url is not None:
        options["proxies"] = {}  # an endpoint with a URL is local or in the VPC, and needs no proxy
    if not at.local:
        prepared = Session()
    else:
        nowhere = (None, None, os.devnull, None)
        prepared = Session(session_vars={"profile": (None, None, None, None), "config_file": nowhere})
        prepared.set_config_variable("credentials_file", os.devnull)
        options |= {"use_fips_endpoint": False, "use_dualstack_endpoint": False}
        credentials = _local_credentials(at)
    botocore_parts.quicken(prepared, at.service, local=at.local)
    region = at.region or (LOCAL_REGION if at.local else None)
    return prepared, {"region_name": region, "config": Config(**options), **credentials}


@contextmanager
def _configuring(at: Endpoint) -> Iterator[None]:
    """Turn the SDK's errors about settings into NotConfigured."""
    from botocore.exceptions import BotoCoreError, InvalidRegionError, NoRegionError, ProfileNotFound

    try:
        yield
    except NoRegionError as error:
        raise NotConfigured(
            f"No AWS region is set, so {at.label} cannot be found.",
            hint="export AWS_REGION=us-east-1, or write the region into cruddur.toml",
            code="no_region",
        ) from error
    except InvalidRegionError as error:
        raise NotConfigured(f"{at.region!r} is not an AWS region.") from error
    except ProfileNotFound as error:
        raise NotConfigured(f"{error}.", hint="aws configure list-profiles") from error
    except (BotoCoreError, ValueError) as error:
        raise NotConfigured(f"{at.label}: {error}") from error


def _check_answer(model: Any, response: Mapping[str, Any]) -> dict[str, Any] | None:
    """Check an answer; return it parsed, or None if botocore must parse it. Raises Foreign."""
    answer = answers.check(model, response)
    if answer is None or not fast_json.is_plain(model.name):
        return None
    fast_json.decode(response["body"], answer)
    return answer


def refuse_dummies(label: str) -> None:
    """Raise NotConfigured if the environment has the credentials of ``cruddur local env``, which AWS refuses."""
    if DUMMY_CREDENTIAL in (os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")):
        raise NotConfigured(
            f"{label} needs AWS credentials, and AWS_ACCESS_KEY_ID has the dummy value of `cruddur local env`.",
            hint="open a new shell, where `cruddur local env` was not evaluated",
            code="dummy_credentials",
        )


def _local_credentials(at: Endpoint) -> dict[str, str | None]:
    """The credentials for a local engine: those of the environment if both are set, otherwise dummies.

    DynamoDB Local has separate tables for each access key, so it must get the key that the application uses.
    """
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if at.embedded or not key or not secret:
        return {"aws_access_key_id": DUMMY_CREDENTIAL, "aws_secret_access_key": DUMMY_CREDENTIAL}
    return {"aws_access_key_id": key, "aws_secret_access_key": secret}


def _refuse_writes(model: Any, **_: Any) -> None:
    if not model.name.startswith(_READS):
        raise AssertionError(f"{model.name} was attempted in a dry run")


class Backoff:
    """The policy of all retries: for how long, and with which pauses. Threads may share a Backoff.

    ``busy_s`` limits retries from the last progress of any thread. ``unreachable_s`` replaces it for a server that
    cannot be reached. ``most_s`` is the longest pause. All are in seconds.
    """

    def __init__(
        self, *, busy_s: float = TIMEOUTS.busy, unreachable_s: float = TIMEOUTS.unreachable, most_s: float = 2.0
    ) -> None:
        self._busy_s, self._unreachable_s, self._most_s = busy_s, unreachable_s, most_s
        self._since: float | None = None
        self._tries = 0
        self._silent: dict[int, int] = {}

    def progress(self) -> None:
        """Note progress: the time limit starts again."""
        self._since, self._tries, self._silent = None, 0, {}

    def wait(self, *, busy: bool = True, silent: bool = False) -> bool:
        """Sleep before the next attempt, for a growing random time; return False if it is time to give up.

        ``busy=False`` means that the server cannot be reached or is not the service. ``silent`` means that there was no
        answer within the read time-out.
        """
        now = time.monotonic()
        # Another thread may reset `_since` meanwhile, because the progress of one thread is the progress of all.
        since = self._since
        if since is None:
            since = self._since = now
        self._tries += 1
        if silent:
            thread = get_ident()
            count = self._silent[thread] = self._silent.get(thread, 0) + 1
            if count >= TIMEOUTS.silent_tries:
                return False
        limit_s = self._busy_s if busy or silent else self._unreachable_s
        left_s = limit_s - (now - since)
        if left_s <= 0:
            return False
        import random

        pause_s = random.uniform(0.3, 1.0) * min(self._most_s, 0.05 * 2**self._tries)
        time.sleep(min(pause_s, left_s))
        return True


def call(
    client: Any, operation: str, params: Mapping[str, Any], *, at: Endpoint, backoff: Backoff | None = None
) -> Any:
    """The answer to one request, retried while the service is busy or cannot be reached.

    ``operation`` is in snake case. Every request of this package can be repeated safely. Raises CannotConnect, also for
    an answer that is not the service's; NotConfigured for missing or refused credentials; NotFound; and Refused, with
    the service's own error code in ``fields["aws_code"]``.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    backoff = backoff or Backoff(unreachable_s=at.unreachable_s)
    while True:
        try:
            answer = getattr(client, operation)(**params)
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if (_aws_code(error) in _BUSY or status >= 500) and backoff.wait():
                continue
            raise _translate(error, at) from error
        except (answers.Foreign, ResponseParserError) as error:
            # A load balancer of AWS answers 503 in HTML while the service is busy.
            if backoff.wait(busy=at.url is None and getattr(error, "status", 0) >= 500):
                continue
            raise _foreign(error, at) from error
        except RuntimeError as error:  # botocore raises it for expired credentials
            if "expired" not in str(error):
                raise
            raise NotConfigured(
                f"{at.label}: the credentials have expired.",
                hint="aws sso login",
                fields={"credentials": "refused"},
            ) from error
        except BotoCoreError as error:
            if _is_transport(error) and backoff.wait(busy=False, silent="Read" in type(error).__name__):
                continue
            raise _translate(error, at) from error
        backoff.progress()
        return answer


def speaks(url: str, service: str, target: str, body: str, expected: str, *, timeout_s: float | None = None) -> bool:
    """Whether the server at ``url`` is an AWS JSON service: whether its answer to ``target`` contains ``expected``.

    Raises CannotConnect if a server accepts the connection and does not answer. It may be the right store, so the
    command must not use another one instead.
    """
    try:
        return answers.speaks(url, service, target, body, expected, timeout_s=timeout_s or TIMEOUTS.read)
    except TimeoutError as error:
        raise CannotConnect(
            f"A program listens at {url} but does not answer.",
            hint="wait until it has started, or stop it; `cruddur config` shows where the address comes from",
        ) from error


FALSE_ANSWERS = {"damaged_answer", "not_the_service"}
"""The codes of errors that mean that a server answered, but that its answer cannot be trusted."""


def _foreign(error: Exception, at: Endpoint) -> CannotConnect:
    """The error for an answer that is damaged or not the service's, after all retries."""
    if isinstance(error, answers.Foreign) and error.damaged:
        return CannotConnect(
            f"The answer of {at.label} arrives damaged: its checksum (x-amz-crc32) differs in every attempt.",
            hint="check the network, and a proxy or VPN if you use one",
            code="damaged_answer",
        )
    why = str(error) if isinstance(error, answers.Foreign) else "its answer cannot be read"
    service = answers.NAMES.get(at.service, at.service)
    where = f"at {at.url}" if at.url else f"for {at.label}"
    return CannotConnect(f"The server {where} is not {service}: {why}.", hint=_advice(at), code="not_the_service")


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
                f"{at.label} does not accept the credentials: {text}",
                hint="aws sts get-caller-identity",
                fields={"credentials": "refused"},
            )
        if code in _DENIED:
            return _denied(error, at, fields)
        if code in {"ResourceNotFoundException", "TableNotFoundException", "UserPoolNotFoundException"}:
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
        return NotConfigured(
            f"{at.label}: {error}.".replace("..", "."),
            hint="aws configure, or aws sso login",
            fields={"credentials": "missing"},
        )
    if isinstance(error, (sdk.TokenRetrievalError, sdk.SSOError)):
        return NotConfigured(f"{at.label}: {error}.", hint="aws sso login", fields={"credentials": "missing"})
    if isinstance(error, (sdk.ConnectionError, sdk.HTTPClientError)):
        return CannotConnect(f"{at.label} cannot be reached ({_reason(error)}).", hint=_advice(at))
    if isinstance(error, sdk.ParamValidationError):
        return Refused(f"{at.label}: {' '.join(str(error).split())}")
    return Refused(f"{at.label}: {error}")


def _denied(error: Any, at: Endpoint, fields: dict[str, Any]) -> Refused:
    """The error for a missing permission. It names the action; AWS's message has a page of encoded policy after it."""
    import re

    text = error.response.get("Error", {}).get("Message") or ""
    match = re.search(r"perform:? ([a-z0-9-]+:[A-Za-z]+)", text)
    action = match[1] if match else f"{at.service}:{error.operation_name}"
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
    return at.advice or "is it running? `cruddur config` shows where the address comes from"


@contextmanager
def opened(at: Endpoint, *, trace: Callable[[str], None] | None = None) -> Iterator[Any]:
    """An AWS client that is closed at the end; see ``open_client``."""
    client = open_client(at, trace=trace)
    try:
        yield client
    finally:
        client.close()
