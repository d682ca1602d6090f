"""The guard records changes before it answers, and begins a new generation by itself."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli.local import emulator, frames, generations, journal
from cruddur_cli.local.emulator import ITEMS, OTHERS, TABLES, Recorder, effect, named_user
from cruddur_cli.local.services import COGNITO


class Services:
    """Services in which one document has changed at every call."""

    def __init__(self) -> None:
        self.number = 0
        self.fails: Exception | None = None

    def stored(self, *, tables: bool) -> dict[str, Any]:
        if self.fails:
            raise self.fails
        self.number += 1
        return {"documents": {'["test","n"]': str(self.number)}}

    def changes(self, services: set[str], *, user: object) -> dict[str, Any]:
        return {}

    def other_services(self) -> set[str]:
        return set()


def new_recorder(folder: Path, services: Any) -> Recorder:
    generations.begin(folder, generations.Contents())
    return Recorder(services, folder, generations.load(folder))


def test_a_log_that_takes_long_to_read_ends_in_a_new_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        recorder = new_recorder(tmp_path, Services())
        running = asyncio.create_task(recorder.run())
        await recorder.durable(recorder.record())
        await asyncio.sleep(0)
        assert recorder.log.generation == 1, "one short log is read quickly"
        monkeypatch.setattr(emulator, "REPLAY_S", recorder.replay_s)
        await recorder.durable(recorder.record())
        async with asyncio.timeout(60):
            while recorder.first == 1:
                await recorder.durable(recorder.record())
        running.cancel()
        await recorder.durable(recorder.record())

    asyncio.run(test())
    loaded = generations.load(tmp_path)
    assert loaded.first > 1
    assert list(loaded.contents.documents) == ['["test","n"]']


def test_nothing_is_acknowledged_after_a_change_that_was_not_recorded(tmp_path: Path) -> None:
    async def test() -> None:
        services = Services()
        recorder = new_recorder(tmp_path, services)
        services.fails = TypeError("not JSON")
        place = recorder.record()
        services.fails = None
        for later in (place, recorder.record()):
            with pytest.raises(OSError, match="not JSON"):
                await recorder.durable(later)
        assert recorder.error == "TypeError: not JSON"

    asyncio.run(test())


async def app(scope: emulator.Message, receive: emulator.Receive, send: emulator.Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def request(guard: emulator.Guard, operation: str) -> int:
    """The status of the guard's answer to a request."""
    statuses = []

    async def receive() -> emulator.Message:
        return {"type": "http.request", "body": b"{}"}

    async def send(message: emulator.Message) -> None:
        if "status" in message:
            statuses.append(message["status"])

    headers = [(b"host", b"127.0.0.1:1"), (b"x-amz-target", f"DynamoDB_20120810.{operation}".encode())]
    await guard({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive, send)
    (status,) = statuses
    return int(status)


@pytest.mark.parametrize("operation", ["PutItem", "GetItem"])
def test_no_answer_is_sent_before_its_data_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    may_sync = threading.Event()

    async def test() -> None:
        recorder = new_recorder(tmp_path, Services())
        guard = emulator.Guard(app, recorder, {}, 1)
        monkeypatch.setattr(frames, "sync", lambda descriptor: may_sync.wait())
        monkeypatch.setattr(journal, "QUICK_S", -1)
        answers = [asyncio.create_task(request(guard, name)) for name in ("PutItem", operation)]
        _, waiting = await asyncio.wait(answers, timeout=0.2)
        assert len(waiting) == 2
        may_sync.set()
        assert await asyncio.gather(*answers) == [200, 200]
        may_sync.clear()
        await asyncio.wait_for(recorder.log.durable(recorder.log.end), 5)  # nothing is left to be synced

    asyncio.run(test())


@pytest.mark.parametrize("quick_s", [-1, 60])
def test_a_write_that_the_disk_refuses_is_answered_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_s: float
) -> None:
    def refuses(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    async def test() -> None:
        services = Services()
        guard = emulator.Guard(app, new_recorder(tmp_path, services), {}, 1)
        monkeypatch.setattr(journal, "QUICK_S", quick_s)
        with monkeypatch.context() as patch:
            patch.setattr(frames, "sync", refuses)
            assert await request(guard, "PutItem") == 500
            number = services.number
            assert await request(guard, "PutItem") == 500
            assert services.number == number, "the second was not even made"
            assert await request(guard, "GetItem") == 200
        assert await request(guard, "PutItem") == 200

    asyncio.run(test())
    assert generations.load(tmp_path).contents.documents == {'["test","n"]': "3"}


@pytest.mark.parametrize(
    ("target", "changes"),
    [
        ("DynamoDB_20120810.GetItem", set()),
        ("DynamoDB_20120810.Query", set()),
        ("DynamoDB_20120810.PutItem", {ITEMS}),
        ("DynamoDB_20120810.TransactWriteItems", {ITEMS}),
        ("DynamoDB_20120810.UpdateTable", {TABLES}),
        ("DynamoDB_20120810.AnythingNew", {TABLES}),
        ("DynamoDBStreams_20120810.GetRecords", set()),
        ("AWSCognitoIdentityProviderService.ListUsers", set()),
        ("AWSCognitoIdentityProviderService.GetTokensFromRefreshToken", {COGNITO}),
        ("AWSCognitoIdentityProviderService.AdminInitiateAuth", {COGNITO}),
        ("", {OTHERS}),
    ],
)
def test_the_kinds_of_data_that_a_request_may_change_are_known(target: str, changes: set[str]) -> None:
    assert effect([(b"x-amz-target", target.encode())] if target else [], "POST") == changes


def test_the_keys_of_a_pool_are_created_when_they_are_first_read() -> None:
    assert effect([], "GET") == {COGNITO}


@pytest.mark.parametrize(
    ("operation", "body", "user"),
    [
        ("AdminCreateUser", {"UserPoolId": "p", "Username": "a"}, ("p", "a")),
        ("AdminCreateUser", {"UserPoolId": "p"}, None),
        ("AdminCreateUser", [], None),
        ("AdminLinkProviderForUser", {"UserPoolId": "p", "Username": "a"}, None),
    ],
)
def test_the_only_user_that_a_request_changes_is_found(operation: str, body: object, user: object) -> None:
    headers = [(b"x-amz-target", f"AWSCognitoIdentityProviderService.{operation}".encode())]
    halves = json.dumps(body).encode()
    messages: list[emulator.Message] = [{"body": halves[:3], "more_body": True}, {"body": halves[3:]}]
    assert named_user(headers, messages) == user
