"""Checks that PostgreSQL, DynamoDB and Cognito agree."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from ...dynamodb.schema import GROUP_PREFIX
from .. import names
from ..model import Check, Database, Defect, Facts, TableFacts, User, count, declare, some
from ..rows import Rows
from .cognito import both

CHECKS: list[Check] = []
check = declare("between", CHECKS)
# Without these columns of public.users no person can be read; another check reports that.
_KEY_COLUMNS = {"uuid", "handle"}


def _of(facts: Facts) -> Iterator[tuple[Rows, dict[str, User]]]:
    """The summary of the rows, and the people by uuid, if both could be read; else nothing."""
    database = facts.database
    if isinstance(facts.table, TableFacts) and isinstance(database, Database) and database.columns >= _KEY_COLUMNS:
        yield facts.table.rows, {person.uuid: person for person in database.people}


def _strangers(rows: Rows, people: dict[str, User]) -> dict[str, str | None]:
    """The uuids in rows that are not in the database, each with the handle in the rows, None without one."""
    handles: dict[str, str | None] = {owner: None for owner in rows.owners if owner not in people}
    for uuid, handle, _ in rows.names:
        if uuid not in people:
            handles[uuid] = handle or handles.get(uuid)
    return handles


@check("uuids-regenerated", "high")
def regenerated(facts: Facts) -> Iterator[Defect]:
    """Rows belong to people who have another UUID in the database now: their rows are orphans."""
    for rows, people in _of(facts):
        handles = {person.handle for person in people.values()}
        changed = sorted(handle for handle in _strangers(rows, people).values() if handle in handles and handle)
        if changed:
            yield Defect(
                f"{some(changed)}: the rows have another user UUID than the database",
                facts.command("ddb seed", table=True),
            )


@check("rows-of-unknown-people", "medium")
def unknown(facts: Facts) -> Iterator[Defect]:
    """Rows name people who are not in the database."""
    for rows, people in _of(facts):
        handles = {person.handle for person in people.values()}
        strangers = _strangers(rows, people)
        missing = sorted((handle or uuid, uuid) for uuid, handle in strangers.items() if handle not in handles)
        if missing and not people:
            yield Defect(
                f"public.users is empty, and rows name {count(len(missing), 'person', 'people')}: "
                + some([name for name, _ in missing]),
                "cruddur rds list-snapshots" if facts.prod else facts.command("db seed"),
            )
        elif missing:
            (name, uuid), *_ = missing
            display_names = sorted({name for owner, _, name in rows.names if owner == uuid and name})
            option = ["--name", display_names[0]] if display_names else []
            add = shlex.join(["db", "add-user", name, "--uuid", uuid, *option])
            yield Defect(
                f"{count(len(missing), 'person', 'people')} in rows and not in the database: "
                + some([name for name, _ in missing]),
                facts.command(f"ddb scan --pk {shlex.quote(GROUP_PREFIX + uuid)}", table=True)
                if name == uuid
                else facts.command(add),
            )


@check("names-changed", "low", fixable=True)
def old_names(facts: Facts) -> Iterator[Defect]:
    """Rows hold a handle or display name that the person has changed since."""
    for rows, people in _of(facts):
        changed = names.changed(rows, people)
        if changed:
            number = sum(rows.names[each] for each in changed)
            changes = sorted(
                f"{name or handle} is now {person.display_name}"
                if name != person.display_name
                else f"@{handle} is now @{person.handle}"
                for (_, handle, name), person in changed.items()
            )
            yield Defect(
                f"{count(number, 'row')} with an old name: {some(changes)}",
                facts.command("doctor --fix", table=True),
                cost=f"about {2 * number:,} WCU",
            )


@check("conversation-with-oneself", "medium")
def with_oneself(facts: Facts) -> Iterator[Defect]:
    """A conversation has the same person on both sides."""
    if isinstance(facts.table, TableFacts) and facts.table.rows.with_oneself.items:
        tally = facts.table.rows.with_oneself
        yield Defect(
            f"{count(tally.items, 'conversation')} of a person with themselves: {some(tally.examples)}",
            facts.command("ddb scan", table=True),
        )


@check("cognito-id-of-another", "high", fixable=True)
def of_another(facts: Facts) -> Iterator[Defect]:
    """People have the Cognito id of another person, or an id that is not their account's."""
    for pool, database in both(facts):
        by_handle = {account.handle: account.sub for account in pool.accounts if account.handle}
        by_sub = {account.sub: account.handle for account in pool.accounts}
        wrong_ids = []
        for person in database.people:
            own, other = by_handle.get(person.handle), by_sub.get(person.cognito_user_id)
            if person.cognito_user_id in {"MOCK", own}:
                continue
            if other is not None and other != person.handle and other.casefold() != person.handle.casefold():
                wrong_ids.append(f"{person.handle} has the id of {other}")
            elif own is not None and not pool.is_demo:
                wrong_ids.append(f"{person.handle} has an id that is not their account's")
        if wrong_ids:
            remedy = "db update-cognito-user-ids" if pool.replaces_ids else "db connect"
            yield Defect(some(sorted(wrong_ids)), facts.command(remedy), fixable=pool.replaces_ids)
