"""The rds commands: their requests to AWS, what they refuse before a request, and their output."""

from __future__ import annotations

import json
import os
import pty
import select
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cruddur_cli.cli import main as cli
from tests import clock
from tests.aws.account import GROUP, OTHER_GROUP, RULE, Account, Entry, Refusal, other, serving
from tests.aws.test_address import serving as serving_address
from tests.conftest import NOWHERE, Ran

Command = Callable[..., Ran]
POINT = ("rds", "update-sg-rule", "--group-id", GROUP, "--rule-id", RULE)
HERE = "203.0.113.7"


@pytest.fixture(scope="module")
def server() -> Iterator[Account]:
    with serving() as found:
        yield found


@pytest.fixture
def account(server: Account, monkeypatch: pytest.MonkeyPatch) -> Account:
    server.empty()
    server.add_instance()
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", server.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_RDS", server.url)
    return server


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Command:
    """A function that runs a command line in this process, without a terminal."""

    def run(*arguments: str) -> Ran:
        capfd.readouterr()
        code = cli.run(list(arguments))
        return Ran(int(code), *capfd.readouterr())

    return run


@contextmanager
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy on loopback that refuses every connection and records the hosts."""
    asked: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline().decode().split()[1])
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()


def with_keys(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY")
    patch.setenv("AWS_REGION", "ca-central-1")


def test_the_rule_allows_this_machine(account: Account, run: Command) -> None:
    ran = run(*POINT, "--ip", HERE, "-o", "json")
    assert ran.code == 0, ran.err
    shown = json.loads(ran.out)
    (item,) = shown["items"]
    assert item | {"description": ""} == {
        "group_id": GROUP,
        "rule_id": RULE,
        "before": "198.51.100.1/32",
        "after": f"{HERE}/32",
        "description": "",
        "result": "updated",
    }
    assert {key: shown[key] for key in ("count", "updated", "unchanged", "dry_run")} == {
        "count": 1,
        "updated": 1,
        "unchanged": 0,
        "dry_run": False,
    }
    assert account.rules[RULE] == Entry(ipv4=f"{HERE}/32", description=item["description"])
    assert item["description"].startswith("cruddur ")
    assert ran.err.splitlines()[0] == f"local: rule {RULE} of security group {GROUP}, EC2 at {account.url}, us-east-1"


@pytest.mark.parametrize("day", clock.DAYS)
def test_the_rules_description_has_the_time_of_the_change(
    account: Account, run: Command, today: Callable[[datetime], None], day: str
) -> None:
    today(clock.DAYS[day])
    assert run(*POINT, "--ip", HERE).code == 0
    assert f" {clock.DAYS[day]:%Y-%m-%dT%H:}" in str(account.rules[RULE].description)


def test_a_correct_rule_is_not_changed_and_reported(account: Account, run: Command) -> None:
    assert run(*POINT, "--ip", HERE).code == 0
    before = dict(account.rules)
    ran = run(*POINT, "--ip", HERE, "-o", "json")
    assert (ran.code, json.loads(ran.out)["updated"], json.loads(ran.out)["unchanged"]) == (0, 0, 1)
    assert f"already allows {HERE}/32" in ran.err
    assert account.rules == before
    assert account.operations().count("ModifySecurityGroupRules") == 1


def test_a_dry_run_reports_what_would_change(account: Account, run: Command) -> None:
    ran = run(*POINT, "--ip", HERE, "-n", "-o", "json")
    assert (ran.code, json.loads(ran.out)["dry_run"]) == (0, True)
    assert f"would allow {HERE}/32" in ran.err
    assert "(dry run)" in ran.err
    assert account.rules == {RULE: Entry()}
    assert account.operations() == ["DescribeSecurityGroupRules"] * 2  # the second looks for rules whose time is over


@pytest.mark.parametrize(
    ("arguments", "variables", "code"),
    [
        (["--ip", ""], {}, 2),
        (["--ip", "/32"], {}, 2),
        (["--ip", f"{HERE}/33"], {}, 2),
        (["--ip", f"{HERE}/24"], {}, 2),
        (["--ip", "10.0.0.1"], {}, 2),
        (["--ip", "::1"], {}, 2),
        (["--ip", "2001:db8::1/64"], {}, 2),
        (["--ip", "0.0.0.0/0"], {}, 6),
        (["--ip", "::/0"], {}, 6),
        (["--ip", HERE, "--anywhere"], {}, 2),
        ([], {"GITPOD_IP": "0.0.0.0/0"}, 6),
        ([], {"GITPOD_IP": "203.0.113.0/24"}, 3),
        ([], {"GITPOD_IP": " "}, 3),
        ([], {"CODESPACES_IP": "192.168.0.7"}, 3),
        ([], {}, 4),
        ([], {"GITPOD_IP": ""}, 4),
        ([], {"CRUDDUR_ADDRESS_SERVICES": "http://checkip.example,http://ipify.example"}, 3),
    ],
)
def test_an_unusable_address_is_refused_before_any_request(
    account: Account,
    run: Command,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    variables: dict[str, str],
    code: int,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for more in ([], ["--discover"], ["-n"]):
        ran = run(*POINT[: 2 if more == ["--discover"] else 6], *arguments, *more)
        assert (ran.code, ran.out) == (code, ""), ran.err
        assert "next: " in ran.err
    assert account.asked == []


@pytest.mark.parametrize(
    ("variables", "arguments", "network"),
    [
        ({"GITPOD_IP": HERE}, [], f"{HERE}/32"),
        ({"CODESPACES_IP": HERE}, [], f"{HERE}/32"),
        ({"GITPOD_IP": HERE, "CODESPACES_IP": "203.0.113.9"}, [], f"{HERE}/32"),
        ({"GITPOD_IP": "203.0.113.9"}, ["--ip", HERE], f"{HERE}/32"),
        ({"GITPOD_IP": "203.0.113.9"}, ["--ip", "203.0.113.0/24"], "203.0.113.0/24"),
        ({"GITPOD_IP": HERE}, ["--anywhere", "--yes"], "0.0.0.0/0"),
        ({}, ["--anywhere", "--yes", "--ip", "0.0.0.0/0"], "0.0.0.0/0"),
    ],
)
def test_the_address_is_from_an_option_or_a_variable(
    account: Account,
    run: Command,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    arguments: list[str],
    network: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    ran = run(*POINT, *arguments)
    assert ran.code == 0, ran.err
    assert account.rules[RULE].ipv4 == network
    assert ("The whole internet" in ran.err) == ("--anywhere" in arguments)


def test_two_services_are_asked_if_no_address_is_set(
    account: Account, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        serving_address(HERE.encode(), 200, {}, 0) as (one, _),
        serving_address(HERE.encode(), 200, {}, 0) as (two, _),
    ):
        monkeypatch.setenv("CRUDDUR_ADDRESS_SERVICES", f"{one}, {two}")
        assert run(*POINT).code == 0
    assert account.rules[RULE].ipv4 == f"{HERE}/32"


def test_services_that_disagree_change_nothing(account: Account, run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        serving_address(HERE.encode(), 200, {}, 0) as (one, _),
        serving_address(b"203.0.113.9", 200, {}, 0) as (two, _),
    ):
        monkeypatch.setenv("CRUDDUR_ADDRESS_SERVICES", f"{one},{two}")
        ran = run(*POINT, "-o", "json")
    assert ran.code == 5
    assert json.loads(ran.err)["error"]["code"] == "address_disagreement"
    assert account.asked == []


def test_a_rule_that_is_read_back_differently_is_an_error(account: Account, run: Command) -> None:
    account.on_modify = lambda _: Entry()
    ran = run(*POINT, "--ip", HERE)
    assert (ran.code, ran.out) == (1, "")
    assert "read back: it is inbound tcp 5432 from IPv4 198.51.100.1/32" in ran.err


def test_a_stale_id_lists_candidates(account: Account, run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_SG_ID", GROUP)
    monkeypatch.setenv("DB_SG_RULE_ID", "sgr-ffffffffffffffff")
    ran = run("rds", "update-sg-rule", "--ip", HERE)
    assert ran.code == 5
    assert f"  {GROUP}  cruddur-db  {RULE}  198.51.100.1/32  GITPOD\n" in ran.err
    ran = run("rds", "update-sg-rule", "--ip", HERE, "-o", "json")
    error = json.loads(ran.err)["error"]
    assert (error["code"], error["candidates"][0]["rule_id"]) == ("rule_not_found", RULE)
    assert "ModifySecurityGroupRules" not in account.operations()


def test_without_ids_the_error_names_the_group_and_the_rule(account: Account, run: Command) -> None:
    ran = run("rds", "update-sg-rule", "--ip", HERE)
    assert ran.code == 3
    assert f"next: --group-id {GROUP} --rule-id {RULE}, or --discover" in ran.err
    assert "ModifySecurityGroupRules" not in account.operations()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (Entry(egress=True), "outbound"),
        (Entry(from_port=22, to_port=22), "tcp 22"),
        (Entry(group=OTHER_GROUP), f"belongs to group {OTHER_GROUP}"),
        (Entry(ipv4=None, referenced=OTHER_GROUP), "allows a security group"),
    ],
)
def test_a_rule_of_another_kind_is_not_changed(account: Account, run: Command, entry: Entry, message: str) -> None:
    account.put(entry)
    ran = run(*POINT, "--ip", HERE)
    assert ran.code in {5, 6}
    assert message in ran.err
    assert account.rules[RULE] == entry


def test_discovery_ignores_ids_that_may_be_stale(
    account: Account, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_SG_ID", "sg-0ffffffffffffffff")
    monkeypatch.setenv("DB_SG_RULE_ID", "sgr-ffffffffffffffff")
    ran = run("rds", "update-sg-rule", "--discover", "--ip", HERE)
    assert ran.code == 0, ran.err
    assert f"export DB_SG_ID={GROUP} DB_SG_RULE_ID={RULE}" in ran.err
    assert account.rules[RULE].ipv4 == f"{HERE}/32"


def test_discovery_by_instance_and_by_name(account: Account, run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    account.add_instance("other-db", groups=[OTHER_GROUP])
    account.put(other("sgr-0000000000000002", group=OTHER_GROUP, description="by hand"))
    assert run("rds", "update-sg-rule", "--discover", "--ip", HERE).code == 3
    assert run("rds", "update-sg-rule", "--discover", "--instance", "other-db", "--ip", HERE).code == 0
    assert account.rules["sgr-0000000000000002"].ipv4 == f"{HERE}/32"
    monkeypatch.setenv("CRUDDUR_DB_INSTANCE", "other-db")
    assert run("rds", "update-sg-rule", "--discover", "--group-id", "cruddur-db", "--ip", HERE).code == 0
    assert account.rules[RULE].ipv4 == f"{HERE}/32"
    assert run("rds", "update-sg-rule", "--discover", "--rule-id", RULE, "--ip", HERE).code == 2


def test_several_matching_rules_are_listed(account: Account, run: Command) -> None:
    account.put(other("sgr-0000000000000002", ipv4="198.51.100.2/32"))
    ran = run("rds", "update-sg-rule", "--discover", "--ip", HERE)
    assert ran.code == 3
    assert RULE in ran.err
    assert "sgr-0000000000000002" in ran.err
    assert "ModifySecurityGroupRules" not in account.operations()


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("DescribeSecurityGroupRules", "ec2:DescribeSecurityGroupRules"),
        ("ModifySecurityGroupRules", "ec2:ModifySecurityGroupRules"),
        ("DescribeDBInstances", "rds:DescribeDBInstances"),
    ],
)
def test_a_permission_that_is_missing_is_named(account: Account, run: Command, operation: str, action: str) -> None:
    account.fail(operation, Refusal("UnauthorizedOperation" if "Rules" in operation else "AccessDenied", status=403))
    arguments = POINT if "Rules" in operation else ("rds", "update-sg-rule", "--discover")
    ran = run(*arguments, "--ip", HERE)
    assert ran.code == 5
    assert action in ran.err
    assert account.rules == {RULE: Entry()}


def test_without_credentials_no_request_is_sent(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "ca-central-1")
    with proxy() as (url, asked):
        monkeypatch.setenv("HTTPS_PROXY", url)
        for arguments in ((*POINT, "--ip", HERE), ("rds", "status"), ("rds", "start"), ("rds", "stop")):
            ran = run(*arguments)
            assert (ran.code, ran.out) == (3, ""), ran.err
            assert "aws configure" in ran.err
    assert asked == []


def test_a_missing_region_is_reported(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with_keys(monkeypatch)
    monkeypatch.delenv("AWS_REGION")
    ran = run("rds", "status")
    assert ran.code == 3
    assert "region" in ran.err


@pytest.mark.parametrize("prod", [[], ["--prod"]])
def test_a_plain_endpoint_variable_never_counts(
    account: Account, run: Command, monkeypatch: pytest.MonkeyPatch, prod: list[str]
) -> None:
    with_keys(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", account.url)
    if not prod:
        monkeypatch.delenv("AWS_ENDPOINT_URL_EC2")
        monkeypatch.delenv("AWS_ENDPOINT_URL_RDS")
    with proxy() as (url, asked):
        monkeypatch.setenv("HTTPS_PROXY", url)
        assert run(*POINT, "--ip", HERE, *prod).code == 4
        assert run("rds", "status", *prod).code == 4
    assert asked == ["ec2.ca-central-1.amazonaws.com:443", "rds.ca-central-1.amazonaws.com:443"]
    assert account.asked == []


def test_only_the_production_part_of_the_file_names_an_endpoint_for_production(
    account: Account, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_keys(monkeypatch)
    Path("cruddur.toml").write_text(
        f'ec2_endpoint = "{NOWHERE}"\n[prod]\nregion = "eu-west-1"\nec2_endpoint = "{account.url}"\n', encoding="utf-8"
    )
    ran = run(*POINT, "--ip", HERE, "--prod", "-q")
    assert ran.code == 0, ran.err
    assert ran.err.startswith(f"production: rule {RULE} of security group {GROUP}, EC2 at {account.url}, ca-central-1")
    assert account.rules[RULE].ipv4 == f"{HERE}/32"


def test_no_key_is_ever_printed(account: Account, run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with_keys(monkeypatch)
    account.fail(
        "DescribeSecurityGroupRules", Refusal("AuthFailure", f"key {os.environ['AWS_SECRET_ACCESS_KEY']}", 401)
    )
    ran = run(*POINT, "--ip", HERE, "--debug")
    assert ran.code == 3
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in ran.out + ran.err


def test_status_shows_the_instance(account: Account, run: Command) -> None:
    ran = run("rds", "status", "-o", "json")
    assert (ran.code, json.loads(ran.out)["items"][0]["status"]) == (0, "available")
    account.add_instance(status="stopped")
    ran = run("rds", "status")
    assert (ran.code, "stopped" in ran.out) == (1, True)
    assert "cruddur rds start" in ran.err
    assert run("rds", "status", "--wait", "60").code == 1
    account.add_instance(status="starting")
    account.slow["cruddur-db"] = ["available"]
    assert run("rds", "status", "--wait", "60").code == 0
    assert run("rds", "status", "--instance", "nobody").code == 5


def test_start_starts_a_stopped_instance(account: Account, run: Command) -> None:
    account.add_instance(status="stopped")
    assert run("rds", "start", "-n").code == 0
    assert account.instances["cruddur-db"]["status"] == "stopped"
    ran = run("rds", "start", "-o", "json")
    assert (ran.code, json.loads(ran.out)["items"][0]["status"], json.loads(ran.out)["updated"]) == (0, "starting", 1)
    account.slow["cruddur-db"] = ["starting", "available"]
    ran = run("rds", "start", "--wait", "60", "-o", "json")
    assert (ran.code, json.loads(ran.out)["items"][0]["status"], json.loads(ran.out)["unchanged"]) == (
        0,
        "available",
        1,
    )
    assert "nothing to do" in ran.err
    assert account.operations().count("StartDBInstance") == 1


def test_a_wait_that_is_too_short_has_exit_code_1(account: Account, run: Command) -> None:
    account.add_instance(status="stopped")
    account.slow["cruddur-db"] = ["stopped"]
    ran = run("rds", "start", "--wait", "0.01")
    assert ran.code == 1
    assert "not available, after 0.01 s" in ran.err


def _sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set credentials: a custom endpoint of production takes them from the same places as AWS."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 6),
        (["--yes"], 0),
        (["-o", "json"], 6),
        (["--confirm", "cruddur"], 6),
        (["--confirm", "cruddur-db"], 0),
        (["--confirm", "cruddur-db", "-o", "json"], 0),
        (["--prod"], 6),
        (["--prod", "--yes"], 6),
        (["--prod", "--yes", "--confirm", "prod"], 6),
        (["--prod", "--confirm", "cruddur-db"], 0),
        (["--dry-run"], 0),
        (["--dry-run", "--prod"], 0),
    ],
)
def test_stop_asks_for_the_name(
    account: Account, run: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    _sign_in(monkeypatch)
    Path("cruddur.toml").write_text(f'[prod]\nregion = "eu-west-1"\nrds_endpoint = "{account.url}"\n', encoding="utf-8")
    ran = run("rds", "stop", *arguments)
    assert ran.code == code, ran.err
    acted = code == 0 and "--dry-run" not in arguments
    assert account.operations().count("StopDBInstance") == int(acted)
    assert account.instances["cruddur-db"]["status"] == ("stopping" if acted else "available")
    if acted:
        assert "by itself seven days" in ran.err
    if code == 6:
        assert "--yes" in ran.err or "--confirm cruddur-db" in ran.err


def test_stop_waits_and_does_not_ask_twice(account: Account, run: Command) -> None:
    ran = run("rds", "stop", "--yes", "--wait", "60", "-o", "json")
    assert (ran.code, json.loads(ran.out)["items"][0]["status"]) == (0, "stopped")
    account.instances["cruddur-db"]["restart"] = "2026-11-27T10:00:00Z"
    ran = run("rds", "stop")
    assert (ran.code, "nothing to do" in ran.err) == (0, True)
    assert "2026-11-27 10:00Z" in ran.err


@pytest.mark.parametrize(("typed", "code"), [("cruddur-db", 0), ("yes", 6), ("", 6)])
def test_the_name_is_typed_at_a_terminal(
    account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, typed: str, code: int
) -> None:
    _sign_in(monkeypatch)
    written = f'[prod]\nregion = "eu-west-1"\nrds_endpoint = "{account.url}"\n'
    (tmp_path / "home" / "cruddur.toml").write_text(written, encoding="utf-8")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "cruddur_cli", "rds", "stop", "--prod"]
    process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, cwd=tmp_path / "home")
    os.close(theirs)
    said = b""
    while b"Type cruddur-db to go on: " not in said and select.select([ours], [], [], 30)[0]:
        said += os.read(ours, 4096)
    os.write(ours, typed.encode() + b"\n")
    assert process.communicate(timeout=30)[0] is not None
    assert process.returncode == code
    assert account.operations().count("StopDBInstance") == int(code == 0)
    os.close(ours)


def test_a_reader_that_ends_is_no_error(account: Account, tmp_path: Path) -> None:
    assert account.url
    line = f"{sys.executable} -m cruddur_cli rds status -o jsonl 2>err | head -c 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], cwd=tmp_path / "home", capture_output=True, check=False
    )
    assert (done.returncode, (tmp_path / "home" / "err").read_text()) == (0, "")


def test_the_whole_internet_is_allowed_only_when_confirmed(account: Account, run: Command) -> None:
    before = account.rules[RULE]
    ran = run(*POINT, "--anywhere")
    assert (ran.code, account.rules[RULE]) == (6, before)
    assert "next: pass --yes" in ran.err


@pytest.mark.parametrize("day", clock.DAYS)
def test_a_rule_that_expired_is_reported_and_closed(
    account: Account, run: Command, today: Callable[[datetime], None], day: str
) -> None:
    begin = clock.DAYS[day]
    today(begin)
    assert run(*POINT, "--ip", HERE, "--for", "8h").code == 0
    entry = account.rules[RULE]
    assert (entry.description or "").endswith(f" until {begin + timedelta(hours=8):%Y-%m-%dT%H:%MZ}")
    today(begin + timedelta(hours=7, minutes=58))
    assert "although it expired" not in run("rds", "status").err
    ran = run("rds", "revoke", "--expired", "-o", "json")
    assert json.loads(ran.out)["count"] == 0
    today(begin + timedelta(hours=9))
    assert f"rule {RULE} of {GROUP} still allows {HERE}/32, although it expired" in run("rds", "status").err
    assert json.loads(run("rds", "revoke", "--expired", "--dry-run", "-o", "json").out)["updated"] == 1
    assert account.rules[RULE].ipv4 == f"{HERE}/32"
    assert json.loads(run("rds", "revoke", "--expired", "-o", "json").out)["updated"] == 1
    assert account.rules[RULE].ipv4 == "127.0.0.1/32"
    assert "although it expired" not in run("rds", "status").err
    assert run(*POINT, "--ip", HERE).code == 0
    assert account.rules[RULE].ipv4 == f"{HERE}/32"


def test_a_new_expiry_is_written_although_the_address_is_correct(account: Account, run: Command) -> None:
    run(*POINT, "--ip", HERE, "--for", "1h")
    first = account.rules[RULE].description
    ran = run(*POINT, "--ip", HERE, "--for", "2d", "-o", "json")
    assert json.loads(ran.out)["updated"] == 1
    assert f"allows {HERE}/32 (--ip), as before; its description is new" in ran.err
    assert account.rules[RULE].description != first


@pytest.mark.parametrize("text", ["8", "0h", "h", "-1h", "8 h", "1w"])
def test_an_invalid_duration_is_refused_before_any_request(account: Account, run: Command, text: str) -> None:
    ran = run(*POINT, "--ip", HERE, "--for", text)
    assert ran.code == 2
    assert "30m, 8h or 2d" in ran.err


def test_revoke_closes_the_named_rule_once(account: Account, run: Command) -> None:
    arguments = ("rds", "revoke", "--group-id", GROUP, "--rule-id", RULE, "-o", "json")
    assert json.loads(run(*arguments).out)["updated"] == 1
    assert json.loads(run(*arguments).out)["unchanged"] == 1
    assert account.rules[RULE].ipv4 == "127.0.0.1/32"


def test_a_user_without_the_right_to_read_rules_gets_a_warning(account: Account, run: Command) -> None:
    account.fail("DescribeSecurityGroupRules", Refusal("UnauthorizedOperation", status=403))
    ran = run("rds", "status")
    assert ran.code == 0, ran.err
    assert "warning: cannot tell which rules have expired: " in ran.err
    assert "lack the permission ec2:DescribeSecurityGroupRules" in ran.err
