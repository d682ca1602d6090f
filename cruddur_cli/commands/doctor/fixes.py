"""Fixes the findings of ``doctor`` that are fixable: one function for each kind of fix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ... import output
from ...dynamodb import scanning, tables
from ...dynamodb.capacity.limiter import RateLimiter
from ...dynamodb.client import DynamoDB
from ...dynamodb.conversations import repair
from ...dynamodb.schema import Person, read_other
from ...errors import CruddurError
from ...integrity import names
from ...integrity.checks import dynamodb as table_checks
from ...integrity.model import Database, Facts, Finding, TableFacts
from ...output.text import counted
from ...postgres import production_marker
from ...settings import Settings
from ..shared import confirm, connections, setup_steps, targets

Fix = Callable[[Settings, DynamoDB, Facts], None]


def agree(s: Settings, findings: Sequence[Finding], dynamodb: DynamoDB) -> None:
    """Print what will be fixed, and ask. Raises Protected."""
    for finding in findings:
        output.tell(f"{finding.check}: {finding.evidence} ({finding.cost})")
    names = ", ".join(dict.fromkeys(finding.check for finding in findings))
    confirm.agree(s, f"doctor will fix: {names}.", name=s.table, remote=_is_remote(s, dynamodb))


def fix(s: Settings, findings: Iterable[Finding], facts: Facts, *, limiter: RateLimiter | None) -> None:
    """Fix the findings. A fix that fails is a warning, and the next one runs.

    Raises Incomplete where the limit of capacity units is reached.
    """
    s = replace(s, starts_engines=False)
    checks_to_fix = {finding.check for finding in findings}
    with connections.dynamodb(s, changes=True) as dynamodb:
        dynamodb.limiter = limiter
        for run_fix in (candidate for candidate, checks in FIXES.items() if checks_to_fix & checks):
            try:
                run_fix(s, dynamodb, facts)
            except CruddurError as error:
                if error.code == "max_units":
                    raise error.adding("What was fixed until then is kept.") from error
                output.warn(error.message)
        output.used(s, dynamodb.meter, brief=True)


def _is_remote(s: Settings, dynamodb: DynamoDB) -> bool:
    return s.prod or targets.is_far(dynamodb.at) or targets.is_foreign(targets.server(s))


def _conversations(s: Settings, dynamodb: DynamoDB, facts: Facts) -> None:
    assert isinstance(facts.table, TableFacts)
    conversations = facts.table.rows.conversations
    wrong = sorted(
        group
        for group, conversation in conversations.items()
        if any(test(conversation) for test in table_checks.WRONG.values())
    )
    fixed = 0
    with output.progress(s, "fixing", len(wrong)) as advance:
        for group in wrong:
            fixed += repair.group(dynamodb, group)
            advance(1)
    number_left = len(wrong) - fixed
    output.note(
        s,
        f"group rows of {counted(fixed, 'conversation')} fixed"
        + (
            f"; {counted(number_left, 'conversation')} not fixed: no message and no row says who takes part"
            if number_left
            else ""
        ),
    )


def _names(s: Settings, dynamodb: DynamoDB, facts: Facts) -> None:
    assert isinstance(facts.table, TableFacts)
    assert isinstance(facts.database, Database)
    people = {person.uuid: person for person in facts.database.people}
    wrong = names.changed(facts.table.rows, people)
    fixed = 0
    for page in scanning.pages(dynamodb):
        for item in page:
            who = read_other(item)
            person = wrong.get((who.uuid, who.handle, who.display_name))
            if person is not None:
                now = Person(person.uuid, person.handle, person.display_name or person.handle)
                fixed += repair.rename(dynamodb, item, now)
    output.note(s, f"names in {counted(fixed, 'row')} fixed")


def _ids(s: Settings, _: DynamoDB, __: Facts) -> None:
    results, _skipped = setup_steps.sync(s)
    updated = sum(row.result == "updated" for row in results)
    output.note(s, f"Cognito ids of {counted(updated, 'person', 'people')} written")


def _demo_pool(s: Settings, _: DynamoDB, __: Facts) -> None:
    setup_steps.make_pool(s, [])


def _mark_database(s: Settings, _: DynamoDB, __: Facts) -> None:
    with connections.postgres(s, changes=True) as conn:
        production_marker.write(conn)


def _mark_table(s: Settings, dynamodb: DynamoDB, _: Facts) -> None:
    tables.mark_production(dynamodb)


FIXES: dict[Fix, frozenset[str]] = {
    _conversations: frozenset(table_checks.WRONG),
    _names: frozenset({"names-changed"}),
    _demo_pool: frozenset({"cognito-only-here"}),
    # After _demo_pool: a person who was added to the pool has a new id, which is written to the database.
    _ids: frozenset({"cognito-only-here", "cognito-id-mock", "cognito-id-of-another"}),
    _mark_database: frozenset({"database-not-marked"}),
    _mark_table: frozenset({"table-not-marked"}),
}
"""Each fix and the checks whose findings it fixes, in the order in which the fixes run."""
