"""The guard accepts programs on this machine, and refuses web pages."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cruddur_cli.local import stack

from .engines import REPOSITORY, client, keys, make_table


def ask(method: str, path: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
    host, port = str(stack.aws_endpoint()).removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    connection.request(method, path, body=b"{}" if method == "POST" else None, headers=headers or {})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def test_requests_of_web_pages_and_admin_paths_are_refused(home: Path) -> None:
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
def test_names_of_this_machine_are_accepted(home: Path, host: str) -> None:
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


DYNAMODB = "DynamoDB_20120810."
COGNITO = "AWSCognitoIdentityProviderService."
KEYS = {"KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}], "BillingMode": "PAY_PER_REQUEST"}
KEYS |= {"AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}]}
ITEM = {"pk": {"S": "é"}, "n": {"N": "1.50"}, "b": {"B": "AP8="}, "m": {"M": {"__bytes__": {"NULL": True}}}}
NAMED: dict[str, object] = {"TableName": "things"}
ONE = {**NAMED, "Key": {"pk": {"S": "é"}}}
REQUESTS: list[tuple[str, object]] = [
    (f"{DYNAMODB}CreateTable", {**NAMED, **KEYS, "StreamSpecification": {"StreamEnabled": True}}),
    (f"{DYNAMODB}CreateTable", {**NAMED, **KEYS}),
    (f"{DYNAMODB}CreateTable", {**NAMED, **KEYS}),
    (f"{DYNAMODB}CreateTable", {"TableName": "x"}),
    (f"{DYNAMODB}DescribeTable", NAMED),
    (f"{DYNAMODB}PutItem", {**NAMED, "Item": ITEM, "ReturnConsumedCapacity": "INDEXES"}),
    (f"{DYNAMODB}PutItem", {**NAMED, "Item": ITEM, "ReturnValues": "ALL_OLD"}),
    (f"{DYNAMODB}PutItem", {**NAMED, "Item": {"pk": {"N": "1"}}}),
    (f"{DYNAMODB}PutItem", {**NAMED, "Item": {"pk": {"S": ""}}}),
    (f"{DYNAMODB}PutItem", {**NAMED, "Item": ITEM | {"large": {"S": "x" * 410_000}}}),
    (f"{DYNAMODB}PutItem", {**NAMED, "Item": ITEM, "ConditionExpression": "attribute_not_exists(pk)"}),
    (f"{DYNAMODB}PutItem", {**NAMED, "Item": ITEM, "ConditionExpression": "nonsense ("}),
    (f"{DYNAMODB}UpdateItem", {**ONE, "UpdateExpression": "SET n = n + n, o = if_not_exists(o, n)"}),
    (f"{DYNAMODB}GetItem", {**ONE, "ConsistentRead": True, "ReturnConsumedCapacity": "TOTAL"}),
    (f"{DYNAMODB}GetItem", {"TableName": "missing", "Key": {"pk": {"S": "x"}}}),
    (f"{DYNAMODB}BatchWriteItem", {"RequestItems": {"things": [{"PutRequest": {"Item": ITEM}}] * 2}}),
    (f"{DYNAMODB}BatchWriteItem", {"RequestItems": {"things": [{"DeleteRequest": {"Key": ONE["Key"]}}]}}),
    (f"{DYNAMODB}BatchGetItem", {"RequestItems": {"things": {"Keys": [ONE["Key"]]}}}),
    (f"{DYNAMODB}TransactWriteItems", {"TransactItems": [{"Put": {**NAMED, "Item": ITEM}}, {"Delete": ONE}]}),
    (f"{DYNAMODB}TransactWriteItems", {"TransactItems": [{"Put": {**NAMED, "Item": ITEM}}]}),
    (
        f"{DYNAMODB}Query",
        {**NAMED, "KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": ITEM["pk"]}},
    ),
    (f"{DYNAMODB}Query", {**NAMED, "KeyConditionExpression": "pk = "}),
    (f"{DYNAMODB}Scan", {**NAMED, "Limit": 1, "ReturnConsumedCapacity": "TOTAL"}),
    (f"{DYNAMODB}Scan", {**NAMED, "Limit": 0}),
    (f"{DYNAMODB}ExecuteStatement", {"Statement": "SELECT * FROM things"}),
    (f"{DYNAMODB}ExecuteStatement", {"Statement": "INSERT INTO things VALUE {'pk': 'q'}"}),
    (f"{DYNAMODB}UpdateTimeToLive", {**NAMED, "TimeToLiveSpecification": {"Enabled": True, "AttributeName": "t"}}),
    (f"{DYNAMODB}UpdateTable", {**NAMED, "DeletionProtectionEnabled": True}),
    (f"{DYNAMODB}DeleteTable", NAMED),
    (f"{DYNAMODB}ListTables", {}),
    (f"{DYNAMODB}Nonsense", {}),
    (f"{DYNAMODB}PutItem", "not JSON"),
    ("Nonsense.PutItem", {}),
    ("DynamoDBStreams_20120810.ListStreams", {}),
    ("DynamoDBStreams_20120810.GetRecords", {"ShardIterator": "nonsense"}),
    (f"{COGNITO}ListUserPools", {"MaxResults": 5}),
    (f"{COGNITO}AdminGetUser", {"UserPoolId": "us-east-1_nothing", "Username": "x"}),
    (f"{COGNITO}Nonsense", {}),
    ("", "Action=DescribeSecurityGroups&Version=2016-11-15&GroupName.1=nothing"),
    ("", "Action=DescribeDBInstances&Version=2014-10-31"),
    ("", "Action=Nonsense&Version=2016-11-15"),
]
MADE_UP = re.compile(rb"[0-9a-f]{8}-[0-9a-f-]{27}|\b1[0-9]{9}(\.[0-9]+)?\b|20[0-9-]{8}T[0-9:.]+Z?")
BARE = """
import asyncio, sys
from pathlib import Path
from cruddur_cli.local.emulator import configure
configure(Path(sys.argv[1]), int(sys.argv[2]))
from hypercorn.asyncio import serve
from hypercorn.config import Config
from ministack import app
from ministack.core import hypercorn_compat
hypercorn_compat.install()
config = Config()
config.bind = [f"fd://{sys.argv[3]}"]
asyncio.run(serve(app.app, config))
"""


def answers(port: int) -> list[tuple[int, bytes, dict[str, str]]]:
    """Status, body and headers of each answer, without generated ids and times."""
    results = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for target, content in REQUESTS:
        service = "dynamodb" if target else "rds" if "2014-10-31" in str(content) else "ec2"
        headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/{service}/aws4_request"}
        headers["Content-Type"] = "application/x-amz-json-1.0" if target else "application/x-www-form-urlencoded"
        if target:
            headers["X-Amz-Target"] = target
        body = content if isinstance(content, str) else json.dumps(content)
        connection.request("POST", "/", body=body, headers=headers)
        response = connection.getresponse()
        answer = MADE_UP.sub(b"*", response.read())
        ids = ("x-amz-id-2", "x-amzn-requestid", "x-amz-request-id", "x-amz-crc32", "date")
        returned = {name.lower(): value for name, value in response.getheaders()}
        returned = {name: value for name, value in returned.items() if not name.startswith("access-control-")}
        results.append((response.status, answer, {name: value for name, value in returned.items() if name not in ids}))
    connection.close()
    return results


def test_answers_are_those_of_the_emulator_without_the_guard(home: Path, tmp_path: Path) -> None:
    port = str(stack.up(postgres=False).aws_endpoint).rpartition(":")[2]
    guarded = answers(int(port))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bare_port = listener.getsockname()[1]
        command = [sys.executable, "-c", BARE, str(tmp_path), str(bare_port), str(listener.fileno())]
        env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        with subprocess.Popen(command, pass_fds=[listener.fileno()], env=env, stderr=subprocess.DEVNULL) as bare:
            try:
                assert answers(bare_port) == guarded
            finally:
                bare.kill()
    assert {status for status, _, _ in guarded} == {200, 400}
