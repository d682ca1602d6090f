"""The command tree: every group under one program."""

from __future__ import annotations

from typing import Annotated

import typer

from . import cognito, db, ddb, local, narrow, rds, root

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"terminal_width": narrow.WIDTH} if narrow.IS_NARROW else {},
    pretty_exceptions_enable=False,
    help="Looks after Cruddur: users in PostgreSQL, messages in DynamoDB, identities in Cognito.",
)
root.register(app)
GROUPS = {"ddb": ddb.app, "db": db.app, "cognito": cognito.app, "rds": rds.app, "local": local.app}
for _name, _group in GROUPS.items():
    app.add_typer(_group, name=_name)


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
