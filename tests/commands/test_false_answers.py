"""Every command fails where another server answers, or where answers are damaged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.httpsession import URLLib3Session

from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.cli import tree
from tests import faults
from tests.aws import account as accounts
from tests.aws.account import GROUP as SECURITY_GROUP
from tests.aws.account import RULE
from tests.commands.conftest import Here
from tests.conftest import Ran
from tests.dynamodb.rows import GROUP, ME, OTHER, group_row

POOL = "us-east-1_false"
SG = ["--group-id", SECURITY_GROUP]
# What a command is run with, where it takes more than its name; a word instead says why no service is asked.
SPECIAL: dict[str, list[list[str]] | str] = {
    "audit": "asks AWS itself, whatever an endpoint says: see below",
    "config": "shows settings",
    "history": "shows a file of this machine",
    "ddb reset": [["--yes"]],
    "ddb schema-load": [[], ["--stream"]],
    "ddb drop": [["--yes"], ["--yes", "--if-exists"]],
    "ddb scan": [[], ["--pk", f"MSG#{GROUP}"]],
    "ddb list-conversations": [["andrewbrown"], ["andrewbrown", "--with", "bayko"]],
    "ddb get-conversation": [[GROUP], [GROUP, "--follow"]],
    "ddb start-conversation": [["--from", "andrewbrown", "--to", "bayko", "hello"]],
    "ddb send-message": [["--from", "andrewbrown", "--to", "bayko", "hello"]],
    "ddb export": [["out.jsonl"], ["-"]],
    "ddb import": [["rows.jsonl"]],
    "ddb copy": [["--from", "prod"]],
    "ddb backup": [[], ["--prod"]],
    "ddb list-backups": [["--prod"]],
    "ddb restore": [["x", "--into", "restored", "--prod"]],
    "ddb protect": [["--prod"]],
    "ddb stream process": [["--once"]],
    "ddb stream tail": [["--once", "--from", "oldest"]],
    "ddb stream package": "packs files",
    "ddb stream template": "prints a text",
    **dict.fromkeys(
        ["db setup", "db reset", "db create", "db release-copy", "db drop", "db schema-load", "db seed", "db ping",
         "db diff", "db add-user", "db connect", "db sessions", "db kill-all", "db migrate", "db migration-status",
         "db new-migration", "db rollback"],
        "asks PostgreSQL",
    ),
    "cognito token": "asks the embedded stack alone",
    "rds update-sg-rule": [[*SG, "--rule-id", RULE, "--ip", "203.0.113.7"]],
    "rds revoke": [[*SG, "--rule-id", RULE], [*SG, "--expired"]],
    "rds stop": [["--yes"]],
    **dict.fromkeys(
        ["local up", "local down", "local status", "local env", "local run", "local logs", "local reset"],
        "runs the embedded stack",
    ),
}  # fmt: skip
COMMANDS = {words: SPECIAL.get(words, [[]]) for words in map(" ".join, tree.paths())}
ASKING = [
    [*words.split(), *arguments]
    for words, every in COMMANDS.items()
    if not isinstance(every, str)
    for arguments in every
]
KINDS = (*faults.FALSE, faults.other_shape)
# A command that looks at several things says what it could not look at, and ends with 1.
REPORTS = {"doctor": {1}}

Try = Callable[..., Ran]


@contextmanager
def proxies(engine: str, change: Any, **more: Any) -> Iterator[tuple[list[faults.Falsifier], accounts.Account]]:
    """Proxies with false answers for every service: DynamoDB, Streams and Cognito of the engine, and an account."""
    with (
        accounts.serving() as account,
        faults.falsified(engine, change, **more) as stores,
        faults.falsified(account.url, change, **more) as machines,
    ):
        account.add_instance()
        yield [stores, machines], account


@pytest.fixture
def attempt(here: Here, monkeypatch: pytest.MonkeyPatch, emulator: str) -> Try:
    """A function that runs a command against the services behind the proxies."""
    monkeypatch.setattr(aws_client, "TIMEOUTS", aws_client.Timeouts(unreachable=0.05))
    table = "false-answers"
    Path("rows.jsonl").write_text(json.dumps(group_row(ME, OTHER, "2026-11-20", "text")) + "\n")

    def run(found: list[faults.Falsifier], *command: str) -> Ran:
        stores, machines = (one.url for one in found)
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", stores)
        monkeypatch.setenv("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", stores)
        monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", machines)
        monkeypatch.setenv("AWS_ENDPOINT_URL_RDS", machines)
        monkeypatch.setenv("AWS_COGNITO_USER_POOL_ID", POOL)
        for name, value in (("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_REGION", "us-east-1")):
            monkeypatch.setenv(name, value)
        Path("cruddur.toml").write_text(f'[prod]\ntable = "{table}"\ndynamodb_endpoint = "{stores}"\n')
        return here(*command)

    return run


def check(ran: Ran, command: list[str], codes: set[int]) -> None:
    """Assert one sentence, an exit code of the contract, and no term of the implementation."""
    assert ran.code in codes, ran.err
    assert "unexpected" not in ran.err and "Traceback" not in ran.err, ran.err
    words = next(words for words in sorted(COMMANDS, key=len, reverse=True) if " ".join(command).startswith(words))
    if ran.code > 1:
        assert ran.err.count(f"cruddur {words}: ") == 1, ran.err
        assert ran.out == "" or words == "ddb stream process"  # which counts what it has applied


def test_a_command_with_arguments_of_its_own_is_in_the_tree() -> None:
    assert set(SPECIAL) - set(COMMANDS) == set()


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_a_command_ends_with_4_where_another_server_answers(attempt: Try, emulator: str, command: list[str]) -> None:
    with proxies(emulator, faults.empty) as (found, _):
        for kind in KINDS:
            for one in found:
                one.change = kind
                one.struck.clear()
            ran = attempt(found, *command)
            assert any(one.struck for one in found), ran.err
            check(ran, command, REPORTS.get(command[0], {4}))
            assert not Path("out.jsonl").exists()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_audit_finds_nothing_in_false_answers(
    here: Here, monkeypatch: pytest.MonkeyPatch, kind: Callable[..., Any]
) -> None:
    monkeypatch.setattr(URLLib3Session, "send", faults.every_answer(kind))
    for name, value in (("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_REGION", "us-east-1")):
        monkeypatch.setenv(name, value)
    check(here("audit", "--prod"), ["audit"], {4})


# What these show beside the instance: which rules have expired.
BESIDE = {(command, "DescribeSecurityGroupRules") for command in ("status", "start", "stop")}
# On the engines as they are set up here these end in success.
WHOLE = [
    ["ddb", "list-tables"],
    ["ddb", "describe-table"],
    ["ddb", "scan"],
    ["ddb", "scan", "--pk", f"MSG#{GROUP}"],
    ["ddb", "stats"],
    ["ddb", "diff"],
    ["ddb", "list-conversations", "andrewbrown"],
    ["ddb", "get-conversation"],
    ["ddb", "list-conversations", "andrewbrown", "--with", "bayko"],
    ["ddb", "send-message", "--from", "andrewbrown", "--to", "bayko", "hello"],
    ["ddb", "seed"],
    ["ddb", "schema-load", "--stream"],
    ["ddb", "import", "rows.jsonl"],
    ["ddb", "export", "out.jsonl"],
    ["ddb", "stream", "process", "--once", "--from", "oldest"],
    ["ddb", "stream", "tail", "--once", "--from", "oldest"],
    ["ddb", "setup"],
    ["ddb", "reset", "--yes"],
    ["ddb", "drop", "--yes"],
    ["rds", "status"],
    ["rds", "start"],
    ["rds", "stop", "--yes"],
    ["rds", "update-sg-rule", *SG, "--rule-id", RULE, "--ip", "203.0.113.7"],
    ["rds", "revoke", *SG, "--rule-id", RULE],
]


@pytest.mark.parametrize("command", WHOLE, ids=lambda command: " ".join(command[:3]))
def test_one_operation_that_is_never_carried_out_is_no_success(attempt: Try, emulator: str, command: list[str]) -> None:
    asked: list[str] = []
    chosen: list[str] = []
    kind: list[Any] = [faults.empty]

    def change(operation: str, *answer: Any) -> Any:
        asked.append(operation)
        return kind[0](operation, *answer) if operation in chosen else None

    def prepare() -> None:
        chosen.clear()
        account.empty()
        account.add_instance(status="stopped" if command[1] == "start" else "available")
        if command[0] == "ddb":
            ran = attempt(found, "ddb", "setup", "--stream")
            assert ran.code == 0, ran.err

    with proxies(emulator, change, keeps=lambda operation: operation in chosen) as (found, account):
        prepare()
        asked.clear()
        ran = attempt(found, *command)
        assert ran.code == 0, ran.err
        for number, operation in enumerate(list(dict.fromkeys(asked))):
            prepare()
            Path("out.jsonl").unlink(missing_ok=True)
            chosen.append(operation)
            kind[0] = KINDS[number % len(KINDS)]
            asked.clear()
            ran = attempt(found, *command)
            assert operation in asked, asked
            is_beside = command[0] == "rds" and (command[1], operation) in BESIDE
            check(ran, command, {1 if is_beside else 4})
            assert ("cannot tell which rules have expired: " in ran.err) is is_beside
        chosen.clear()
        attempt(found, "ddb", "drop", "--yes")
