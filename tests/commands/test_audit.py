"""The command: its formats, its exit codes, the file of accepted findings."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jsonschema
import pytest

from cruddur_cli import settings
from cruddur_cli.audit.checks import CHECKS
from cruddur_cli.cli import main as cli
from cruddur_cli.commands.shared import connections
from tests.audit import account as simulated
from tests.audit.test_sarif import SCHEMA
from tests.commands.production import Run, production
from tests.conftest import Ran

__all__ = ["production"]
Audit = Callable[..., Ran]
# One thing is wrong, and moto makes every account the head of its own organisation.
ALWAYS = {"database-minor-upgrades", "table-backup", "organisation-deletion", "organisation-regions"}


@pytest.fixture
def run(production: Run, monkeypatch: pytest.MonkeyPatch) -> Audit:
    """A function that runs ``cruddur audit`` against an account by moto in which every check passes."""
    # The application's own variable for its local engine: production is never looked for there.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    account = simulated.build()
    simulated.client("rds").modify_db_instance(DBInstanceIdentifier=simulated.INSTANCE, AutoMinorVersionUpgrade=False)
    dynamodb = simulated.client("dynamodb")
    for one in dynamodb.list_backups()["BackupSummaries"]:
        dynamodb.delete_backup(BackupArn=one["BackupArn"])
    monkeypatch.setenv("AWS_COGNITO_USER_POOL_ID", account.pool)
    return partial(production, "audit", "--prod")


def accept(*names: str, until: str = "2999-12-31") -> None:
    entries = [f'[[accepted]]\ncheck = "{name}"\nreason = "by moto"\nuntil = {until}\n' for name in names]
    Path("cruddur-audit.toml").write_text("\n".join(entries))


def test_json_has_every_finding_and_the_exit_code_says_no(run: Audit) -> None:
    ran = run("-o", "json")
    assert ran.code == 1, ran.err
    found = json.loads(ran.out)
    assert {one["check"] for one in found["items"] if one["result"] == "fail"} == ALWAYS
    assert (found["count"], found["passed"], found["failed"]) == (len(CHECKS), len(CHECKS) - 4, 4)
    assert set(found["items"][0]) == {
        "check",
        "result",
        "severity",
        "title",
        "resource",
        "evidence",
        "remedy",
        "permission",
        "controls",
        "accepted_reason",
        "accepted_until",
    }


def test_accepted_findings_keep_the_exit_code_at_zero(run: Audit) -> None:
    accept(*ALWAYS)
    ran = run()
    assert ran.code == 0, ran.err
    assert "4 accepted" in ran.err
    assert "accepted   database-minor-upgrades" in ran.out
    assert run("--no-accepted").code == 1


def test_an_acceptance_that_has_ended_fails_and_says_so(run: Audit) -> None:
    accept(*ALWAYS, until="2020-01-01")
    ran = run("-q")
    assert ran.code == 1
    assert "warning: database-minor-upgrades: it was accepted until 2020-01-01 (by moto) and counts again" in ran.err


def test_a_check_that_cannot_see_fails_only_with_strict(run: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    accept(*ALWAYS)
    monkeypatch.delenv("AWS_COGNITO_USER_POOL_ID")
    ran = run("-o", "json")
    assert ran.code == 0
    unseen = [one for one in json.loads(ran.out)["items"] if one["result"] == "cannot see"]
    assert {one["evidence"] for one in unseen} == {"No user pool is named: set AWS_COGNITO_USER_POOL_ID."}
    assert run("--strict").code == 1


def test_sarif_is_valid_and_points_to_the_settings_of_the_repository(run: Audit) -> None:
    Path(".git").mkdir()
    folder = Path("tools")
    folder.mkdir()
    (folder / "cruddur.toml").write_text('table = "cruddur-messages"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ran = run("-o", "sarif")
    log = json.loads(ran.out)
    jsonschema.Draft4Validator(SCHEMA).validate(log)
    results = log["runs"][0]["results"]
    assert {one["ruleId"] for one in results} == ALWAYS
    places = {one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in results}
    assert places == {"tools/cruddur.toml"}


def test_markdown_shows_failures_with_their_commands(run: Audit) -> None:
    ran = run("-o", "markdown")
    assert ran.out.startswith(f"## Audit of account {simulated.ACCOUNT}, {simulated.REGION}\n")
    assert "- **database-minor-upgrades** (high;" in ran.out
    assert "  aws rds modify-db-instance --db-instance-identifier cruddur-db" in ran.out
    assert "| table-key | critical |" in ran.out


def test_a_table_that_is_missing_is_an_error_not_a_finding(run: Audit) -> None:
    ran = run("--table", "elsewhere")
    assert (ran.code, ran.out) == (5, "")
    assert "There is no table 'elsewhere' in eu-central-1 of account 123456789012" in ran.err


def test_without_prod_it_refuses_before_anything_is_read(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["audit"]) == 2
    assert "next: cruddur audit --prod" in capfd.readouterr().err


def test_a_wrong_file_of_accepted_findings_is_named_before_anything_is_read(
    capfd: pytest.CaptureFixture[str],
) -> None:
    accept("table-tag")
    assert cli.run(["audit", "--prod"]) == 3
    assert "which does not exist" in capfd.readouterr().err
    assert cli.run(["audit", "--prod", "--no-accepted", "--accepted", "x"]) == 2


@pytest.mark.parametrize("service", ["dynamodb", "cognito-idp", "iam"])
def test_no_client_of_the_audit_can_write(run: Audit, service: str) -> None:
    writes = {
        "dynamodb": ("delete_table", {"TableName": "cruddur-messages"}),
        "cognito-idp": ("delete_user_pool", {"UserPoolId": "eu-central-1_x"}),
        "iam": ("delete_role", {"RoleName": "cruddur-stream"}),
    }
    operation, params = writes[service]
    opened = connections.reading(settings.load({"prod": True}), service)
    with opened as (client, _), pytest.raises(AssertionError, match="was attempted"):
        getattr(client, operation)(**params)
    assert simulated.client("dynamodb").list_tables()["TableNames"] == ["cruddur-messages"]


def test_a_job_gets_annotations_and_a_summary_but_not_with_sarif(
    run: Audit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    ran = run("-o", "sarif")
    assert ran.code == 1
    assert "::error" not in ran.err
    assert not summary.exists()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")  # a command takes it out of its own environment
    ran = run("-o", "json")
    assert json.loads(ran.out)["failed"] == len(ALWAYS)
    titles = [line.partition("::")[2].partition("::")[0] for line in ran.err.splitlines() if line[:7] == "::error"]
    assert {title.removeprefix("error title=cruddur audit%3A ") for title in titles} == ALWAYS
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("### ❌ `cruddur audit`: exit code 1\n\n## Audit of account")
    assert text.count("## Audit of") == 1


@pytest.mark.parametrize("form", ["table", "sarif", "markdown", "json"])
def test_the_findings_are_drawn_in_every_format(run: Audit, tmp_path: Path, form: str) -> None:
    path = tmp_path / "audit.svg"
    ran = run("--svg", str(path), "-o", form)
    assert ran.code == 1
    picture = path.read_text(encoding="utf-8")
    assert "cruddur&#160;audit" in picture
    assert "database-minor-upgrades" in picture
