"""Owns the emulator's process: ministack behind a guard, saved shortly after each write.

Run by ``aws.start``: ``python -m cruddur_cli.local.emulator DIRECTORY SOCKET PORT INSTANCE``. The names with an
underscore belong to the pinned ministack, which does not promise them.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import signal
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import home as homes
from . import state_files
from .engine import DAMAGED

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Saving waits this long after a write for others to join it, and takes at most a twentieth of the time.
PAUSE_S = 2.0
SHARE = 20
# All services but the two large ones, which a write to another need not save again.
OTHERS = "others"
READS = ("Get", "List", "Describe", "Query", "Scan", "BatchGet")
# The endpoints' own path, and the keys that an application checks Cognito's tokens with.
KEYS = re.compile(r"/[\w-]+/\.well-known/(jwks\.json|openid-configuration)")


def configure(directory: Path, port: int) -> None:
    """Sets what ministack reads from the environment when it is imported: loopback, our directory, nothing else on."""
    os.environ.update(
        BIND_HOST="127.0.0.1",
        GATEWAY_PORT=str(port),
        PERSIST_STATE="1",
        STATE_DIR=str(directory / "state"),
        SERVICES="dynamodb,dynamodbstreams,cognito-idp,ec2,rds,sts",
        DOCKER_HOST="unix:///nonexistent",
        IOT_MTLS_ENABLED="0",
        SFTP_ENABLED="0",
        LOG_LEVEL="WARNING",
    )


def log(sentence: str) -> None:
    """Writes to the log; it may be on the disk that is full, and no failure of it may end anything or leave a rest."""
    with suppress(OSError):
        os.write(1, f"cruddur: {sentence}\n".encode())


class Keeper:
    """Saves what the services hold, and knows what has not been saved."""

    def __init__(self, app: Any, directory: Path, instance: str, files: set[str]) -> None:
        self.app = app
        self.directory = directory
        self.instance = instance
        self.files = files
        self.error: str | None = None
        self.saved_at: float | None = None
        self.unsaved: set[str] = set()
        self.pause_s = PAUSE_S
        self.changed = asyncio.Event()
        self.lock = asyncio.Lock()
        self.written: dict[str, int] = {}

    def touch(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Notes which service a request that has been answered may have changed."""
        target = next((value.decode("latin-1") for name, value in headers if name == b"x-amz-target"), "")
        service, _, operation = target.partition(".")
        if operation.startswith(READS):
            return
        prefixes = {"DynamoDB": "dynamodb", "AWSCognito": "cognito"}
        self.unsaved.add(next((group for prefix, group in prefixes.items() if service.startswith(prefix)), OTHERS))
        self.changed.set()

    async def run(self) -> None:
        """Saves for as long as the process lives, which it stops doing once its directory was deleted."""
        while self.directory.exists():
            try:
                await asyncio.wait_for(self.changed.wait(), timeout=30)
            except TimeoutError:
                continue
            await asyncio.sleep(self.pause_s)
            await self.save()
        os.kill(os.getpid(), signal.SIGTERM)

    async def save(self, *, last: bool = False) -> None:
        """Saves what has changed; a failure is kept in ``error`` and tried again."""
        async with self.lock:
            groups, self.unsaved = self.unsaved, set()
            self.changed.clear()
            began = time.monotonic()
            try:
                contents = self._contents(groups)
                await asyncio.to_thread(state_files.save, self.directory, contents)
                self.written |= {name: hash(content) for name, content in contents.items()}
                self.files |= contents.keys()
                self.error, self.saved_at = None, time.time()
                await asyncio.to_thread(self._write_down, clean=last)
            except Exception as error:  # noqa: BLE001 - whatever a service or the disk raises, the next save may work
                self.unsaved |= groups or {OTHERS}
                self.changed.set()
                if not self.error:
                    log(f"not saved: {type(error).__name__}: {error}")
                self.error = f"{type(error).__name__}: {error}"
            self.pause_s = max(PAUSE_S, SHARE * (time.monotonic() - began))

    def _contents(self, groups: set[str]) -> dict[str, str]:
        """The files that differ from what was written. Runs between requests, so each is one moment's state."""
        contents = {}
        # The services copy all they hold; looking for garbage among a million new objects doubles the time.
        gc.disable()
        try:
            for name, get_state in self.app._build_persistence_save_dict().items():
                if (name if name in ("dynamodb", "cognito") else OTHERS) in groups:
                    # None comes from a service that could not be imported: its file stays as it is.
                    state = get_state()
                    content = state_files.text(name, state) if state is not None else None
                    if content is not None and self.written.get(name) != hash(content):
                        contents[name] = content
        finally:
            gc.enable()
        return contents

    def _write_down(self, *, clean: bool) -> None:
        record = {"instance": self.instance, "clean": clean, "saved_at": self.saved_at, "files": sorted(self.files)}
        homes.write(self.directory / "saved.json", record)


def refusal(scope: MutableMapping[str, Any], port: int) -> str | None:
    """Why a request is not let through, or None: a web page may send one, and so may a name that resolves to us."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    if any(name == b"origin" for name, _ in headers):
        return "requests from web pages are refused"
    hosts = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
    if len(hosts) != 1 or hosts[0] not in {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}:
        return "this host name is refused"
    method, path = scope["method"], scope["path"]
    if (method, path) in {("POST", "/"), ("GET", "/_cruddur/alive"), ("POST", "/_cruddur/save")}:
        return None
    return None if method == "GET" and KEYS.fullmatch(path) else "this path is refused"


async def answer(send: Send, status: int, content: object) -> None:
    """Sends ``content`` as JSON."""
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def guard(app: Any, keeper: Keeper, facts: dict[str, object], port: int) -> Any:
    """The ASGI application that is served: the emulator's, behind our rules and with our saving."""

    async def lifespan(scope: Message, receive: Receive, send: Send) -> None:
        async def saving_first() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await keeper.save(last=True)
            return message

        await app(scope, saving_first, send)

    async def guarded(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif reason := refusal(scope, port):
            await answer(send, 403, {"message": reason})
        elif scope["path"].startswith("/_cruddur/"):
            if scope["method"] == "POST":
                await keeper.save()
            await answer(send, 200, facts | {"save_error": keeper.error, "saved_at": keeper.saved_at})
        else:

            async def without_cors(message: Message) -> None:
                if message["type"] == "http.response.start":
                    headers = message.get("headers", ())
                    kept = [(k, v) for k, v in headers if not bytes(k).lower().startswith(b"access-control-")]
                    message = {**message, "headers": kept}
                await send(message)

            try:
                await app(scope, receive, without_cors)
            finally:
                keeper.touch(scope["headers"])

    return guarded


async def serve(directory: Path, descriptor: int, port: int, instance: str) -> None:
    """Serves until SIGTERM, and saves before it returns.

    Raises state_files.Damaged when the saved state cannot be used.
    """
    from hypercorn.asyncio import serve as serve_asgi
    from hypercorn.config import Config
    from ministack import app as ministack  # type: ignore[import-untyped]
    from ministack.core import hypercorn_compat  # type: ignore[import-untyped]

    hypercorn_compat.install()
    found, notes = state_files.load(directory)
    for name, state in found.items():
        if state and name in ministack._state_map:
            ministack._get_module(ministack._state_map[name]).load_persisted_state(state)
    keeper = Keeper(ministack, directory, instance, set(found))
    # Ours are strict (above) and heard (Keeper); scripts of a container's entry point are not ours to run.
    ministack._load_persisted_state = lambda: None
    ministack.save_all = lambda services: None
    ministack._collect_scripts = lambda *directories: []
    facts: dict[str, object] = {"instance": instance, "pid": os.getpid(), "port": port}
    facts |= {"version": ministack._version(), "notes": notes}
    record = facts | {"started_at": int(time.time()), "boot_id": homes.boot_id()}
    homes.write(directory / "running.json", record)
    config = Config()
    config.bind = [f"fd://{descriptor}"]
    config.loglevel = "WARNING"
    # Saving a large table blocks for seconds, and is worth waiting for.
    config.shutdown_timeout = 600
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1
    saving = asyncio.create_task(keeper.run())
    await serve_asgi(guard(ministack.app, keeper, facts, port), config)
    saving.cancel()
    if keeper.error:
        raise OSError(keeper.error)


def main() -> None:
    """The command; its exit code is 65 when the saved state cannot be used."""
    directory, descriptor, port, instance = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    configure(directory, port)
    try:
        asyncio.run(serve(directory, descriptor, port, instance))
    except state_files.Damaged as error:
        log(str(error))
        sys.exit(DAMAGED)


if __name__ == "__main__":
    main()
