"""Little servers on loopback that answer as one AWS service and remember what they were asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWERS: dict[str, dict[str, Any]] = {
    "dynamodb": {"ListTables": {"TableNames": ["recorded"]}},
    "cognito": {"ListUserPools": {"UserPools": [{"Id": "local_Recorded", "Name": "cruddur-demo"}]}},
    "nothing": {},
}


@contextmanager
def recorder(service: str) -> Iterator[tuple[str, list[str]]]:
    """The URL of a server that answers as ``service``, and the operations it was asked for so far."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            asked.append(operation)
            answer = ANSWERS[service].get(operation)
            self.send_response(400 if answer is None else 200)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("x-amzn-RequestId", "recorded")
            self.end_headers()
            error = {"__type": "UnknownOperationException", "message": "not here"}
            self.wfile.write(json.dumps(error if answer is None else answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
