"""``cruddur cognito``: the identities in the user pool."""

from __future__ import annotations

import typer

from .. import output
from ..aws import user_pool
from ..settings import Settings
from . import stores
from .options import command

app = typer.Typer()


@app.callback()
def group() -> None:
    """The Cognito user pool: who is in it."""


@command(app, shows=True)
def list_users(s: Settings) -> None:
    """List everybody in the user pool, with their handle and sub."""
    with stores.cognito(s) as cognito:
        if not output.show(s, user_pool.identities(cognito), draw=output.people):
            output.note(s, f"The user pool {cognito.pool} on {cognito.at.label} has no users.")
