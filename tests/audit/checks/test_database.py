"""The checks of the database: each fails alone, with a command that fixes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cruddur_cli.audit.checks import database
from cruddur_cli.audit.model import PASS, UNSEEN
from tests.audit.account import INSTANCE, Account, certificate, client
from tests.audit.alone import Breaks, each_change, found_alone
from tests.audit.answers import NOW, finding, passes, seen


def _instance(**change: Any) -> Callable[[Account], None]:
    return lambda _: client("rds").modify_db_instance(DBInstanceIdentifier=INSTANCE, ApplyImmediately=True, **change)


def _plain_storage(account: Account) -> None:
    # An instance that exists cannot be changed so; moto refuses it too.
    account.say("DescribeDBInstances", lambda parsed: parsed["DBInstances"][0].update(StorageEncrypted=False))


def _short_certificate(account: Account) -> None:
    account.say("DescribeDBInstances", certificate("rds-ca-rsa2048-g1", account.now + timedelta(days=29)))


def _old_authority(account: Account) -> None:
    account.say("DescribeDBInstances", certificate("rds-ca-2019", account.now + timedelta(days=300)))


BREAKS: Breaks = {
    "database-public-access": [_instance(PubliclyAccessible=True)],
    "database-encryption": [_plain_storage],
    "database-deletion-protection": [_instance(DeletionProtection=False)],
    "database-backups": [_instance(BackupRetentionPeriod=0), _instance(BackupRetentionPeriod=3)],
    "database-minor-upgrades": [_instance(AutoMinorVersionUpgrade=False)],
    "database-certificate": [_short_certificate, _old_authority],
}


@pytest.mark.parametrize(("name", "change"), each_change(BREAKS))
def test_each_fails_alone_with_a_command_that_fixes_it(
    account: Account, name: str, change: Callable[[Account], None]
) -> None:
    found_alone(account, name, change)


# What is decided from answers that no test makes moto give.


def _found(check: str, **instance: Any) -> tuple[str, str]:
    one = {"DBInstanceIdentifier": INSTANCE, "Engine": "postgres", **instance}
    found = finding(check, {database.INSTANCES: {"DBInstances": [one]}})
    return found.result, found.evidence


@pytest.mark.parametrize(
    ("named", "instances", "evidence"),
    [
        (None, [("a", "postgres")], "not publicly accessible"),
        (None, [("a", "aurora-postgresql"), ("b", "mysql")], "not publicly accessible"),
        (None, [("b", "mysql")], "There is no PostgreSQL instance in eu-central-1."),
        (None, [("b", "postgres"), ("a", "postgres")], "2 PostgreSQL instances (a, b): choose one with --instance."),
        ("b", [("b", "mysql")], "not publicly accessible"),
        ("c", [], "There is no database instance 'c' in eu-central-1."),
    ],
)
def test_the_instance_is_the_one_that_is_named_or_the_only_one(
    named: str | None, instances: list[tuple[str, str]], evidence: str
) -> None:
    listed = [{"DBInstanceIdentifier": name, "Engine": engine} for name, engine in instances]
    found = finding("database-public-access", {database.INSTANCES: {"DBInstances": listed}}, db_instance=named)
    assert found.evidence == evidence
    assert found.result == (PASS if evidence.startswith("not") else UNSEEN)
    asked = list(database.INSTANCES.params(seen({}, db_instance=named)))
    assert asked == [{"DBInstanceIdentifier": named} if named else {}]
    assert found.resource.endswith(f":db:{named or '*'}")


def test_the_key_of_the_storage_is_named_where_it_is_known() -> None:
    assert _found("database-encryption", StorageEncrypted=True) == (PASS, "encrypted with the default key")
    assert _found("database-encryption", StorageEncrypted=True, KmsKeyId="k") == (PASS, "encrypted with k")


@pytest.mark.parametrize(
    ("days", "evidence", "is_enough"),
    [
        (7, "kept for 7 days", True),
        (8, "kept for 8 days", True),
        (6, "kept for 6 days", False),
        (2, "kept for 2 days", False),
        (0, "no automatic backups", False),
        (None, "no automatic backups", False),
    ],
)
def test_automatic_backups_are_kept_for_seven_days(days: int | None, evidence: str, is_enough: bool) -> None:
    given = {} if days is None else {"BackupRetentionPeriod": days}
    assert _found("database-backups", **given)[1] == evidence
    assert (_found("database-backups", **given)[0] == PASS) is is_enough


def test_the_moment_is_said_up_to_which_a_restore_is_possible() -> None:
    latest = datetime(2026, 11, 20, 11, 55, tzinfo=UTC)
    evidence = _found("database-backups", BackupRetentionPeriod=7, LatestRestorableTime=latest)[1]
    assert evidence == "kept for 7 days, restorable up to 2026-11-20 11:55Z"


@pytest.mark.parametrize(
    ("authority", "days", "is_valid"),
    [
        ("rds-ca-rsa2048-g1", 30, True),
        ("rds-ca-rsa2048-g1", 29.9, False),
        ("rds-ca-rsa2048-g1", None, True),
        ("rds-ca-2019", 300, False),
        ("rds-ca-2015", None, False),
    ],
)
def test_a_certificate_is_valid_for_thirty_days_and_by_a_living_authority(
    authority: str, days: float | None, is_valid: bool
) -> None:
    details = {"CAIdentifier": authority} | ({} if days is None else {"ValidTill": NOW + timedelta(days=days)})
    result, evidence = _found("database-certificate", CertificateDetails=details)
    assert (result == PASS) is is_valid
    assert evidence.startswith(f"by {authority}")
    assert ("valid until" in evidence) == (days is not None)


def test_the_authority_of_a_certificate_is_read_where_it_is_said() -> None:
    assert _found("database-certificate", CACertificateIdentifier="rds-ca-2019")[1] == "by rds-ca-2019"
    assert _found("database-certificate") == (PASS, "by unknown")
    assert _found("database-certificate", CertificateDetails=None)[1] == "by unknown"


def test_what_is_off_is_found_and_what_is_on_passes() -> None:
    for check, name in (
        ("database-deletion-protection", "DeletionProtection"),
        ("database-minor-upgrades", "AutoMinorVersionUpgrade"),
    ):
        for on in (True, False):
            listed = [{"DBInstanceIdentifier": INSTANCE, "Engine": "postgres", name: on}]
            assert passes(check, {database.INSTANCES: {"DBInstances": listed}}) is on
