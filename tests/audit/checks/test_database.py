"""The checks of the database: each is found alone, and tells the command that mends it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.audit.account import INSTANCE, Account, certificate, client
from tests.audit.alone import Breaks, each_change, found_alone


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
def test_each_is_found_alone_with_a_command_that_mends_it(
    account: Account, name: str, change: Callable[[Account], None]
) -> None:
    found_alone(account, name, change)
