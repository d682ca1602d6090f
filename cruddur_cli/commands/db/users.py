"""``cruddur db add-user`` and ``update-cognito-user-ids``: adds people to PostgreSQL, and writes their Cognito ids."""

from __future__ import annotations

from typing import Annotated

import typer

from ... import output
from ...errors import Exit
from ...settings import Settings
from ..shared.options import command

_NAMED = 5


@command(shows=True, changes=True)
def add_user(
    s: Settings,
    handle: Annotated[str, typer.Argument(metavar="HANDLE", help="The new person's handle.")],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="The display name. Default: the handle.")
    ] = None,
    email: Annotated[
        str | None, typer.Option("--email", metavar="ADDRESS", help="The e-mail address. Default: one at example.com.")
    ] = None,
    uuid: Annotated[
        str | None,
        typer.Option(
            "--uuid",
            metavar="UUID",
            help="Use this UUID, which the person's messages already have. Default: made from the handle.",
        ),
    ] = None,
) -> None:
    """Add one person. An existing person is not changed. A handle always gets the same UUID, so its messages are found.

    cruddur db add-user mira --name 'Mira Lund'
    """
    from ...postgres import users
    from ..shared import connections

    with connections.postgres(s, changes=True) as conn:
        user, added = users.add(conn, handle, name=name, email=email, uuid=uuid, dry_run=s.dry_run)
    output.show(s, [user], draw=output.details, extra={"added": int(added and not s.dry_run), "dry_run": s.dry_run})
    result = ("would be added" if s.dry_run else "added") if added else "exists already"
    output.outcome(s, f"{user.handle}: {result}", changed=added)
    if added and not s.dry_run:
        if s.prod or s.user_pool_id:
            advice = (
                f"once {user.handle} has signed up: cruddur db update-cognito-user-ids{' --prod' if s.prod else ''}"
            )
        else:
            advice = "`cruddur setup` adds the person to the demo user pool"
        output.note(s, f"{user.handle} cannot sign in yet; {advice}")


@command(shows=True, changes=True)
def update_cognito_user_ids(
    s: Settings,
    create: Annotated[
        bool, typer.Option("--create-missing", help="Add the people who are in Cognito but not in the database.")
    ] = False,
) -> int:
    """Store each user's Cognito id (sub) in the users table. Matches people by handle, and reports the result for each.

    Exit code 1 if a handle exists twice, because those people cannot be matched.
    """
    from ...postgres import users
    from ..shared import setup_steps

    results, skipped = setup_steps.sync(s, create=create)
    counts = {name: sum(row.result == name for row in results) for name in ("updated", "unchanged", "created")}
    output.show(s, results, record=users.SyncResult, extra={**counts, "dry_run": s.dry_run})
    other_results = sorted({row.result for row in results} - set(counts))
    # The skipped people are not among the items, so a program gets all of them here; a long list is cut for a person.
    listed = skipped[:_NAMED] if s.output == "table" and len(skipped) > 2 * _NAMED else skipped
    for row in listed:
        output.note(s, f"skipped: {row.username} ({row.sub}) has no preferred_username")
    if len(listed) < len(skipped):
        output.note(
            s, f"skipped: {len(skipped) - len(listed):,} more; in all {len(skipped):,} have no preferred_username"
        )
    text = output.summary(counts)
    if s.dry_run:
        text = f"would be updated {counts['updated']:,}, would be created {counts['created']:,}, " + output.summary(
            {"unchanged": counts["unchanged"]}
        )
    output.note(s, text + "".join(f", {name} {sum(r.result == name for r in results)}" for name in other_results))
    return Exit.NO if "duplicate handle" in other_results else Exit.DONE
