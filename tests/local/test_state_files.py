"""The state of cruddur 0.1.0 is loaded; that version wrote the folder beside this file."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from cruddur_cli.errors import NotConfigured
from cruddur_cli.local import home as homes
from cruddur_cli.local import stack

from .engines import client

WRITTEN = Path(__file__).parent / "state_of_0_1_0"
SUBS = {"andrew": "e7df989d-0ba9-4cb2-b96b-91b99c8f181e", "bayko": "a00b58fa-5085-439d-a175-5bf524bd2f37"}
ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/cruddur-messages/stream/2026-11-26T03:24:18.306"


@pytest.fixture
def old(home: Path) -> Path:
    shutil.copytree(WRITTEN, home)
    for path in [home, *home.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    return home


def sort_keys() -> list[str]:
    items = client("dynamodb").scan(TableName="cruddur-messages")["Items"]
    return sorted(item["sk"]["S"] for item in items)


def check() -> None:
    assert sort_keys() == ["0", "1", "2", "3", "4", "9"]
    items = client("dynamodb").scan(TableName="cruddur-messages")["Items"]
    assert items[0]["b"]["B"] == b"\x00\xff"
    table = client("dynamodb").describe_table(TableName="cruddur-messages")["Table"]
    assert (table["LatestStreamArn"], table["ItemCount"]) == (ARN, 6)
    pool = client("cognito-idp").list_user_pools(MaxResults=5)["UserPools"][0]["Id"]
    users = client("cognito-idp").list_users(UserPoolId=pool)["Users"]
    attributes = {user["Username"]: {a["Name"]: a["Value"] for a in user["Attributes"]} for user in users}
    assert {name: user["sub"] for name, user in attributes.items()} == SUBS
    groups = client("ec2").describe_security_groups()["SecurityGroups"]
    assert "sg-54244ae97a3a40ff1" in {group["GroupId"] for group in groups}


def test_data_of_0_1_0_is_loaded_once(old: Path, sentences: list[str]) -> None:
    for _ in range(2):
        stack.up(postgres=False, say=sentences.append)
        check()
        stack.down()
    assert len(sentences) == 2, "nothing is lost, so nothing is said but the two starts"
    assert not list((old / "aws" / "state").glob("*.json")) and not (old / "aws" / "previous").exists()


def test_the_earlier_version_does_not_start_with_empty_data(old: Path) -> None:
    stack.up(postgres=False)
    stack.down()
    # It demands each file that is named here.
    (name,) = json.loads((old / "aws" / "saved.json").read_bytes())["files"]
    assert not (old / "aws" / "state" / f"{name}.json").exists()


def empty(path: Path) -> None:
    wrapped = json.loads(path.read_bytes())
    path.write_text(json.dumps(wrapped | {"payload": {}}))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [cut, empty, Path.unlink])
def test_a_damaged_file_is_replaced_by_its_earlier_copy(
    old: Path, sentences: list[str], damage: Callable[[Path], None]
) -> None:
    path = old / "aws" / "state" / "dynamodb.json"
    damage(path)
    stack.up(postgres=False, say=sentences.append)
    problem = "is missing" if damage is Path.unlink else "is damaged"
    assert f"{path} {problem}" in sentences[0] and "the copy saved at" in sentences[0]
    assert sort_keys() == ["0", "1", "2", "3", "4"]
    copies = list((old / "aws").glob("damaged/dynamodb-*.json"))
    assert len(copies) == (damage is not Path.unlink)
    assert all(stat.S_IMODE(path.parent.stat().st_mode) == 0o700 for path in copies)


def test_two_damaged_files_are_both_kept(old: Path, sentences: list[str]) -> None:
    shutil.copy(old / "aws" / "state" / "ec2.json", old / "aws" / "previous")
    for name in ("dynamodb", "ec2"):
        cut(old / "aws" / "state" / f"{name}.json")
    stack.up(postgres=False, say=sentences.append)
    assert sorted(path.name.partition("-")[0] for path in (old / "aws" / "damaged").iterdir()) == ["dynamodb", "ec2"]


@pytest.mark.parametrize("damage", [cut, empty, Path.unlink])
def test_a_damaged_file_without_an_earlier_copy_is_an_error(old: Path, damage: Callable[[Path], None]) -> None:
    path = old / "aws" / "state" / "cognito.json"
    whole = path.read_bytes()
    damage(path)
    for _ in range(2):
        with pytest.raises(NotConfigured) as caught:
            stack.up(postgres=False)
        assert str(path) in caught.value.message
        assert caught.value.hint and "then `cruddur setup`: PostgreSQL keeps its data" in caught.value.hint
    path.write_bytes(whole)
    stack.up(postgres=False)
    check()


def test_the_loss_after_a_kill_is_reported(old: Path, sentences: list[str]) -> None:
    homes.write(old / "aws" / "running.json", {"instance": "another", "started_at": 1700000000})
    stack.up(postgres=False, say=sentences.append)
    assert "what was written to it after 2023-11-14" in sentences[0] and "`cruddur setup`" in sentences[0]
    check()
