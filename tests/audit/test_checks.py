"""All checks against a simulated account that is all right, and one that is all wrong."""

from __future__ import annotations

from pathlib import Path

from cruddur_cli.audit import checks
from cruddur_cli.audit.checks import CHECKS
from cruddur_cli.audit.model import FAIL, PASS
from tests.audit.account import Account
from tests.audit.alone import FOLLOWS, audit, names
from tests.audit.breaks import BREAKS, BY_MODULE


def test_all_right_passes_with_evidence_for_each(account: Account) -> None:
    found = audit(account)
    assert names(found, PASS) == {check.name for check in CHECKS}
    assert all(one.evidence and one.remedy is None for one in found.values())


def test_the_checks_of_every_module_are_found() -> None:
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


def test_only_reads_are_sent_and_each_once(account: Account) -> None:
    audit(account)
    assert all(name.startswith(("Describe", "List", "Get")) for name in account.requests)
    once = [name for name in account.requests if name not in {"ListPoliciesForTarget", "DescribePolicy"}]
    assert len(once) == len(set(once))
