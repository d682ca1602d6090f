"""Who may talk to the emulator: programs on this machine that mean it, and no web page."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest

from cruddur_cli.local import stack

from .engines import client, keys, make_table


def ask(method: str, path: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
    host, port = str(stack.aws_endpoint()).removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    connection.request(method, path, body=b"{}" if method == "POST" else None, headers=headers or {})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def test_what_is_refused(home: Path) -> None:
    stack.up(postgres=False)
    make_table(client("dynamodb"), "a")
    admin = [
        "/_ministack/reset",
        "/_localstack/health",
        "/_ministack/config",
        "/%5fministack/reset",
        "//_ministack/reset",
    ]
    admin += ["/health", "/_aws/execute-api/x", "/bucket", "/?x=1/../_ministack/reset#"]
    requests: list[tuple[str, str, dict[str, str]]] = [
        (method, path, {}) for path in admin[:-1] for method in ("GET", "POST")
    ]
    requests += [
        (method, "/", {"Origin": origin})
        for method in ("POST", "OPTIONS", "GET")
        for origin in ("https://evil.example", "null", str(stack.aws_endpoint()))
    ]
    requests += [("POST", "/", {"Host": host}) for host in ("evil.example", "127.0.0.1", "localhost:1", "")]
    requests += [("OPTIONS", "/", {}), ("POST", "/_cruddur/save", {"Origin": "null"})]
    for method, path, headers in requests:
        response = ask(method, path, headers)
        assert response.status == 403, (method, path, headers)
        assert not [name for name, _ in response.getheaders() if name.lower().startswith("access-control")]
    assert keys(client("dynamodb")) == ["a"]


def test_answers_carry_no_cors_headers(home: Path) -> None:
    stack.up(postgres=False)
    headers = {"X-Amz-Target": "DynamoDB_20120810.ListTables", "Content-Type": "application/x-amz-json-1.0"}
    response = ask("POST", "/", headers)
    assert response.status == 200
    assert not [name for name, _ in response.getheaders() if name.lower().startswith("access-control")]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_names_of_this_machine_are_let_through(home: Path, host: str) -> None:
    port = str(stack.up(postgres=False).aws_endpoint).rpartition(":")[2]
    assert ask("GET", "/_cruddur/alive", {"Host": f"{host}:{port}"}).status == 200


def test_the_keys_of_a_user_pool_are_public(home: Path) -> None:
    stack.up(postgres=False)
    pool = client("cognito-idp").create_user_pool(PoolName="cruddur")["UserPool"]["Id"]
    assert ask("GET", f"/{pool}/.well-known/jwks.json").status == 200


def test_every_service_that_is_needed_answers(home: Path) -> None:
    stack.up(postgres=False)
    assert client("dynamodb").list_tables()["TableNames"] == []
    assert client("dynamodbstreams").list_streams()["Streams"] == []
    assert client("cognito-idp").list_user_pools(MaxResults=5)["UserPools"] == []
    assert client("ec2").describe_security_groups()["SecurityGroups"]
    assert client("rds").describe_db_instances()["DBInstances"] == []
    assert client("sts").get_caller_identity()["Account"]
