"""The embedded stack's own addresses are recognized."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cruddur_cli.local import addresses
from cruddur_cli.local import home as homes
from cruddur_cli.postgres import connection
from tests.conftest import Engines


@pytest.fixture
def embedded(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> Engines:
    """Use the shared stack as the embedded one of this process."""
    monkeypatch.setenv("CRUDDUR_HOME", engines.home)
    return engines


def test_the_embedded_aws_is_known_by_its_port_under_each_name_of_this_machine(embedded: Engines) -> None:
    port = urlsplit(embedded.aws).port
    assert all(addresses.is_aws(f"http://{host}:{port}") for host in ("127.0.0.1", "localhost", "[::1]"))
    for other in (
        f"https://127.0.0.1:{port}",
        f"http://10.0.0.1:{port}",
        "http://127.0.0.1:9",
        "http://127.0.0.1:port",
    ):
        assert not addresses.is_aws(other), other


def test_only_the_stacks_own_database_and_user_are_recognized(embedded: Engines) -> None:
    own = connection.parse_url(embedded.postgres_url, origin="test")
    assert addresses.is_postgres(own)
    assert addresses.is_postgres({**own, "password": "of before a reset"})
    for change in ({"user": "another"}, {"dbname": "another"}, {"host": "10.0.0.1"}, {"hostaddr": "127.0.0.1"}):
        assert not addresses.is_postgres({**own, **change}), change


def test_the_port_of_a_stopped_stack_is_its_own_until_another_program_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRUDDUR_HOME", str(tmp_path / "stack"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (tmp_path / "stack" / "aws").mkdir(parents=True)
        homes.write(tmp_path / "stack" / "ports.json", {"aws": port})
        assert not addresses.is_aws(f"http://127.0.0.1:{port}")
    assert addresses.is_aws(f"http://127.0.0.1:{port}")
