"""Owns the emulator's process: ministack behind a guard, which answers a write once the disk has it.

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
from xml.sax.saxutils import escape

from .. import times
from . import frames, generations, journal, state_files
from . import home as homes
from .engine import DAMAGED
from .services import COGNITO, Services, User

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Reading the log back may take this long, by a cautious guess, before a new snapshot makes it short again.
REPLAY_S = 0.6
REPLAY_BYTES_PER_S = 60e6
REPLAY_FRAME_S = 8e-6
# After a snapshot that failed, usually because the disk is full.
RETRY_S = 60.0
TICK_S = 30.0
DYNAMODB_READS = ("Get", "List", "Describe", "Query", "Scan", "BatchGet", "TransactGet", "SearchVectors")
# These change items and nothing else of a table.
DYNAMODB_WRITES = {"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}
DYNAMODB_WRITES |= {"ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction"}
COGNITO_READS = ("List", "Describe", "AdminGetUser", "GetUser")
# These change the user that they name, and nothing of another one.
COGNITO_ONE_USER = {b"AdminCreateUser", b"AdminDeleteUser", b"AdminSetUserPassword", b"AdminUpdateUserAttributes"}
COGNITO_ONE_USER |= {b"AdminConfirmSignUp", b"AdminDisableUser", b"AdminEnableUser", b"AdminResetUserPassword"}
COGNITO_ONE_USER |= {b"AdminAddUserToGroup", b"AdminRemoveUserFromGroup"}
# The endpoints' own path, and the keys that an application checks Cognito's tokens with.
KEYS = re.compile(r"/[\w-]+/\.well-known/(jwks\.json|openid-configuration)")
# Everything onto the disk; a new generation.
OWN = ("/_cruddur/save", "/_cruddur/snapshot")
ITEMS, TABLES, OTHERS = "items", "tables", "others"
CORS = b"access-control-"
MERGE = "import sys; sys.path.append(sys.argv.pop(1)); from cruddur_cli.local.generations import main; main()"


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
    """Writes down what requests change, and begins a new generation when the log takes long to read."""

    def __init__(self, services: Services, directory: Path, loaded: generations.Loaded) -> None:
        self.services = services
        self.directory = directory
        self.first = loaded.first
        self.replay_s = loaded.replayed / REPLAY_BYTES_PER_S
        self.mark = frames.Mark(directory / generations.MARK)
        path = generations.generation_folder(directory, loaded.generation) / "log"
        self.log = journal.Log(path, loaded.generation, loaded.size, self.mark)
        self.broken: str | None = None
        self.snapshot_error: str | None = None
        self.too_long = asyncio.Event()
        # What is not DynamoDB works in threads; its state is looked at while none of them changes it.
        self.others = asyncio.Lock()
        self.beginning = asyncio.Lock()

    @property
    def error(self) -> str | None:
        """Why writes are refused, or None."""
        return self.broken or (f"{self.log.error.strerror or self.log.error}" if self.log.error else None)

    def keep(
        self, *, tables: bool = False, services: set[str] | None = None, user: User | None = None
    ) -> tuple[journal.Log, int]:
        """Adds to the log what has changed, and returns where that ends: what ``durable`` waits for."""
        try:
            change = self.services.stored(tables=tables)
            if services and (documents := self.services.changes(services, user=user)):
                change["documents"] = change.get("documents", {}) | documents["documents"]
            if change:
                self._append(change)
        except Exception as error:  # noqa: BLE001 - from now on memory and disk differ, and nothing more is promised
            self.broken = f"{type(error).__name__}: {error}"
            log(f"not saved: {self.broken}")
        return self.log, self.log.end

    def keep_all(self) -> tuple[journal.Log, int]:
        """Adds to the log what has changed anywhere, in the emulator's own threads too."""
        return self.keep(tables=True, services={COGNITO} | self.services.other_services())

    async def durable(self, place: tuple[journal.Log, int] | None = None, *, alone: bool = False) -> None:
        """Returns once all that was kept up to ``place``, or until now, is on the disk; ``alone`` is ``Log.durable``'s.

        Raises OSError.
        """
        kept_in, position = place or (self.log, self.log.end)
        if self.broken:
            raise OSError(self.broken)
        had_error = kept_in.error
        try:
            await kept_in.durable(position, alone=alone)
        except OSError as error:
            if not had_error:
                log(f"not saved: {error.strerror or error}")
            raise

    async def run(self) -> None:
        """Begins new generations for as long as the process lives, which it stops doing once its data was deleted."""
        retry_at = 0.0
        while self.log.path.exists():
            with suppress(TimeoutError):
                await asyncio.wait_for(self.too_long.wait(), timeout=TICK_S)
            self.too_long.clear()
            if self.replay_s > REPLAY_S and time.monotonic() > retry_at:
                await self.begin_generation()
                retry_at = time.monotonic() + RETRY_S if self.snapshot_error else 0.0
            if not self.others.locked():
                self.keep_all()
                with suppress(OSError):
                    await self.durable()
        os.kill(os.getpid(), signal.SIGTERM)

    async def begin_generation(self) -> None:
        """Goes on in a new log, has another process write the snapshot before it, and deletes what that replaces."""
        try:
            async with self.beginning:
                await self._begin_generation()
            self.snapshot_error = None
        except (OSError, ValueError) as error:
            if not self.snapshot_error:
                log(f"no new snapshot: {error}")
            self.snapshot_error = str(error)

    async def _begin_generation(self) -> None:
        number = self.log.generation + 1
        size = await asyncio.to_thread(generations.begin_log, self.directory, number)
        path = generations.generation_folder(self.directory, number) / "log"
        before, self.log = self.log, journal.Log(path, number, size, self.mark, after=self.log)
        self.replay_s, replay_s = 0.0, self.replay_s
        try:
            self._append({"follows": before.end})
            await self.durable()
            snapshot = await self._snapshot(number)
            await asyncio.to_thread(generations.set_current, self.directory, number, snapshot)
        except BaseException:
            self.replay_s += replay_s
            raise
        self.first = number
        # Looking through all of a large table for garbage would stop the engine for a quarter of a second.
        gc.freeze()
        await asyncio.to_thread(generations.remove_before, self.directory, number)

    async def _snapshot(self, number: int) -> dict[str, int]:
        command = [sys.executable, "-P", "-c", MERGE, str(Path(__file__).parents[2]), str(self.directory), str(number)]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            output, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise OSError(errors.decode(errors="replace").strip() or f"exit code {process.returncode}")
        found: dict[str, int] = json.loads(output)
        return found

    def _append(self, change: dict[str, Any]) -> None:
        content = generations.encoded(change)
        self.log.append(content)
        self.replay_s += len(content) / REPLAY_BYTES_PER_S + REPLAY_FRAME_S
        if self.replay_s > REPLAY_S:
            self.too_long.set()


def refusal(scope: MutableMapping[str, Any], port: int) -> str | None:
    """Why a request is not let through, or None: a web page may send one, and so may a name that resolves to us."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    if any(name == b"origin" for name, _ in headers):
        return "requests from web pages are refused"
    hosts = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
    if len(hosts) != 1 or hosts[0] not in {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}:
        return "this host name is refused"
    method, path = scope["method"], scope["path"]
    if (method, path) in {("POST", "/"), ("GET", "/_cruddur/alive"), *(("POST", path) for path in OWN)}:
        return None
    return None if method == "GET" and KEYS.fullmatch(path) else "this path is refused"


async def answer(send: Send, status: int, content: object) -> None:
    """Sends ``content`` as JSON."""
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse(send: Send, headers: list[tuple[bytes, bytes]], reason: str) -> None:
    """Answers that a write is not saved, in the words of the service; clients try again after that."""
    sentence = f"not saved: {reason}"
    if any(name == b"x-amz-target" for name, _ in headers):
        await answer(send, 500, {"__type": "InternalServerError", "message": sentence})
        return
    error = f"<Error><Code>InternalFailure</Code><Message>{escape(sentence)}</Message></Error>"
    body = f"<Response><Errors>{error}</Errors>{error}</Response>".encode()
    sent = [(b"content-type", b"text/xml"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": sent})
    await send({"type": "http.response.body", "body": body})


class Guard:
    """The ASGI application that is served: the emulator's, behind our rules, answering once the disk has it."""

    def __init__(self, app: Any, keeper: Keeper, facts: dict[str, object], port: int) -> None:
        self.app = app
        self.keeper = keeper
        self.facts = facts
        self.port = port
        self.going_on = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request, or the life of the server."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif reason := refusal(scope, self.port):
            await answer(send, 403, {"message": reason})
        elif scope["path"].startswith("/_cruddur/"):
            await self._own(scope, send)
        else:
            self.going_on += 1
            try:
                await self._request(scope, receive, send)
            finally:
                self.going_on -= 1

    async def _lifespan(self, scope: Message, receive: Receive, send: Send) -> None:
        async def saving_first() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                with suppress(OSError):
                    await self.keeper.durable(self.keeper.keep_all())
            return message

        await self.app(scope, saving_first, send)

    async def _own(self, scope: Message, send: Send) -> None:
        keeper = self.keeper
        if scope["method"] == "POST":
            async with keeper.others:
                place = keeper.keep_all()
            with suppress(OSError):
                await keeper.durable(place)
            if scope["path"] == "/_cruddur/snapshot":
                await keeper.begin_generation()
        facts = {"save_error": keeper.error, "snapshot_error": keeper.snapshot_error, "generation": keeper.first}
        await answer(send, 200, self.facts | facts)

    async def _request(self, scope: Message, receive: Receive, send: Send) -> None:
        keeper, headers = self.keeper, scope["headers"]
        what = effect(headers, scope["method"])
        if what and keeper.error:
            # Nothing is changed that may not be kept.
            try:
                await keeper.durable()
            except OSError:
                await refuse(send, headers, keeper.error or "the disk cannot be written to")
                return
        messages: list[Message] = []

        async def hold(message: Message) -> None:
            messages.append(message)

        if what <= {ITEMS, TABLES}:
            try:
                await self.app(scope, receive, hold)
            finally:
                place = keeper.keep(tables=TABLES in what)
        else:
            # Before the lock: a client that sends half a request does not block the others.
            received = await read_all(receive)
            user = named_user(headers, received)
            async with keeper.others:
                try:
                    await self.app(scope, replay(received, receive), hold)
                finally:
                    services = {COGNITO} if COGNITO in what else keeper.services.other_services()
                    place = keeper.keep(services=services, user=user)
        try:
            # A read waits too: what it shows must not be gone after a power cut.
            await keeper.durable(place, alone=self.going_on == 1)
        except OSError as error:
            if what:
                await refuse(send, headers, keeper.error or str(error))
                return
        for message in messages:
            if "headers" in message:
                message["headers"] = [(k, v) for k, v in message["headers"] if not bytes(k).lower().startswith(CORS)]
            await send(message)


async def read_all(receive: Receive) -> list[Message]:
    """The messages of a request up to the end of its body, or of its client."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    return messages


def replay(messages: list[Message], receive: Receive) -> Receive:
    """Gives the messages again, and then those that come."""
    again = iter(messages)

    async def next_message() -> Message:
        return next(again, None) or await receive()

    return next_message


def named_user(headers: list[tuple[bytes, bytes]], messages: list[Message]) -> User | None:
    """The pool and the name of the only user that a request to Cognito may change, or None: it may change several."""
    target = next((value for name, value in headers if name == b"x-amz-target"), b"")
    if target.rpartition(b".")[2] not in COGNITO_ONE_USER:
        return None
    try:
        body = json.loads(b"".join(message.get("body", b"") for message in messages))
        return str(body["UserPoolId"]), str(body["Username"])
    except (ValueError, TypeError, KeyError):
        return None


def effect(headers: list[tuple[bytes, bytes]], method: str) -> set[str]:
    """What a request may change: nothing, ``ITEMS``, ``TABLES``, Cognito or ``OTHERS``."""
    target = next((value.decode("latin-1") for name, value in headers if name == b"x-amz-target"), "")
    service, _, operation = target.partition(".")
    if service.startswith("DynamoDB"):
        if service.startswith("DynamoDBStreams") or operation.startswith(DYNAMODB_READS):
            return set()
        return {ITEMS} if operation in DYNAMODB_WRITES else {TABLES}
    if service.startswith("AWSCognito") or method == "GET":
        # The first look at a pool's public keys makes them.
        return set() if operation and operation.startswith(COGNITO_READS) else {COGNITO}
    return {OTHERS}


def take_over(directory: Path, services: Services) -> list[str]:
    """Loads the state that an earlier version saved, if there is any. Returns what a person has to know of it.

    Raises state_files.Damaged.
    """
    found, notes = state_files.load(directory)
    for name, state in found.items():
        if name in services.known():
            services.load(name, state)
    return notes


async def serve(directory: Path, descriptor: int, port: int, instance: str) -> None:
    """Serves until SIGTERM.

    Raises generations.Damaged when the saved data cannot be used.
    """
    from hypercorn.asyncio import serve as serve_asgi
    from hypercorn.config import Config
    from ministack import app as ministack  # type: ignore[import-untyped]
    from ministack.core import hypercorn_compat  # type: ignore[import-untyped]

    hypercorn_compat.install()
    # Looking for garbage among a million new objects would double the time.
    gc.disable()
    services = Services(ministack, directory / "state")
    notes: list[str] = []
    if not generations.exist(directory):
        notes = take_over(directory, services)
        generations.begin(directory, services.contents())
    if state_files.exist(directory):
        state_files.retire(directory)
    loaded = generations.load(directory)
    if not services.restored:
        services.restore(loaded.contents)
    loaded.contents = generations.Contents()
    gc.enable()
    gc.freeze()
    keeper = Keeper(services, directory, loaded)
    # Ours are strict (above) and heard (Keeper); scripts of a container's entry point are not ours to run.
    ministack._load_persisted_state = lambda: None
    ministack.save_all = lambda services: None
    ministack._collect_scripts = lambda *directories: []
    facts: dict[str, object] = {"instance": instance, "pid": os.getpid(), "port": port}
    facts |= {"version": ministack._version(), "notes": [*notes, *loaded.notes]}
    record = facts | {"started_at": int(times.now().timestamp()), "boot_id": homes.boot_id()}
    homes.write(directory / "running.json", record)
    config = Config()
    config.bind = [f"fd://{descriptor}"]
    config.loglevel = "WARNING"
    config.shutdown_timeout = 60
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1
    keeping = asyncio.create_task(keeper.run())
    application: Any = Guard(ministack.app, keeper, facts, port)
    await serve_asgi(application, config)
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping
    if keeper.error:
        raise OSError(keeper.error)
    (directory / "running.json").unlink(missing_ok=True)


def main() -> None:
    """The command; its exit code is 65 when the saved state cannot be used."""
    directory, descriptor, port, instance = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    configure(directory, port)
    try:
        asyncio.run(serve(directory, descriptor, port, instance))
    except generations.Damaged as error:
        log(str(error))
        sys.exit(DAMAGED)
    except OSError as error:
        sys.exit(f"cruddur: {directory} cannot be used: {error}")


if __name__ == "__main__":
    main()
