"""Runs the emulator's process: ministack behind a guard, which answers a write once it is on the disk.

``aws.start`` runs it with the arguments ``DIRECTORY SOCKET PORT INSTANCE``. The names with an underscore are private
ones of the pinned ministack.
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

# A new snapshot is written when a start would read the log for longer than this, by a cautious estimate.
REPLAY_S = 0.6
REPLAY_BYTES_PER_S = 60e6
REPLAY_FRAME_S = 8e-6
# The pause after a failed snapshot; usually the disk is full.
RETRY_S = 60.0
TICK_S = 30.0
DYNAMODB_READS = ("Get", "List", "Describe", "Query", "Scan", "BatchGet", "TransactGet", "SearchVectors")
# These change only items, and nothing else of a table.
DYNAMODB_WRITES = {"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}
DYNAMODB_WRITES |= {"ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction"}
COGNITO_READS = ("List", "Describe", "AdminGetUser", "GetUser")
# These change only the user that they name.
COGNITO_ONE_USER = {b"AdminCreateUser", b"AdminDeleteUser", b"AdminSetUserPassword", b"AdminUpdateUserAttributes"}
COGNITO_ONE_USER |= {b"AdminConfirmSignUp", b"AdminDisableUser", b"AdminEnableUser", b"AdminResetUserPassword"}
COGNITO_ONE_USER |= {b"AdminAddUserToGroup", b"AdminRemoveUserFromGroup"}
# The paths of the keys with which an application checks Cognito's tokens.
KEYS = re.compile(r"/[\w-]+/\.well-known/(jwks\.json|openid-configuration)")
# The guard's own paths for POST: save everything to the disk; begin a new generation.
OWN = ("/_cruddur/save", "/_cruddur/snapshot")
ITEMS, TABLES, OTHERS = "items", "tables", "others"
CORS = b"access-control-"
MERGE = "import sys; sys.path.append(sys.argv.pop(1)); from cruddur_cli.local.generations import main; main()"


def configure(directory: Path, port: int) -> None:
    """Set the variables that ministack reads when it is imported: loopback only, this directory, few services."""
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
    """Write a line to the log at once; a failure is ignored, because the log's disk may be full."""
    with suppress(OSError):
        os.write(1, f"cruddur: {sentence}\n".encode())


class Recorder:
    """Writes the changes of requests to the log, and begins a new generation when the log takes long to read."""

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
        # The services other than DynamoDB run in threads; their state is read only while none of them changes it.
        self.others = asyncio.Lock()
        self.beginning = asyncio.Lock()

    @property
    def error(self) -> str | None:
        """Why writes are refused; None if they are not."""
        return self.broken or (f"{self.log.error.strerror or self.log.error}" if self.log.error else None)

    def record(
        self, *, tables: bool = False, services: set[str] | None = None, user: User | None = None
    ) -> tuple[journal.Log, int]:
        """Append what has changed to the log; the log and the offset where it ends, for ``durable``."""
        try:
            change = self.services.stored(tables=tables)
            if services and (documents := self.services.changes(services, user=user)):
                change["documents"] = change.get("documents", {}) | documents["documents"]
            if change:
                self._append(change)
        except Exception as error:  # noqa: BLE001 - memory and disk differ from now on, so later writes are refused
            self.broken = f"{type(error).__name__}: {error}"
            log(f"not saved: {self.broken}")
        return self.log, self.log.end

    def record_all(self) -> tuple[journal.Log, int]:
        """Append the changes of all services to the log, including those by the emulator's own threads."""
        return self.record(tables=True, services={COGNITO} | self.services.other_services())

    async def durable(self, place: tuple[journal.Log, int] | None = None, *, alone: bool = False) -> None:
        """Wait until the log is on the disk up to ``place``, by default up to its end. Raises OSError.

        ``alone`` as for ``Log.durable``.
        """
        log_file, position = place or (self.log, self.log.end)
        if self.broken:
            raise OSError(self.broken)
        had_error = log_file.error
        try:
            await log_file.durable(position, alone=alone)
        except OSError as error:
            if not had_error:
                log(f"not saved: {error.strerror or error}")
            raise

    async def run(self) -> None:
        """Begin new generations and record changes until the data is deleted; then end the process."""
        retry_at = 0.0
        while self.log.path.exists():
            with suppress(TimeoutError):
                await asyncio.wait_for(self.too_long.wait(), timeout=TICK_S)
            self.too_long.clear()
            if self.replay_s > REPLAY_S and time.monotonic() > retry_at:
                await self.begin_generation()
                retry_at = time.monotonic() + RETRY_S if self.snapshot_error else 0.0
            if not self.others.locked():
                self.record_all()
                with suppress(OSError):
                    await self.durable()
        os.kill(os.getpid(), signal.SIGTERM)

    async def begin_generation(self) -> None:
        """Continue in a new log, let another process write its snapshot, and delete the older generations.

        An error is stored in ``snapshot_error``.
        """
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
        # Without this, a garbage collection of a large table would stop the engine for a quarter of a second.
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
        snapshot: dict[str, int] = json.loads(output)
        return snapshot

    def _append(self, change: dict[str, Any]) -> None:
        content = generations.encoded(change)
        self.log.append(content)
        self.replay_s += len(content) / REPLAY_BYTES_PER_S + REPLAY_FRAME_S
        if self.replay_s > REPLAY_S:
            self.too_long.set()


def refusal(scope: MutableMapping[str, Any], port: int) -> str | None:
    """Why a request is refused; None if it is allowed.

    A web page may send requests to this machine, also through a host name that resolves to it.
    """
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
    """Send ``content`` as JSON."""
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse(send: Send, headers: list[tuple[bytes, bytes]], reason: str) -> None:
    """Answer that a write is not saved, with an error of the service that clients retry."""
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
    """The ASGI application: checks requests, passes them to the emulator, and answers once changes are on the disk."""

    def __init__(self, app: Any, recorder: Recorder, facts: dict[str, object], port: int) -> None:
        self.app = app
        self.recorder = recorder
        self.facts = facts
        self.port = port
        self.active_requests = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handle one request, or the server's start and end."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif reason := refusal(scope, self.port):
            await answer(send, 403, {"message": reason})
        elif scope["path"].startswith("/_cruddur/"):
            await self._own(scope, send)
        else:
            self.active_requests += 1
            try:
                await self._request(scope, receive, send)
            finally:
                self.active_requests -= 1

    async def _lifespan(self, scope: Message, receive: Receive, send: Send) -> None:
        async def saving_first() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                with suppress(OSError):
                    await self.recorder.durable(self.recorder.record_all())
            return message

        await self.app(scope, saving_first, send)

    async def _own(self, scope: Message, send: Send) -> None:
        recorder = self.recorder
        if scope["method"] == "POST":
            async with recorder.others:
                place = recorder.record_all()
            with suppress(OSError):
                await recorder.durable(place)
            if scope["path"] == "/_cruddur/snapshot":
                await recorder.begin_generation()
        facts = {"save_error": recorder.error, "snapshot_error": recorder.snapshot_error, "generation": recorder.first}
        await answer(send, 200, self.facts | facts)

    async def _request(self, scope: Message, receive: Receive, send: Send) -> None:
        recorder, headers = self.recorder, scope["headers"]
        changes = effect(headers, scope["method"])
        if changes and recorder.error:
            # Refuse a change that may not be saved.
            try:
                await recorder.durable()
            except OSError:
                await refuse(send, headers, recorder.error or "the disk cannot be written to")
                return
        messages: list[Message] = []

        async def hold(message: Message) -> None:
            messages.append(message)

        if changes <= {ITEMS, TABLES}:
            try:
                await self.app(scope, receive, hold)
            finally:
                place = recorder.record(tables=TABLES in changes)
        else:
            # Read before the lock is taken, so that a client that sends half a request does not block the others.
            received = await read_all(receive)
            user = named_user(headers, received)
            async with recorder.others:
                try:
                    await self.app(scope, replay(received, receive), hold)
                finally:
                    services = {COGNITO} if COGNITO in changes else recorder.services.other_services()
                    place = recorder.record(services=services, user=user)
        try:
            # A read waits too: the data that it shows must still exist after a power cut.
            await recorder.durable(place, alone=self.active_requests == 1)
        except OSError as error:
            if changes:
                await refuse(send, headers, recorder.error or str(error))
                return
        for message in messages:
            if "headers" in message:
                message["headers"] = [(k, v) for k, v in message["headers"] if not bytes(k).lower().startswith(CORS)]
            await send(message)


async def read_all(receive: Receive) -> list[Message]:
    """The messages of a request up to the end of its body, or until the client disconnects."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    return messages


def replay(messages: list[Message], receive: Receive) -> Receive:
    """A ``receive`` that returns the messages again, and then new ones."""
    again = iter(messages)

    async def next_message() -> Message:
        return next(again, None) or await receive()

    return next_message


def named_user(headers: list[tuple[bytes, bytes]], messages: list[Message]) -> User | None:
    """The pool and the name of the only user that a request to Cognito may change; None if it may change several."""
    target = next((value for name, value in headers if name == b"x-amz-target"), b"")
    if target.rpartition(b".")[2] not in COGNITO_ONE_USER:
        return None
    try:
        body = json.loads(b"".join(message.get("body", b"") for message in messages))
        return str(body["UserPoolId"]), str(body["Username"])
    except (ValueError, TypeError, KeyError):
        return None


def effect(headers: list[tuple[bytes, bytes]], method: str) -> set[str]:
    """What a request may change: ``ITEMS``, ``TABLES``, ``COGNITO`` or ``OTHERS``; an empty set for nothing."""
    target = next((value.decode("latin-1") for name, value in headers if name == b"x-amz-target"), "")
    service, _, operation = target.partition(".")
    if service.startswith("DynamoDB"):
        if service.startswith("DynamoDBStreams") or operation.startswith(DYNAMODB_READS):
            return set()
        return {ITEMS} if operation in DYNAMODB_WRITES else {TABLES}
    if service.startswith("AWSCognito") or method == "GET":
        # The first request for a pool's public keys creates them.
        return set() if operation and operation.startswith(COGNITO_READS) else {COGNITO}
    return {OTHERS}


def take_over(directory: Path, services: Services) -> list[str]:
    """Load the state that version 0.1.0 saved, if there is any; sentences about restored files.

    Raises generations.Damaged.
    """
    states, notes = state_files.load(directory)
    for name, state in states.items():
        if name in services.known():
            services.load(name, state)
    return notes


async def serve(directory: Path, descriptor: int, port: int, instance: str) -> None:
    """Load the data and answer requests until SIGTERM.

    Raises generations.Damaged if the saved data cannot be used, OSError if changes could not be saved.
    """
    from hypercorn.asyncio import serve as serve_asgi
    from hypercorn.config import Config
    from ministack import app as ministack  # type: ignore[import-untyped]
    from ministack.core import hypercorn_compat  # type: ignore[import-untyped]

    hypercorn_compat.install()
    # Garbage collection among a million new objects would double the time.
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
    recorder = Recorder(services, directory, loaded)
    # Loading (above) and saving (Recorder) are done here; scripts of a container's entry point must not run.
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
    recording = asyncio.create_task(recorder.run())
    application: Any = Guard(ministack.app, recorder, facts, port)
    await serve_asgi(application, config)
    recording.cancel()
    with suppress(asyncio.CancelledError):
        await recording
    if recorder.error:
        raise OSError(recorder.error)
    (directory / "running.json").unlink(missing_ok=True)


def main() -> None:
    """Run the emulator with the command's arguments; the exit code is 65 if the saved data cannot be used."""
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
