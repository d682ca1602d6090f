"""Check that an answer comes from the AWS service, before the answer is used.

botocore reads an empty body, or an HTML page with status 200, as an answer without members. With a single attempt it
does not check ``x-amz-crc32`` either. The checks here accept what AWS, ministack and DynamoDB Local send.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from contextvars import ContextVar
from threading import Lock, get_ident
from typing import Any

NAMES = {
    "dynamodb": "DynamoDB", "dynamodbstreams": "DynamoDB Streams", "cognito-idp": "Cognito", "ec2": "EC2", "rds": "RDS",
}  # fmt: skip
# A member that every answer to the operation has ("API reference" of each service). Answers to other operations, such
# as writes, can be empty objects.
_MEMBERS: dict[str, tuple[str, type]] = {
    "ListTables": ("TableNames", list),
    "DescribeTable": ("Table", dict),
    "CreateTable": ("TableDescription", dict),
    "UpdateTable": ("TableDescription", dict),
    "DeleteTable": ("TableDescription", dict),
    "Query": ("Items", list),
    "Scan": ("Items", list),
    "BatchGetItem": ("Responses", dict),
    "BatchWriteItem": ("UnprocessedItems", dict),
    "TransactGetItems": ("Responses", list),
    "DescribeStream": ("StreamDescription", dict),
    "GetShardIterator": ("ShardIterator", str),
    "GetRecords": ("Records", list),
    "ListStreams": ("Streams", list),
    "ListTagsOfResource": ("Tags", list),
    "DescribeTimeToLive": ("TimeToLiveDescription", dict),
    "DescribeContinuousBackups": ("ContinuousBackupsDescription", dict),
    "UpdateContinuousBackups": ("ContinuousBackupsDescription", dict),
    "CreateBackup": ("BackupDetails", dict),
    "DescribeBackup": ("BackupDescription", dict),
    "ListBackups": ("BackupSummaries", list),
    "RestoreTableFromBackup": ("TableDescription", dict),
    "RestoreTableToPointInTime": ("TableDescription", dict),
    "ExportTableToPointInTime": ("ExportDescription", dict),
    "DescribeExport": ("ExportDescription", dict),
    "ListExports": ("ExportSummaries", list),
    "ImportTable": ("ImportTableDescription", dict),
    "DescribeImport": ("ImportTableDescription", dict),
    "ListImports": ("ImportSummaryList", list),
    "ListUsers": ("Users", list),
    "DescribeUserPool": ("UserPool", dict),
    "ListUserPoolClients": ("UserPoolClients", list),
    "CreateUserPoolClient": ("UserPoolClient", dict),
    "ListUserPools": ("UserPools", list),
    "CreateUserPool": ("UserPool", dict),
    "AdminCreateUser": ("User", dict),
}
_PARSING = Lock()
# The turn that the current thread shares with other threads; see `Turn`.
TURN: ContextVar[Turn | None] = ContextVar("turn", default=None)
_ROOT = rb"\s*(?:<\?xml[^>]*\?>\s*)?<(?:\w+:)?(\w+)[\s>/]"


class Turn:
    """Lets only one of several threads have a parsed answer, which takes ten times as much memory as an unparsed one.

    A thread with a turn in ``TURN`` takes it before it parses an answer, and gives it back after the answer was used.
    To take it twice, or to give back what another thread has, has no effect.
    """

    def __init__(self) -> None:
        self._lock, self._owner = Lock(), 0

    def take(self) -> None:
        """Wait until no other thread has the turn, and take it."""
        if self._owner != get_ident():
            self._lock.acquire()
            self._owner = get_ident()

    def give_back(self) -> None:
        """Give the turn back, so that another thread can take it."""
        if self._owner == get_ident():
            self._owner = 0
            self._lock.release()


class Foreign(Exception):
    """The answer is not from the service; the message continues "The server … is not DynamoDB: ".

    ``damaged`` means that it is from the service and was changed on its way. ``status`` is the HTTP status.
    """

    def __init__(self, why: str, *, status: int, damaged: bool = False) -> None:
        super().__init__(why)
        self.status, self.damaged = status, damaged


def check(model: Any, response: Mapping[str, Any]) -> dict[str, Any] | None:
    """The object of an answer in JSON; None for XML, for an error, and for an answer without content. Raises Foreign.

    ``model`` is botocore's model of the operation. ``response`` has the raw status, headers and body.
    """
    status, raw = response["status_code"], response["body"]
    headers = {str(name).lower(): str(value) for name, value in response["headers"].items()}
    _check_sum(headers, raw, status)
    protocol = model.service_model.resolved_protocol
    if protocol in {"ec2", "query"}:
        _check_xml(model.name, status, headers, raw)
        return None
    if protocol != "json":
        if headers.get("content-type", "").startswith("text/html"):
            raise Foreign(f"it answers {model.name} with text/html", status=status)
        return None
    if status >= 300:
        _check_error(status, headers, raw)
        return None
    if not raw and model.output_shape is None and "x-amzn-requestid" in headers:  # TagResource answers with nothing
        return None
    kind = headers.get("content-type", "")
    has_request_id = "x-amzn-requestid" in headers and not kind.startswith("text/html")
    if not has_request_id and not kind.startswith(("application/x-amz-json-", "application/json")):
        raise Foreign(f"it answers {model.name} with {kind.partition(';')[0] or 'no content type'}", status=status)
    answer = _object(model.name, raw, status)
    name, expected = _MEMBERS.get(model.name, ("", dict))
    if name and not isinstance(answer.get(name), expected):
        raise Foreign(f"its answer to {model.name} has no {name}", status=status)
    if not name and "x-amzn-requestid" not in headers:
        raise Foreign(f"its answer to {model.name} has no request id", status=status)
    return answer


def _check_sum(headers: Mapping[str, str], raw: bytes, status: int) -> None:
    expected = headers.get("x-amz-crc32")
    # The checksum of a compressed body is that of its compressed bytes, which are not available here.
    if expected is not None and "content-encoding" not in headers and expected != str(zlib.crc32(raw)):
        raise Foreign("its checksum is not that of what arrived", status=status, damaged=True)


def _object(operation: str, raw: bytes, status: int) -> dict[str, Any]:
    try:
        if (turn := TURN.get()) is not None:
            turn.take()
        # Parsing takes several times the memory of its result, and threads do not make it faster. So parse one at a
        # time.
        with _PARSING:
            answer = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Foreign(f"its answer to {operation} is {'not JSON' if raw else 'empty'}", status=status) from error
    if not isinstance(answer, dict):
        raise Foreign(f"its answer to {operation} is not an object", status=status)
    return answer


def _check_error(status: int, headers: Mapping[str, str], raw: bytes) -> None:
    named = "x-amzn-errortype" in headers
    if named and not raw:
        return
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or not (named or isinstance(body.get("__type", body.get("code")), str)):
        raise Foreign(f"it answers with status {status}, and no error of AWS", status=status)


def _check_xml(operation: str, status: int, headers: Mapping[str, str], raw: bytes) -> None:
    match = re.match(_ROOT, raw[:1000])
    root = match[1].decode() if match else ""
    if root not in ({f"{operation}Response"} if status < 300 else {"Response", "ErrorResponse"}):
        kind = headers.get("content-type", "").partition(";")[0] or "no content type"
        raise Foreign(f"it answers {operation} with {f'a {root} in ' if root else ''}{kind}", status=status)


def speaks(url: str, service: str, target: str, body: str, expected: str, *, timeout_s: float) -> bool:
    """Whether the server at ``url`` answers ``target``, a request of an AWS JSON service, with ``expected`` in it.

    The request is unsigned and has no credentials. Raises TimeoutError if a server accepts the connection and does not
    answer.
    """
    import http.client

    try:
        answer = posted(url, service, target, body, timeout_s=timeout_s, most=65536)
    except TimeoutError:
        raise
    except (OSError, http.client.HTTPException, ValueError):
        return False
    return expected in answer.decode("utf-8", "replace")


def posted(
    url: str,
    service: str,
    target: str,
    body: str,
    *,
    timeout_s: float,
    key: str = "local",
    region: str = "us-east-1",
    most: int | None = None,
) -> bytes:
    """The body of a server's answer to a request of an AWS JSON service, at most ``most`` bytes. Loads no SDK.

    The request is not signed: engines on this machine read the key and the region, and check no signature. Raises
    OSError (also TimeoutError), HTTPException, and ValueError for an invalid URL.
    """
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    secure = parts.scheme == "https"
    connection = (http.client.HTTPSConnection if secure else http.client.HTTPConnection)(
        parts.hostname or "localhost", parts.port, timeout=timeout_s
    )
    scope = f"{key}/20260101/{region}/{service}/aws4_request"
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": target,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
    }
    try:
        connection.request("POST", parts.path or "/", body, headers)
        return connection.getresponse().read(most)
    finally:
        connection.close()
