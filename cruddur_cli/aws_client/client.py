"""The only module that creates AWS clients: endpoint, credentials, time-outs, retries, and what errors mean."""

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
# Key and secret for engines that take any: letters and digits alone, as DynamoDB Local wants it.
DUMMY_CREDENTIAL = "cruddurlocal"


@dataclass(frozen=True)
class Timeouts:
    """Every time-out of what is asked over the network, in seconds.

    ``connect`` and ``read`` are of one request. ``unreachable`` is how long a server that refuses connections, or is
    not the service, is asked again; ``busy`` how long a service that answers "later" is, counted from the last
    progress. ``busy_audit`` is that of each of an audit's about fifty reads, ``busy_lambda`` that of one request of the
    stream's function. ``table`` is how long a table may take to be made, changed or deleted. ``silent_tries`` requests
    without any answer are enough: three times ``read`` is half of the 30 seconds after which every command has ended.
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
# Codes that mean "later", not "no": "Error retries and exponential backoff in AWS".
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
# What EC2, RDS, DynamoDB and Cognito call it when the credentials are good and the policy is not.
_DENIED = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}
_READS = ("Describe", "List", "Get", "Query", "Scan", "BatchGet", "TransactGet")


@dataclass(frozen=True)
class Endpoint:
    """Where one AWS service is: ``url`` None is AWS itself, in ``region`` (None: the profile's).

    ``own`` is True for an endpoint that ``[prod]`` names, such as one of a VPC: it takes credentials for AWS. ``label``
    is its name in messages; default: the service and where it is. ``advice`` says what to do if it is out of reach.
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
        """Whether it is an engine of the developer's own: nothing that is configured for AWS counts there."""
        return self.url is not None and not self.own


def open_client(at: Endpoint, *, trace: Callable[[str], None] | None = None) -> Any:
    """A botocore client for one endpoint. Nothing is sent yet, except what a profile's credentials need.

    At a local endpoint neither profiles, configuration files, proxies nor an instance's metadata count. With
    ``read_only`` a request that is not a read is refused before it is made. Raises NotConfigured.
    """
    with _configuring(at):
        prepared, options = _prepared(at)
        client = prepared.create_client(at.service, endpoint_url=at.url, **options)
    botocore_parts.on_answers(client, _take)
    if at.service == "dynamodb":
        botocore_parts.on_requests(client, "BatchWriteItem", fast_json.set_aside, fast_json.put_back)
    if at.read_only:
        client.meta.events.register("before-call.*.*", _refuse_writes)
    if trace is not None:
        client.meta.events.register("before-call.*.*", lambda model, **_: trace(f"{model.name} → {at.label}"))
    return client


def session(at: Endpoint) -> boto3.Session:
    """A session of boto3 with the region and the credentials of an endpoint, for programs that use this as a library.

    ``session(at).client("dynamodb", endpoint_url=at.url)`` is a client for it. Commands open botocore's client, which
    boto3 makes too, because boto3 takes 50 ms to load. Raises NotConfigured.
    """
    import boto3

    with _configuring(at):
        prepared, options = _prepared(at)
        keys = {name: options[name] for name in ("aws_access_key_id", "aws_secret_access_key") if name in options}
        prepared.set_default_client_config(options["config"])
        return boto3.Session(botocore_session=prepared, region_name=options["region_name"], **keys)


@contextmanager
def lent(client: Any) -> Iterator[Endpoint]:
    """Where a client of boto3 leads; until the end of the block its answers are checked as those of our own are."""
    from urllib.parse import urlsplit

    service, url, region = client.meta.service_model.service_name, client.meta.endpoint_url, client.meta.region_name
    aws = (urlsplit(url).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))
    forget = botocore_parts.on_answers(client, _take)
    try:
        yield Endpoint(service, None if aws else url, region)
    finally:
        forget()


def _prepared(at: Endpoint) -> tuple[Any, dict[str, Any]]:
    """A botocore session for one endpoint, and what its client is made with."""
    from botocore.config import Config
    from botocore.session import Session

    options: dict[str, Any] = {
        "ignore_configured_endpoint_urls": True,
        "connect_timeout": TIMEOUTS.connect,
        "read_timeout": TIMEOUTS.read,
        # Retried in call(): botocore's own pauses differ between 1.43 and 1.44.
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


def _take(model: Any, response: Mapping[str, Any]) -> dict[str, Any] | None:
    """Check an answer; returned as it is where botocore does not have to parse it."""
    answer = answers.check(model, response)
    if answer is None or not fast_json.is_plain(model.name):
        return None
    fast_json.decode(response["body"], answer)
    return answer


def refuse_dummies(label: str) -> None:
    """Raises NotConfigured where the environment holds the credentials of ``cruddur local env``, which AWS refuses."""
    if DUMMY_CREDENTIAL in (os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")):
        raise NotConfigured(
            f"{label} needs AWS credentials, and AWS_ACCESS_KEY_ID has the dummy value of `cruddur local env`.",
            hint="open a new shell, where `cruddur local env` was not evaluated",
            code="dummy_credentials",
        )


def _local_credentials(at: Endpoint) -> dict[str, str | None]:
    """DynamoDB Local keeps separate tables per access key, so a key that is set counts there as it does for the app."""
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if at.embedded or not key or not secret:
        return {"aws_access_key_id": DUMMY_CREDENTIAL, "aws_secret_access_key": DUMMY_CREDENTIAL}
    return {"aws_access_key_id": key, "aws_secret_access_key": secret}


def _refuse_writes(model: Any, **_: Any) -> None:
    if not model.name.startswith(_READS):
        raise AssertionError(f"{model.name} was attempted in a dry run")


class Backoff:
    """The one policy of trying again: how long, and with which pauses. Threads may share one.

    ``busy_s`` counts from the last progress, of any thread; ``unreachable_s`` is for what does not answer at all.
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
        """Sleep before the next try, longer each time and jittered; False when it is time to give up.

        ``busy`` False is a server that cannot be reached, or is another one than was asked for. ``silent`` is an
        answer that did not come within the read time-out.
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
            if mine >= TIMEOUTS.silent_tries:
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
    """The answer to one request (``operation`` in snake case), retried while the service is busy or out of reach.

    Every request of this project may be repeated safely. Raises our errors: CannotConnect (also for an answer that is
    not the service's), NotConfigured, NotFound, Refused (whose ``fields["aws_code"]`` is the service's own code).
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
            # In front of AWS stand load balancers, which say 503 in HTML.
            if backoff.wait(busy=at.url is None and getattr(error, "status", 0) >= 500):
                continue
            raise _foreign(error, at) from error
        except RuntimeError as error:  # botocore's own for credentials that have expired
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
    """Whether the server at ``url`` speaks one AWS JSON service: whether it answers ``target`` with ``expected``.

    Raises CannotConnect where a server accepts and does not answer: it may be the very store that is asked for, and
    nothing may be written to another one in its place.
    """
    try:
        return answers.speaks(url, service, target, body, expected, timeout_s=timeout_s or TIMEOUTS.read)
    except TimeoutError as error:
        raise CannotConnect(
            f"A program listens at {url} but does not answer.",
            hint="wait until it has started, or stop it; `cruddur config` shows where the address comes from",
        ) from error


FALSE_ANSWERS = {"damaged_answer", "not_the_service"}
"""The codes of the errors that say that something answered, and that it is not to be believed."""


def _foreign(error: Exception, at: Endpoint) -> CannotConnect:
    """The error for answers that are not the service's, try after try."""
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
    return at.advice or "is it running? `cruddur config` shows where the address comes from"


@contextmanager
def opened(at: Endpoint, *, trace: Callable[[str], None] | None = None) -> Iterator[Any]:
    """An AWS client that is closed at the end; see ``open_client``."""
    client = open_client(at, trace=trace)
    try:
        yield client
    finally:
        client.close()
