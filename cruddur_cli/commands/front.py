"""The command tree: every group under one program."""

from __future__ import annotations

from typing import Annotated

import typer

from . import cognito, db, ddb, local, root

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Looks after Cruddur: users in PostgreSQL, messages in DynamoDB, identities in Cognito.",
)
root.register(app)
app.add_typer(ddb.app, name="ddb")
app.add_typer(db.app, name="db")
app.add_typer(cognito.app, name="cognito")
app.add_typer(local.app, name="local")


def _version(wanted: bool) -> None:
    if wanted:
        from ..cli import version

        typer.echo(f"cruddur {version()}")
        raise typer.Exit


@app.callback()
def cruddur(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Looks after Cruddur: users in PostgreSQL, messages in DynamoDB, identities in Cognito.

    cruddur setup, once, makes everything and starts what it needs. --prod, and nothing else, reaches production.
    """
