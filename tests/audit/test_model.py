"""A check decides from its answers; without an answer it does not decide."""

from __future__ import annotations

from cruddur_cli.audit import report
from cruddur_cli.audit.checks import CHECKS
from cruddur_cli.audit.model import PASS, UNSEEN
from cruddur_cli.audit.policies import needed
from tests.audit.account import Account
from tests.audit.alone import audit, names


def _operation(service: str, operation: str) -> str:
    from tests.audit.account import client

    return str(client(service).meta.method_to_api_mapping[operation])


def test_a_missing_permission_stops_its_checks_and_no_other(account: Account) -> None:
    for permission in needed(CHECKS):
        asks = {ask for check in CHECKS for ask in check.reads if ask.permission == permission}
        account.denied = {_operation(ask.service, ask.operation) for ask in asks}
        found = audit(account)
        unseen = {check.name for check in CHECKS if permission in check.permissions}
        assert (permission, names(found, UNSEEN)) == (permission, unseen)
        assert names(found, PASS) == {check.name for check in CHECKS} - unseen
        evidence = {(found[name].permission, found[name].evidence) for name in unseen}
        assert evidence == {(permission, f"needs permission {permission}")}


def test_with_no_permission_at_all_nothing_fails(account: Account) -> None:
    account.denied = {_operation(ask.service, ask.operation) for check in CHECKS for ask in check.reads}
    found = audit(account)
    assert names(found, UNSEEN) == {check.name for check in CHECKS}
    assert not report.is_bad(list(found.values()), strict=False)
    assert report.is_bad(list(found.values()), strict=True)
