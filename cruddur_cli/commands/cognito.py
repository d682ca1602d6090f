"""``cruddur cognito``: lists the identities of the user pool, and signs in to the demo pool."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import output
from ..errors import Protected
from ..settings import Settings
from .shared import completions
from .shared.options import command


@command(shows=True)
def list_users(s: Settings) -> None:
    """List the users of the user pool, each with handle and sub."""
    from ..aws import user_pool
    from .shared import connections

    with connections.cognito(s) as cognito:
        if not output.show(s, user_pool.identities(cognito), draw=output.people, record=user_pool.Identity):
            output.note(s, f"The user pool {cognito.pool} on {cognito.at.label} has no users.")


@command(shows=True)
def token(
    s: Settings,
    handle: Annotated[
        str, typer.Argument(metavar="HANDLE", autocompletion=completions.handles, help="The person who signs in.")
    ],
) -> None:
    """Print an access token of the demo user pool. It is for requests to the application.

    Send it as the header `Authorization: Bearer TOKEN`. The application accepts the token if `cruddur local run`
    started the application, and the application verifies tokens with the keys of the user pool.

    cruddur cognito token bayko
    """
    from ..aws import user_pool
    from .shared import connections, targets

    at = targets.pool_endpoint(s)
    if not at.embedded:
        raise Protected(
            f"`cruddur cognito token` works with the demo pool only, and the user pool in use is on {at.label}.",
            hint="sign in through the application",
            code="not_the_demo_pool",
        )
    with connections.cognito(s, at=at) as cognito:
        access_token = user_pool.token(cognito, handle)
    output.show(s, [access_token], draw=output.plain(lambda token: token.access_token))
