"""Faults that no engine here shows by itself, put into real clients through botocore's own events, and two bad servers.

Each returns what counts how often it struck, so that a test can say that it did.
"""

from __future__ import annotations

import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, pairwise
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

FOREVER = 10**9


class _Body:
    """What urllib3 would hand over."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._content


@dataclass
class Struck:
    """How often a fault struck, and when each request came."""

    count: int = 0
    at: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hit(self, most: int) -> bool:
        """Note a request; whether the fault is to strike it, as it does ``most`` times."""
        with self.lock:
            self.at.append(time.monotonic())
            self.count += self.count < most
            return len(self.at) <= most


def answers(client: Any, operation: str, code: str, *, status: int = 400, times: int = FOREVER) -> Struck:
    """The next ``times`` requests are answered with an error of AWS instead of being sent."""
    struck = Struck()
    body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "injected"}).encode()

    def strike(request: Any, **_: Any) -> AWSResponse | None:
        if not struck.hit(times):
            return None
        return AWSResponse(request.url, status, HTTPHeaders(), _Body(body))

    client.meta.events.register(f"before-send.dynamodb.{operation}", strike)
    return struck


def overtakes(client: Any, *operations: str, act: Callable[[], object], times: int = 1) -> Struck:
    """Before each of the next ``times`` requests, ``act`` is done, as another process might."""
    struck = Struck()

    def strike(**_: Any) -> None:
        if struck.hit(times):
            act()

    for operation in operations:
        client.meta.events.register(f"before-call.dynamodb.{operation}", strike)
    return struck


def cancels(client: Any, reason: str, *, times: int = FOREVER) -> Struck:
    """The next ``times`` transactions are cancelled for ``reason``, each of their actions, instead of being sent."""
    struck = Struck()

    def strike(request: Any, **_: Any) -> AWSResponse | None:
        if not struck.hit(times):
            return None
        actions = json.loads(request.body)["TransactItems"]
        body = {
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": f"Transaction cancelled: {reason}",
            "CancellationReasons": [{"Code": reason, "Message": "injected"} for _ in actions],
        }
        return AWSResponse(request.url, 400, HTTPHeaders(), _Body(json.dumps(body).encode()))

    client.meta.events.register("before-send.dynamodb.TransactWriteItems", strike)
    return struck


def throttled_answer(request: Any) -> AWSResponse:
    """What AWS answers to a request when the table's throughput is used up."""
    body = (
        b'{"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException", "message": "injected"}'
    )
    return AWSResponse(request.url, 400, HTTPHeaders(), _Body(body))


def asked(client: Any, operation: str) -> list[dict[str, Any]]:
    """The requests of an operation, as they are made; the list grows. What botocore sends again is in it once."""
    found: list[dict[str, Any]] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        found.append(params)

    client.meta.events.register(f"provide-client-params.dynamodb.{operation}", note)
    return found


def refuses(client: Any, operation: str, word: bytes, *, code: str = "ValidationException") -> Struck:
    """Every request with this word in it is answered as DynamoDB answers one with an item that it does not take."""
    struck = Struck()
    body = json.dumps({"__type": f"com.amazon.coral.validate#{code}", "message": "injected"}).encode()

    def strike(request: Any, **_: Any) -> AWSResponse | None:
        if word not in request.body:
            return None
        struck.hit(FOREVER)
        return AWSResponse(request.url, 400, HTTPHeaders(), _Body(body))

    client.meta.events.register(f"before-send.dynamodb.{operation}", strike)
    return struck


def loses_answers(client: Any, operation: str, *, times: int) -> Struck:
    """The next ``times`` requests are carried out, and their answer is a server error."""
    struck = Struck()

    def strike(http_response: Any, parsed: dict[str, Any], **_: Any) -> None:
        if struck.hit(times):
            parsed.clear()
            http_response.status_code = 500
            parsed |= {
                "Error": {"Code": "InternalServerError", "Message": "injected"},
                "ResponseMetadata": {"HTTPStatusCode": 500},
            }

    client.meta.events.register(f"after-call.dynamodb.{operation}", strike)
    return struck


@dataclass
class Batches:
    """What became of batches: every key that was really written, in order, and when each batch was sent."""

    written: list[tuple[str, str]] = field(default_factory=list)
    sent: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    largest: int = 0
    struck: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def pauses(self) -> list[float]:
        """Seconds between two tries of the same item."""
        return [b - a for times in self.sent.values() for a, b in pairwise(times)]


def _key(request: dict[str, Any]) -> tuple[str, str]:
    row = request["PutRequest"]["Item"] if "PutRequest" in request else request["DeleteRequest"]["Key"]
    return row["pk"]["S"], row["sk"]["S"]


def unprocessed(client: Any, *, rounds: int, share: float = 0.5, least: int = 0) -> Batches:
    """Of each batch, ``share`` comes back unprocessed, until an item was sent ``rounds`` times. The rest is written,
    and ``least`` items in any case.

    Nothing is left of a batch that comes back whole, so it is not sent at all.
    """
    found = Batches()

    def cut(params: dict[str, Any], context: dict[str, Any], **_: Any) -> Any:
        body = json.loads(params["body"])
        ((table, requests),) = body["RequestItems"].items()
        with found.lock:
            found.largest = max(found.largest, len(requests))
            for request in requests:
                found.sent.setdefault(_key(request), []).append(time.monotonic())
            tries = max(len(found.sent[_key(request)]) for request in requests)
            keep = len(requests) if tries > rounds else max(least, int(len(requests) * (1 - share)))
            found.struck += keep < len(requests)
            found.written += [_key(request) for request in requests[:keep]]
        context["left"] = {table: requests[keep:]} if requests[keep:] else {}
        if keep == 0:
            http = AWSResponse("", 200, HTTPHeaders(), _Body(b""))
            return http, {"UnprocessedItems": context["left"], "ResponseMetadata": {"HTTPHeaders": {}}}
        body["RequestItems"] = {table: requests[:keep]}
        params["body"] = json.dumps(body).encode()
        return None

    def give_back(parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        parsed["UnprocessedItems"] = context.pop("left")

    client.meta.events.register("before-call.dynamodb.BatchWriteItem", cut)
    client.meta.events.register("after-call.dynamodb.BatchWriteItem", give_back)
    return found


def table_looks(client: Any, *states: Callable[[dict[str, Any]], None]) -> Struck:
    """DescribeTable shows the table as each of ``states`` makes it, one answer after the other, then as it is."""
    struck = Struck()
    left = iter(states)

    def change(parsed: dict[str, Any], **_: Any) -> None:
        state = next(left, None)
        struck.count += state is not None
        if state is not None and "Table" in parsed:
            state(parsed["Table"])

    client.meta.events.register("after-call.dynamodb.DescribeTable", change)
    return struck


@contextmanager
def silent_server() -> Iterator[str]:
    """The URL of a server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def refused_url() -> str:
    """The URL of a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


@dataclass
class Recording:
    """What a proxy saw: (operation, request, answer) of each request."""

    url: str
    embedded: bool = False
    seen: list[tuple[str, dict[str, Any], dict[str, Any]]] = field(default_factory=list)

    def take(self) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
        """What was seen since the last time."""
        taken, self.seen = self.seen, []
        return taken


@contextmanager
def recorded(endpoint: str, *, before: Callable[[str], None] = lambda _: None) -> Iterator[Recording]:
    """A proxy on loopback in front of an engine, which keeps everything that passes; ``before`` is told first."""
    direct = build_opener(ProxyHandler({}))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: apart, the second waits for the other side's delayed answer

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            before(self.headers.get("X-Amz-Target", "").rpartition(".")[2])
            passed = ("content-type", "x-amz-target", "authorization", "x-amz-date")
            headers = {name: value for name, value in self.headers.items() if name.lower() in passed}
            try:
                with direct.open(Request(endpoint, body, headers)) as answer:
                    status, content, told = answer.status, answer.read(), answer.headers
            except HTTPError as error:
                status, content, told = error.code, error.read(), error.headers
            found.embedded = found.embedded or "x-amz-id-2" in told
            self._keep(body, content)
            self.send_response_only(status)
            kept = {"server", "x-amz-id-2", "content-type", "x-amzn-requestid"}
            for name in kept & {name.lower() for name in told}:
                self.send_header(name, str(told[name]))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _keep(self, body: bytes, content: bytes) -> None:
            operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            found.seen.append((operation, json.loads(body or b"{}"), json.loads(content or b"{}")))

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A client that was killed is nobody's fault."""

    with Server(("127.0.0.1", 0), Handler) as server:
        found = Recording(f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield found
        finally:
            server.shutdown()


def every_answer(change: Any) -> Callable[..., AWSResponse]:
    """What sends a request in place of ``URLLib3Session.send``: each is answered by ``change``, and none leaves."""

    def send(_: Any, request: Any) -> AWSResponse:
        status, headers, body = change("", 200, {"content-type": "application/x-amz-json-1.0"}, b"{}")
        told = HTTPHeaders()
        for name, value in headers.items():
            told[name] = value
        return AWSResponse(request.url, status, told, _Body(body))

    return send


@dataclass
class Falsifier:
    """A proxy whose answers ``change`` makes false; it says how often, by the operation that was asked for."""

    url: str
    change: Callable[[str, int, dict[str, str], bytes], tuple[int, dict[str, str], bytes] | None]
    struck: dict[str, int] = field(default_factory=dict)


def empty(_: str, __: int, ___: dict[str, str], ____: bytes) -> tuple[int, dict[str, str], bytes]:
    """An empty 200."""
    return 200, {}, b""


def html(_: str, __: int, ___: dict[str, str], ____: bytes) -> tuple[int, dict[str, str], bytes]:
    """A page of another web server."""
    return 200, {"content-type": "text/html; charset=utf-8"}, b"<!DOCTYPE html><title>It works</title>"


def missing_page(_: str, __: int, ___: dict[str, str], ____: bytes) -> tuple[int, dict[str, str], bytes]:
    """What another web server says of a path that it does not know."""
    return 404, {"content-type": "text/html"}, b"<html><h1>404 Not Found</h1></html>"


def other_json(_: str, __: int, ___: dict[str, str], ____: bytes) -> tuple[int, dict[str, str], bytes]:
    """What another service with JSON says to anything."""
    return 200, {"content-type": "application/json"}, b"{}"


def other_json_error(_: str, __: int, ___: dict[str, str], ____: bytes) -> tuple[int, dict[str, str], bytes]:
    """What another service with JSON says to what it does not know."""
    return 405, {"content-type": "application/json"}, b'{"detail": "Method Not Allowed"}'


def flipped(_: str, status: int, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
    """One bit of the answer turned, its checksum kept, or made where the engine gives none."""
    headers = {"x-amz-crc32": str(zlib.crc32(body)), **headers}
    place = len(body) // 2
    return status, headers, body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :] if body else b"?"


def cut_short(_: str, status: int, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
    """The first half of the answer, without a checksum."""
    return status, {name: value for name, value in headers.items() if name != "x-amz-crc32"}, body[: len(body) // 2]


FALSE = (empty, html, missing_page, other_json, other_json_error, flipped, cut_short)


def other_shape(_: str, __: int, headers: dict[str, str], ____: bytes) -> tuple[int, dict[str, str], bytes]:
    """An object that no service answers with, in a service's own frame."""
    return 200, {name: value for name, value in headers.items() if name != "x-amz-crc32"}, b'{"answer": [42]}'


@contextmanager
def falsified(endpoint: str, change: Any, *, keeps: Callable[[str], bool] = lambda _: False) -> Iterator[Falsifier]:
    """A proxy on loopback in front of an engine; ``change`` gets operation, status, headers and body of an answer, and
    gives what is sent in its place, or None for what came. The engine never gets an operation that ``keeps`` names."""
    direct = build_opener(ProxyHandler({}))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2] or dict(
                part.partition("=")[::2] for part in body.decode().split("&")
            ).get("Action", "")
            dropped = {"host", "content-length", "connection", "accept-encoding"}
            headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
            status, content, told = 200, b"{}", self.headers
            try:
                if not keeps(operation):
                    with direct.open(Request(endpoint, body, headers)) as answer:
                        status, content, told = answer.status, answer.read(), answer.headers
            except HTTPError as error:
                status, content, told = error.code, error.read(), error.headers
            passed = ("content-type", "x-amz-crc32", "x-amzn-requestid", "x-amzn-errortype", "x-amz-id-2", "server")
            given = {name.lower(): value for name, value in told.items() if name.lower() in passed}
            false = found.change(operation, status, given, content)
            if false is not None:
                found.struck[operation] = found.struck.get(operation, 0) + 1
                status, given, content = false
            self.send_response_only(status)
            for name, value in given.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        found = Falsifier(f"http://127.0.0.1:{server.server_address[1]}", change)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield found
        finally:
            server.shutdown()


def first_of_each(*kinds: Any) -> Any:
    """A change that makes the first answer to each request false, with one kind after the other, and no later one."""
    turn = count(0)
    asked: dict[str, int] = {}

    def change(operation: str, status: int, headers: dict[str, str], body: bytes) -> Any:
        asked[operation] = asked.get(operation, 0) + 1
        if asked[operation] % 2 == 0:
            return None
        return kinds[next(turn) % len(kinds)](operation, status, headers, body)

    return change
