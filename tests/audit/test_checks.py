"""Every check against an account simulated call by call: all right, all wrong, each alone, each permission missing."""

from __future__ import annotations

from pathlib import Path

from cruddur_cli.audit import checks, report
from cruddur_cli.audit.checks import CHECKS
from cruddur_cli.audit.model import FAIL, PASS, UNSEEN
from cruddur_cli.audit.policies import needed
from tests.audit.account import Account
from tests.audit.alone import FOLLOWS, audit, names
from tests.audit.breaks import BREAKS, BY_MODULE


def test_all_right_passes_with_evidence_for_each(account: Account) -> None:
    found = audit(account)
    assert names(found, PASS) == {check.name for check in CHECKS}
    assert all(one.evidence and one.remedy is None for one in found.values())


def test_every_module_of_checks_is_asked() -> None:
    folder = Path(checks.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "registry"}
    assert {check.decide.__module__.rpartition(".")[2] for check in CHECKS} == modules


def test_every_check_has_a_change_that_makes_it_fail() -> None:
    expected: dict[str, list[str]] = {}
    for check in CHECKS:
        expected.setdefault(check.decide.__module__.rpartition(".")[2], []).append(check.name)
    assert {module: list(breaks) for module, breaks in BY_MODULE.items() if breaks} == expected


def test_all_wrong_fails_everywhere(account: Account) -> None:
    for name, changes in BREAKS.items():
        if name not in FOLLOWS:
            changes[0](account)
    found = audit(account)
    # A table without a key of its own has none that could be lost.
    assert names(found, FAIL) == set(BREAKS) - set(FOLLOWS) - {"table-key"}
    for name in FOLLOWS:
        BREAKS[name][0](account)
    found = audit(account)
    assert names(found, FAIL) == set(BREAKS) - {"table-key"} - set().union(*FOLLOWS.values())
    assert names(found, PASS) == {"table-key"}


def test_a_missing_permission_stops_its_checks_and_no_other(account: Account) -> None:
    for permission in needed(CHECKS):
        asks = {ask for check in CHECKS for ask in check.reads if ask.permission == permission}
        account.denied = {_operation(ask.service, ask.operation) for ask in asks}
        found = audit(account)
        unseen = {check.name for check in CHECKS if permission in check.permissions}
        assert (permission, names(found, UNSEEN)) == (permission, unseen)
        assert names(found, PASS) == {check.name for check in CHECKS} - unseen
        said = {(found[name].permission, found[name].evidence) for name in unseen}
        assert said == {(permission, f"needs permission {permission}")}


def test_with_no_permission_at_all_nothing_fails(account: Account) -> None:
    account.denied = {_operation(ask.service, ask.operation) for check in CHECKS for ask in check.reads}
    found = audit(account)
    assert names(found, UNSEEN) == {check.name for check in CHECKS}
    assert not report.is_bad(list(found.values()), strict=False)
    assert report.is_bad(list(found.values()), strict=True)


def test_only_reads_are_sent_and_each_once(account: Account) -> None:
    audit(account)
    assert all(name.startswith(("Describe", "List", "Get")) for name in account.asked)
    once = [name for name in account.asked if name not in {"ListPoliciesForTarget", "DescribePolicy"}]
    assert len(once) == len(set(once))


def _operation(service: str, operation: str) -> str:
    from tests.audit.account import client

    return str(client(service).meta.method_to_api_mapping[operation])
