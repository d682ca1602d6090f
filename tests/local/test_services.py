"""The result of every operation that changes data is the same after kill -9."""

from __future__ import annotations

import base64
import http.client
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cruddur_cli.local import aws, stack
from cruddur_cli.local.services import items_after

from .engines import client
from .test_kills import kill

TABLE = "things"
SCHEMA: dict[str, Any] = {
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "group")],
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by-group",
            "KeySchema": [{"AttributeName": "group", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "BillingMode": "PAY_PER_REQUEST",
}
STREAM = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}


def item(pk: str, sk: str = "0", **more: Any) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}, "group": {"S": "g"}} | more


def plain(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def records(stream: str) -> list[dict[str, Any]]:
    streams = client("dynamodbstreams")
    shard = streams.describe_stream(StreamArn=stream)["StreamDescription"]["Shards"][0]["ShardId"]
    iterator = streams.get_shard_iterator(StreamArn=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    found: list[dict[str, Any]] = streams.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
    return found


def public_keys(pool_id: str) -> bytes:
    # No proxy that the environment names, as urllib would have it.
    connection = http.client.HTTPConnection(str(stack.aws_endpoint()).removeprefix("http://"), timeout=60)
    connection.request("GET", f"/{pool_id}/.well-known/jwks.json")
    answer = connection.getresponse()
    assert answer.status == 200
    return answer.read()


def seen(streams: set[str]) -> Iterator[Any]:
    """Everything that a client can read, except what DynamoDB itself does not promise."""
    dynamodb, cognito = client("dynamodb"), client("cognito-idp")
    for table in dynamodb.list_tables()["TableNames"]:
        described = plain(dynamodb.describe_table(TableName=table))
        yield described
        yield plain(dynamodb.scan(TableName=table))
        yield plain(dynamodb.describe_time_to_live(TableName=table))
        yield plain(dynamodb.list_tags_of_resource(ResourceArn=described["Table"]["TableArn"]))
        if stream := described["Table"].get("LatestStreamArn"):
            streams.add(stream)
        if described["Table"].get("GlobalSecondaryIndexes"):
            group = {":g": {"S": "g"}}
            yield plain(
                dynamodb.query(
                    TableName=table,
                    IndexName="by-group",
                    KeyConditionExpression="#g = :g",
                    ExpressionAttributeNames={"#g": "group"},
                    ExpressionAttributeValues=group,
                )
            )
    yield plain(dynamodb.list_backups())
    for stream in sorted(streams):
        yield plain(client("dynamodbstreams").describe_stream(StreamArn=stream))
        yield records(stream)
    for pool in cognito.list_user_pools(MaxResults=10)["UserPools"]:
        pool_id = pool["Id"]
        yield plain(cognito.describe_user_pool(UserPoolId=pool_id))
        yield plain(cognito.list_users(UserPoolId=pool_id))
        yield plain(cognito.list_groups(UserPoolId=pool_id))
        yield plain(cognito.list_user_pool_clients(UserPoolId=pool_id))
        yield public_keys(pool_id)
    yield plain(client("ec2").describe_security_groups())
    yield plain(client("rds").describe_db_instances())


def change_items(_streams: set[str]) -> None:
    dynamodb = client("dynamodb")
    dynamodb.create_table(TableName=TABLE, **SCHEMA, StreamSpecification=STREAM, Tags=[{"Key": "a", "Value": "b"}])
    odd = {"M": {"__bytes__": {"S": "x"}, "é": {"L": [{"N": "1.50"}, {"NULL": True}, {"BOOL": False}]}}}
    dynamodb.put_item(TableName=TABLE, Item=item("odd", odd=odd, bytes={"B": b"\0\xff"}, set={"SS": ["b", "a"]}))
    dynamodb.put_item(TableName=TABLE, Item=item("put"))
    dynamodb.put_item(TableName=TABLE, Item=item("put", more={"N": "1"}))
    dynamodb.put_item(TableName=TABLE, Item=item("deleted"))
    dynamodb.delete_item(TableName=TABLE, Key={"pk": {"S": "deleted"}, "sk": {"S": "0"}})
    update = {"UpdateExpression": "ADD n :one", "ExpressionAttributeValues": {":one": {"N": "1"}}}
    for __ in range(2):
        dynamodb.update_item(TableName=TABLE, Key={"pk": {"S": "put"}, "sk": {"S": "0"}}, **update)
    batch = [{"PutRequest": {"Item": item("batch", str(number))}} for number in range(20)]
    dynamodb.batch_write_item(RequestItems={TABLE: [*batch, {"DeleteRequest": {"Key": key("put")}}]})
    actions: list[dict[str, Any]] = [{"Put": {"TableName": TABLE, "Item": item("transacted")}}]
    actions += [{"Delete": {"TableName": TABLE, "Key": key("batch")}}]
    dynamodb.transact_write_items(TransactItems=actions)
    refused = {"Put": {"TableName": TABLE, "Item": item("odd"), "ConditionExpression": "attribute_not_exists(pk)"}}
    with pytest.raises(ClientError):
        dynamodb.transact_write_items(TransactItems=[{"Put": {"TableName": TABLE, "Item": item("refused")}}, refused])
    insert = "INSERT INTO things VALUE {'pk': ?, 'sk': ?, 'group': ?}"
    dynamodb.execute_statement(Statement=insert, Parameters=[{"S": "partiql"}, {"S": "0"}, {"S": "g"}])
    taken = [{"S": "odd"}, {"S": "0"}, {"S": "g"}]
    other = [{"S": "taken back"}, {"S": "0"}, {"S": "g"}]
    with pytest.raises(ClientError):
        dynamodb.execute_transaction(
            TransactStatements=[{"Statement": insert, "Parameters": parameters} for parameters in (other, taken)]
        )


def stream_of(table: str) -> str:
    return str(client("dynamodb").describe_table(TableName=table)["Table"]["LatestStreamArn"])


def key(pk: str, sk: str = "0") -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def change_tables(streams: set[str]) -> None:
    dynamodb = client("dynamodb")
    for name in ("dropped", "again"):
        dynamodb.create_table(TableName=name, **SCHEMA, StreamSpecification=STREAM)
        dynamodb.put_item(TableName=name, Item=item("x"))
        streams.add(stream_of(name))
    dynamodb.update_time_to_live(
        TableName="again", TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"}
    )
    dynamodb.delete_table(TableName="dropped")
    dynamodb.delete_table(TableName="again")
    dynamodb.create_table(TableName="again", **SCHEMA)
    dynamodb.put_item(TableName="again", Item=item("y"))
    index = {"IndexName": "by-group"}
    dynamodb.update_table(TableName="again", GlobalSecondaryIndexUpdates=[{"Delete": index}])
    dynamodb.update_table(TableName="again", StreamSpecification=STREAM)
    dynamodb.put_item(TableName="again", Item=item("z"))
    streams.add(stream_of("again"))
    dynamodb.update_table(TableName="again", StreamSpecification={"StreamEnabled": False})
    dynamodb.update_table(TableName="again", DeletionProtectionEnabled=True)
    backup = dynamodb.create_backup(TableName=TABLE, BackupName="backup")["BackupDetails"]["BackupArn"]
    dynamodb.restore_table_from_backup(TargetTableName="restored", BackupArn=backup)
    dynamodb.put_item(TableName="restored", Item=item("after"))


def change_users(_streams: set[str] | None = None) -> None:
    cognito = client("cognito-idp")
    pool = cognito.create_user_pool(PoolName="cruddur", UsernameAttributes=["email"])["UserPool"]["Id"]
    app = cognito.create_user_pool_client(
        UserPoolId=pool, ClientName="app", ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"]
    )["UserPoolClient"]["ClientId"]
    cognito.create_group(UserPoolId=pool, GroupName="admins")
    for name in ("a@example.com", "b@example.com", "c@example.com"):
        cognito.admin_create_user(UserPoolId=pool, Username=name, MessageAction="SUPPRESS")
    which = {"UserPoolId": pool, "Username": "a@example.com"}
    cognito.admin_set_user_password(**which, Password="Testing1234!", Permanent=True)
    attributes = [{"Name": "preferred_username", "Value": "andrew"}]
    cognito.admin_update_user_attributes(**which, UserAttributes=attributes)
    cognito.admin_add_user_to_group(**which, GroupName="admins")
    cognito.admin_disable_user(UserPoolId=pool, Username="b@example.com")
    cognito.admin_delete_user(UserPoolId=pool, Username="c@example.com")
    token(pool, app)
    other = cognito.create_user_pool(PoolName="deleted")["UserPool"]["Id"]
    cognito.admin_create_user(UserPoolId=other, Username="x", MessageAction="SUPPRESS")
    cognito.delete_user_pool(UserPoolId=other)


def token(pool: str, app: str) -> dict[str, Any]:
    answer: dict[str, Any] = client("cognito-idp").admin_initiate_auth(
        UserPoolId=pool,
        ClientId=app,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "a@example.com", "PASSWORD": "Testing1234!"},
    )["AuthenticationResult"]
    return answer


def change_the_rest(_streams: set[str]) -> None:
    ec2 = client("ec2")
    group = ec2.create_security_group(GroupName="db", Description="d")["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=5432, ToPort=5432, CidrIp="192.0.2.1/32"
    )


CHANGES = [change_items, change_tables, change_users, change_the_rest]


def test_all_that_can_be_seen_is_the_same_after_kills(home: Path) -> None:
    stack.up(postgres=False)
    streams: set[str] = set()
    for change in CHANGES:
        change(streams)
        before = list(seen(streams))
        kill()
        stack.up(postgres=False)
        assert list(seen(streams)) == before
    assert len(streams) == 4, "that of a table, and three that are closed"
    aws.snapshot(home)
    kill()
    stack.up(postgres=False)
    assert list(seen(streams)) == before


def test_a_transaction_repeated_after_a_kill_is_applied_once(home: Path) -> None:
    stack.up(postgres=False)
    client("dynamodb").create_table(TableName=TABLE, **SCHEMA)
    put = {"Put": {"TableName": TABLE, "Item": item("a"), "ConditionExpression": "attribute_not_exists(pk)"}}
    for _ in range(2):
        client("dynamodb").transact_write_items(TransactItems=[put], ClientRequestToken="the same")
        kill()
        stack.up(postgres=False)


def test_a_reader_of_the_stream_continues_after_a_kill(home: Path) -> None:
    stack.up(postgres=False)
    client("dynamodb").create_table(TableName=TABLE, **SCHEMA, StreamSpecification=STREAM)
    client("dynamodb").put_item(TableName=TABLE, Item=item("before"))
    streams = client("dynamodbstreams")
    stream = streams.list_streams()["Streams"][0]["StreamArn"]
    shard = streams.describe_stream(StreamArn=stream)["StreamDescription"]["Shards"][0]["ShardId"]
    latest = streams.get_shard_iterator(StreamArn=stream, ShardId=shard, ShardIteratorType="LATEST")["ShardIterator"]
    kill()
    stack.up(postgres=False)
    client("dynamodb").put_item(TableName=TABLE, Item=item("after"))
    (record,) = client("dynamodbstreams").get_records(ShardIterator=latest)["Records"]
    assert record["dynamodb"]["Keys"]["pk"] == {"S": "after"}
    assert record["dynamodb"]["SequenceNumber"] > records(stream)[0]["dynamodb"]["SequenceNumber"]


def test_the_place_of_a_sequence_number_is_found_without_parsing_records(tmp_path: Path) -> None:
    code = f"""
import json
from pathlib import Path
from cruddur_cli.local import emulator, services
from cruddur_cli.local.generations import Contents
emulator.configure(Path({str(tmp_path)!r}), 1)
from ministack import app
from ministack.services import dynamodb, dynamodb_streams

parsed = []
class Counting:
    dumps = staticmethod(json.dumps)
    @staticmethod
    def loads(text):
        parsed.append(text)
        return json.loads(text)

def record(number):
    image = {{"SequenceNumber": {{"S": '"SequenceNumber":"7"'}}, "n": {{"N": str(number)}}}}
    return json.dumps({{"dynamodb": {{"NewImage": image, "SequenceNumber": f"{{number:021}}"}}}}).encode()

arn = "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-01-01T00:00:00.000"
held = services._Records([record(number) for number in range(1000)])
closed = {{"records": held, "trimmed": 0, "table": "t", "table_name": "t", "key_schema": [], "closed_at": 4e9}}
dynamodb.closed_stream = lambda asked: closed if asked == arn else None
services.json = Counting
for kind, first in (("AT_SEQUENCE_NUMBER", 700), ("AFTER_SEQUENCE_NUMBER", 701)):
    asked = {{"StreamArn": arn, "ShardIteratorType": kind, "SequenceNumber": f"{{700:021}}"}}
    status, _, body = dynamodb_streams._get_shard_iterator(asked)
    assert status == 200, body
    iterator = json.loads(body)["ShardIterator"]
    assert dynamodb_streams._decode_iterator(iterator)["p"] == first
    assert parsed == [], len(parsed)
assert held[701]["dynamodb"]["NewImage"]["n"] == {{"N": "701"}}
assert len(parsed) == 1
assert [each["dynamodb"]["SequenceNumber"] for each in held] == [f"{{number:021}}" for number in range(1000)]
assert len(parsed) == 1
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("damage", ["missing", "empty", "flipped"])
def test_the_keys_that_sign_tokens_survive_damage(home: Path, damage: str) -> None:
    stack.up(postgres=False)
    change_users()
    pool = client("cognito-idp").list_user_pools(MaxResults=5)["UserPools"][0]["Id"]
    app = client("cognito-idp").list_user_pool_clients(UserPoolId=pool)["UserPoolClients"][0]["ClientId"]
    before = token(pool, app)["AccessToken"]
    kill()
    files = list((home / "aws" / "state").rglob("*.pem"))
    assert len(files) == 3, "one of old, and two of the pool"
    for path in files:
        if damage == "missing":
            path.unlink()
        else:
            content = path.read_text()
            path.write_text("" if damage == "empty" else content[:400] + content[400].swapcase() + content[401:])
    stack.up(postgres=False)
    after = token(pool, app)["AccessToken"]
    assert header(after) == header(before), "signed with the same key"


def header(access_token: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(access_token.split(".", maxsplit=1)[0] + "=="))


def test_every_store_of_ministacks_dynamodb_is_known_here(tmp_path: Path) -> None:
    # A later ministack may keep something more; its name then belongs into STORES.
    code = f"""
from pathlib import Path
from cruddur_cli.local import emulator, services
emulator.configure(Path({str(tmp_path)!r}), 1)
from ministack import app
from ministack.services import dynamodb
from ministack.core.responses import AccountRegionScopedDict
assert dynamodb.get_state().keys() == {{"tables", *services.STORES}}
scoped = {{name for name, value in vars(dynamodb).items() if isinstance(value, AccountRegionScopedDict)}}
known = {{"tables", "stream_records", "stream_trimmed", "closed_streams", "txn_idempotency", *services.STORES}}
assert scoped == {{f"_{{name}}" for name in known}}, scoped
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_scan_in_pages_gives_each_item_once_in_the_order_of_one_page(home: Path) -> None:
    stack.up(postgres=False)
    dynamodb = client("dynamodb")
    for kind in ("S", "N", "B"):
        _scanned_in_pages(dynamodb, kind)


def _scanned_in_pages(dynamodb: Any, kind: str) -> None:
    texts = [f"{number}" for number in (1, 10, 100, 11, 12, 2, 20, 21, 3, 30)]
    keys = [base64.b64encode(text.encode()) if kind == "B" else text for text in texts]
    name = f"pages-of-{kind}"
    dynamodb.create_table(
        TableName=name,
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": kind},
        ],
        KeySchema=SCHEMA["KeySchema"],
        BillingMode="PAY_PER_REQUEST",
    )
    for pk in ("a", "A", "é", "b"):
        for sk in keys:
            dynamodb.put_item(TableName=name, Item={"pk": {"S": pk}, "sk": {kind: sk}})
    whole = dynamodb.scan(TableName=name)["Items"]
    assert len(whole) == 40
    for limit in (1, 3, 39, 40):
        pages = dynamodb.get_paginator("scan").paginate(TableName=name, PaginationConfig={"PageSize": limit})
        assert [found for page in pages for found in page["Items"]] == whole
    # A key that was deleted meanwhile is a place to go on from, too.
    dynamodb.delete_item(TableName=name, Key=whole[17])
    assert dynamodb.scan(TableName=name, ExclusiveStartKey=whole[17])["Items"] == whole[18:]


def test_the_items_after_a_key_are_those_of_the_emulators_own_function() -> None:
    dynamodb = importlib.import_module("ministack.services.dynamodb")
    rows = [item(pk, sk) for pk in ("a", "b") for sk in ("1", "10", "2")]
    table = {"pk_name": "pk", "sk_name": "sk"}
    starts = [item(pk, sk) for pk in ("0", "a", "aa", "b", "c") for sk in ("", "1", "11", "2", "3")]
    for start in starts:
        found = items_after(rows, start, table, value_of=dynamodb._extract_key_val)
        assert found == dynamodb._apply_exclusive_start_key_scan(rows, start, table)
    alone = {"pk_name": "pk", "sk_name": None}
    rows = [{"pk": {"S": pk}} for pk in "abc"]
    assert items_after(rows, {"pk": {"S": "b"}}, alone, value_of=dynamodb._extract_key_val) == rows[2:]
