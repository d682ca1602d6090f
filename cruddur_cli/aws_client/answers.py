"""Whether an answer comes from the service that was asked: checked before anything is taken from it.

botocore takes an empty body, or a page of HTML with status 200, for an answer without members; with a single attempt it
does not compare ``x-amz-crc32`` either. The rules hold for AWS, ministack and DynamoDB Local, by what each sends.
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
# What no answer to these operations lacks ("API reference" of each service). Writes may answer with an empty object.
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
_ONE = Lock()
# The turn of a thread that reads pages beside others, see below.
TURN: ContextVar[Turn | None] = ContextVar("turn", default=None)
_ROOT = rb"\s*(?:<\?xml[^>]*\?>\s*)?<(?:\w+:)?(\w+)[\s>/]"


class Turn:
    """Lets one of several threads hold a parsed answer; the others wait with theirs unparsed, a tenth of its size.

    A thread that has it in ``TURN`` takes it before an answer is parsed, and gives it back when the answer is used.
    Taking it twice, or giving back what another thread holds, changes nothing.
    """

    def __init__(self) -> None:
        self._lock, self._owner = Lock(), 0

    def take(self) -> None:
        """Wait until no other thread has it."""
        if self._owner != get_ident():
            self._lock.acquire()
            self._owner = get_ident()

    def give_back(self) -> None:
        """Let another thread have it."""
        if self._owner == get_ident():
            self._owner = 0
            self._lock.release()


class Foreign(Exception):
    """An answer that is not the service's; the text continues "what answers is not DynamoDB: ".

    ``damaged`` says that it is the service's and changed on its way. ``status`` is that of HTTP.
    """

    def __init__(self, why: str, *, status: int, damaged: bool = False) -> None:
        super().__init__(why)
        self.status, self.damaged = status, damaged


def check(model: Any, response: Mapping[str, Any]) -> dict[str, Any] | None:
    """The object that an answer in JSON is; None for XML, for an error, and where none is due. Raises Foreign.

    ``model`` is botocore's of the operation, ``response`` its status, headers and body as they came.
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
    known = "x-amzn-requestid" in headers and not kind.startswith("text/html")
    if not known and not kind.startswith(("application/x-amz-json-", "application/json")):
        raise Foreign(f"it answers {model.name} with {kind.partition(';')[0] or 'no content type'}", status=status)
    answer = _object(model.name, raw, status)
    name, expected = _MEMBERS.get(model.name, ("", dict))
    if name and not isinstance(answer.get(name), expected):
        raise Foreign(f"its answer to {model.name} has no {name}", status=status)
    if not name and "x-amzn-requestid" not in headers:
        raise Foreign(f"its answer to {model.name} has no request id", status=status)
    return answer


def _check_sum(headers: Mapping[str, str], raw: bytes, status: int) -> None:
    said = headers.get("x-amz-crc32")
    # Of a compressed body the sum is that of the compressed bytes; nothing here asks for one.
    if said is not None and "content-encoding" not in headers and said != str(zlib.crc32(raw)):
        raise Foreign("its checksum is not that of what arrived", status=status, damaged=True)


def _object(operation: str, raw: bytes, status: int) -> dict[str, Any]:
    try:
        if (turn := TURN.get()) is not None:
            turn.take()
        # Parsing takes several times what comes of it, and gains nothing from threads: one at a time is enough.
        with _ONE:
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
        said = json.loads(raw)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not (named or isinstance(said.get("__type", said.get("code")), str)):
        raise Foreign(f"it answers with status {status}, and no error of AWS", status=status)


def _check_xml(operation: str, status: int, headers: Mapping[str, str], raw: bytes) -> None:
    found = re.match(_ROOT, raw[:1000])
    root = found[1].decode() if found else ""
    if root not in ({f"{operation}Response"} if status < 300 else {"Response", "ErrorResponse"}):
        kind = headers.get("content-type", "").partition(";")[0] or "no content type"
        raise Foreign(f"it answers {operation} with {f'a {root} in ' if root else ''}{kind}", status=status)


def speaks(url: str, service: str, target: str, body: str, expected: str, *, timeout_s: float) -> bool:
    """Whether the server at ``url`` answers ``target``, a request of an AWS JSON service, with ``expected`` in it.

    The request is unsigned and holds no credential. Raises TimeoutError where a server accepts and does not answer.
    """
    import http.client

    try:
        said = posted(url, service, target, body, timeout_s=timeout_s, most=65536)
    except TimeoutError:
        raise
    except (OSError, http.client.HTTPException, ValueError):
        return False
    return expected in said.decode("utf-8", "replace")


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
    """What a server answers to a request of an AWS JSON service, at most ``most`` bytes of it. Loads no SDK.

    Nothing is signed: engines of this machine read the key and the region, and check no signature. Raises OSError,
    TimeoutError among them, HTTPException, and ValueError for a URL that is none.
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
