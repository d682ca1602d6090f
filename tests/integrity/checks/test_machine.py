"""The checks of this machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cruddur_cli.integrity.checks import CHECKS
from cruddur_cli.integrity.model import Clock, Contradiction, Facts, Machine, Problem, Unresolved, findings
from tests.integrity.facts import FACTS, evidence_and_remedy


def test_a_problem_of_a_stopped_engine_is_reported_once() -> None:
    stopped = Problem("The embedded AWS does not run.", "cruddur local up", "engine_stopped")
    found = findings(CHECKS, replace(FACTS, table=stopped, pool=stopped, engines=["AWS"]))
    assert [each.check for each in found] == ["engine-stopped"]


def _on(**machine: Any) -> Facts:
    return replace(FACTS, database=None, machine=Machine(folder="/data/my stack", **machine))


def test_nothing_is_wrong_with_a_machine_of_which_nothing_is_said() -> None:
    assert findings(CHECKS, _on()) == []


@pytest.mark.parametrize(
    ("version", "is_old"), [((3, 10, 9), True), ((3, 11), False), ((3, 11, 0), False), ((3, 14), False), ((2, 7), True)]
)
def test_python_3_11_is_the_oldest_that_will_do(version: tuple[int, ...], is_old: bool) -> None:
    found = evidence_and_remedy(CHECKS, _on(python=version), "python-version")
    named = ".".join(map(str, version))
    assert found == (
        [(f"Python {named} runs cruddur, which needs 3.11 or later", "uv venv --python 3.13")] if is_old else []
    )


def test_engines_that_are_not_installed_are_named_with_what_installs_them() -> None:
    facts = _on(not_installed=["AWS", "PostgreSQL"], install="pip install '.[local]'")
    assert evidence_and_remedy(CHECKS, facts, "extra-missing") == [
        (
            "the embedded AWS and PostgreSQL cannot start: the extra `local` is not installed",
            "pip install '.[local]'",
        )
    ]


def test_a_folder_that_cannot_be_used_is_the_only_cause_that_is_named() -> None:
    facts = replace(_on(folder_problem="it is a file", taken_ports={"AWS": 4566}), engines=["AWS", "PostgreSQL"])
    (found,) = findings(CHECKS, facts)
    assert (found.check, found.evidence) == (
        "home-unusable",
        "the embedded stack cannot use /data/my stack: it is a file",
    )


def test_a_relative_home_is_exported_as_the_folder_that_it_is_here() -> None:
    assert evidence_and_remedy(CHECKS, _on(relative_folder="stack"), "home-relative") == [
        (
            "CRUDDUR_HOME is 'stack', a relative path: each folder has another embedded stack",
            "export CRUDDUR_HOME='/data/my stack'",
        )
    ]


def test_each_engine_that_does_not_run_is_named_once_by_its_cause() -> None:
    facts = replace(_on(not_installed=["A"], silent=["B"], taken_ports={"C": 1}), engines=["A", "B", "C", "D"])
    assert evidence_and_remedy(CHECKS, facts, "engine-stopped") == [("the embedded D does not run", "cruddur local up")]
    missing = replace(_on(folder_is_missing=True), engines=["AWS", "PostgreSQL"])
    assert evidence_and_remedy(CHECKS, missing, "engine-stopped") == [
        (
            "the embedded AWS and PostgreSQL do not run; its folder /data/my stack does not exist yet",
            "cruddur local up",
        )
    ]


@pytest.mark.parametrize(
    ("silent", "evidence"),
    [
        (["AWS"], "the embedded AWS runs but does not answer"),
        (["AWS", "PostgreSQL"], "the embedded AWS and PostgreSQL run but do not answer"),
    ],
)
def test_an_engine_that_runs_and_is_silent_is_restarted(silent: list[str], evidence: str) -> None:
    remedy = "cruddur local down && cruddur local up"
    assert evidence_and_remedy(CHECKS, _on(silent=silent), "engine-silent") == [(evidence, remedy)]


def test_a_taken_port_is_named_with_its_engine() -> None:
    ((evidence, _),) = evidence_and_remedy(CHECKS, _on(taken_ports={"AWS": 4566, "PostgreSQL": 5432}), "port-taken")
    assert evidence.startswith(
        "another program uses port 4566 of the embedded AWS and port 5432 of the embedded PostgreSQL: "
    )


def test_of_two_settings_that_contradict_each_other_the_one_that_counts_is_said() -> None:
    pairs = [Contradiction("A", "B"), Contradiction("C", "D", "as the first one")]
    assert evidence_and_remedy(CHECKS, _on(contradictions=pairs), "variables-contradict") == [
        ("A and B differ; A is used, C and D differ; C is used, as the first one", "cruddur config")
    ]


@pytest.mark.parametrize(
    ("store", "code", "evidence"),
    [
        ("database", "cannot_connect", "URL names the host db, which does not resolve here"),
        (
            "table",
            "cannot_connect",
            "AWS names the host dynamo, which does not resolve here, and localhost does not answer",
        ),
        ("pool", "cannot_connect", "POOL names the host idp, which does not resolve here"),
        ("pool", "refused_credentials", ""),
    ],
)
def test_a_host_that_does_not_resolve_is_named_where_its_store_is_silent(store: str, code: str, evidence: str) -> None:
    hosts = [
        Unresolved("URL", "db", "postgres"),
        Unresolved("AWS", "dynamo", "dynamodb", "localhost"),
        Unresolved("POOL", "idp", "cognito"),
    ]
    silent: dict[str, Any] = {store: Problem("no answer", None, code)}
    found = evidence_and_remedy(CHECKS, replace(_on(unresolved=hosts), **silent), "host-unresolved")
    assert found == ([(evidence, "cruddur config")] if evidence else [])


@pytest.mark.parametrize(
    ("ahead_s", "evidence"),
    [
        (60.0, ""),
        (-60.0, ""),
        (60.4, "DynamoDB is 0:01:00 ahead"),
        (-3_661.0, "DynamoDB is 1:01:01 behind"),
    ],
)
def test_a_clock_may_differ_by_a_minute(ahead_s: float, evidence: str) -> None:
    found = evidence_and_remedy(CHECKS, _on(clocks=[Clock("DynamoDB", ahead_s), Clock("other", 0.0)]), "clock-differs")
    words = f"the clock of this machine differs: {evidence}"
    assert found == ([(words, "timedatectl status")] if evidence else [])


@dataclass(frozen=True)
class Login:
    """Credentials that expire."""

    at: datetime
    what: str = "the credentials of profile x"
    remedy: str = "aws sso login"


@pytest.mark.parametrize(
    ("seconds", "evidence"),
    [
        (-60, "expired at 2026-11-19 23:59 UTC"),
        (0, "expired at 2026-11-20 00:00 UTC"),
        (1, "expire in 0 minutes"),
        (600, "expire in 10 minutes"),
        (900, "expire in 15 minutes"),
        (901, ""),
    ],
)
def test_credentials_that_last_a_quarter_of_an_hour_are_named(seconds: int, evidence: str) -> None:
    login = Login(datetime(2026, 11, 20, tzinfo=UTC) + timedelta(seconds=seconds))
    found = evidence_and_remedy(CHECKS, _on(expiry=login), "credentials-expire")
    assert found == ([(f"the credentials of profile x {evidence}", "aws sso login")] if evidence else [])


def test_missing_credentials_are_named_once_unless_they_are_known_to_have_expired() -> None:
    problem = Problem("There are no credentials.", None, "missing_credentials")
    expected = [("There are no credentials", "aws configure, or aws sso login")]
    for table, pool in ((problem, problem), (problem, None), (None, problem)):
        facts = replace(_on(), table=table, pool=pool)
        assert evidence_and_remedy(CHECKS, facts, "credentials-missing") == expected
    for seconds, named in ((0, []), (1, expected)):
        machine = replace(facts.machine, expiry=Login(FACTS.now + timedelta(seconds=seconds)))
        assert evidence_and_remedy(CHECKS, replace(facts, machine=machine), "credentials-missing") == named
    other = Problem("no answer", None, "cannot_connect")
    assert evidence_and_remedy(CHECKS, replace(_on(), table=other), "credentials-missing") == []


def test_half_a_gigabyte_is_enough_for_the_embedded_stack() -> None:
    assert evidence_and_remedy(CHECKS, _on(free_bytes=500_000_000), "disk-full") == []
    evidence = "499 MB are free for /data/my stack"
    assert evidence_and_remedy(CHECKS, _on(free_bytes=499_999_999), "disk-full") == [
        (evidence, "du -sh '/data/my stack'")
    ]
    assert evidence_and_remedy(CHECKS, _on(free_bytes=3_000_000), "disk-full")[0][0].startswith("3 MB are free")
    assert len(evidence_and_remedy(CHECKS, _on(free_bytes=0), "disk-full")) == 1
