"""Checks of the user pool."""

from __future__ import annotations

from collections.abc import Iterator

from ..model import Check, Database, Defect, Facts, Pool, count, declare, some
from .postgres import unreachable

CHECKS: list[Check] = []
check = declare("cognito", CHECKS)
_SYNC = "db update-cognito-user-ids"


def _of(facts: Facts) -> Iterator[Pool]:
    if isinstance(facts.pool, Pool):
        yield facts.pool


def both(facts: Facts) -> Iterator[tuple[Pool, Database]]:
    """The pool and the database, if both could be read; else nothing."""
    if isinstance(facts.pool, Pool) and isinstance(facts.database, Database):
        yield facts.pool, facts.database


@check("cognito-unreachable", "high")
def reachable(facts: Facts) -> Iterator[Defect]:
    """The user pool cannot be read."""
    yield from unreachable(facts, facts.pool, "cognito list-users", "cognito")


@check("cognito-id-mock", "high", fixable=True)
def mock(facts: Facts) -> Iterator[Defect]:
    """People have the Cognito id MOCK, although they are in the user pool."""
    for pool, database in both(facts):
        known = {account.handle for account in pool.accounts}
        handles = sorted(
            each.handle for each in database.people if each.cognito_user_id == "MOCK" and each.handle in known
        )
        if handles:
            yield Defect(
                f"the Cognito id of {count(len(handles), 'person', 'people')} is still MOCK: {some(handles)}",
                facts.command(_SYNC),
            )


@check("cognito-no-handle", "medium")
def no_handle(facts: Facts) -> Iterator[Defect]:
    """Accounts of the user pool have no handle (preferred_username)."""
    for pool in _of(facts):
        usernames = sorted(account.username for account in pool.accounts if not account.handle)
        if usernames and not pool.is_demo:
            yield Defect(
                f"{count(len(usernames), 'account')} of {pool.label} without preferred_username: {some(usernames)}",
                f"aws cognito-idp admin-update-user-attributes --user-pool-id {pool.pool}"
                f" --username {usernames[0]} --user-attributes Name=preferred_username,Value=HANDLE",
            )


@check("cognito-only-here", "medium", fixable=True)
def only_here(facts: Facts) -> Iterator[Defect]:
    """People of the database are not in the user pool."""
    for pool, database in both(facts):
        folded = {account.handle.casefold() for account in pool.accounts if account.handle}
        handles = sorted(
            {each.handle for each in database.people if each.handle and each.handle.casefold() not in folded}
        )
        if handles:
            yield Defect(
                f"{count(len(handles), 'person', 'people')} of the database not in {pool.label}: {some(handles)}",
                "cruddur setup" if pool.is_demo else facts.command("cognito list-users"),
                fixable=pool.is_demo,
            )


@check("cognito-only-there", "low")
def only_there(facts: Facts) -> Iterator[Defect]:
    """Accounts of the user pool are not in the database."""
    for pool, database in both(facts):
        folded = {person.handle.casefold() for person in database.people if person.handle}
        handles = sorted({one.handle for one in pool.accounts if one.handle and one.handle.casefold() not in folded})
        if handles and not pool.is_demo:  # the demo pool also has people of other databases
            yield Defect(
                f"{count(len(handles), 'account')} of {pool.label} not in the database: {some(handles)}",
                facts.command(f"{_SYNC} --create-missing"),
            )


@check("cognito-other-case", "medium")
def other_case(facts: Facts) -> Iterator[Defect]:
    """Handles of the database and of the user pool differ in case only."""
    for pool, database in both(facts):
        exact = {account.handle for account in pool.accounts}
        here = {person.handle for person in database.people}
        by_fold = {
            account.handle.casefold(): account.handle
            for account in pool.accounts
            if account.handle and account.handle not in here
        }
        handles = [
            f"{person.handle} (in Cognito {by_fold[person.handle.casefold()]})"
            for person in database.people
            if person.handle and person.handle not in exact and person.handle.casefold() in by_fold
        ]
        if handles:
            yield Defect(
                f"handles with another case in Cognito: {some(sorted(handles))}", facts.command("cognito list-users")
            )


@check("cognito-disabled", "low")
def disabled(facts: Facts) -> Iterator[Defect]:
    """People of the database cannot sign in: their accounts are disabled."""
    for pool, database in both(facts):
        here = {person.handle for person in database.people}
        usernames = sorted(
            each.username for each in pool.accounts if not each.enabled and (each.handle in here or not pool.is_demo)
        )
        if usernames:
            yield Defect(
                f"{count(len(usernames), 'account')} disabled: {some(usernames)}",
                f"aws cognito-idp admin-enable-user --user-pool-id {pool.pool} --username {usernames[0]}",
            )
