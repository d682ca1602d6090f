"""The command tree: every group under one program, of which only the one that is wanted is built."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from . import pages

GROUPS = {
    "ddb": "The DynamoDB table: made, seeded, read.",
    "db": "The PostgreSQL database: made, seeded, joined with Cognito.",
    "cognito": "The Cognito user pool: who is in it.",
    "rds": "The RDS instance: started, stopped, open to this machine.",
    "local": "The embedded PostgreSQL, DynamoDB and Cognito on this machine.",
}


def tree(wanted: str | None = None, command: str | None = None) -> typer.Typer:
    """The program. With the name of a group, the other groups are names without commands; with that of a command,
    its own group has little else: start-up is a feature."""
    app = typer.Typer(
        cls=pages.Group,
        rich_markup_mode=None,
        context_settings={
            "help_option_names": ["-h", "--help"],
            **({"terminal_width": pages.WIDTH} if pages.IS_NARROW else {}),
        },
        pretty_exceptions_enable=False,
    )
    app.callback()(cruddur)
    if wanted not in GROUPS:
        import_module(".root", __package__).register(app)
    for name, meaning in GROUPS.items():
        group = _group(name, command) if wanted in {None, name} else typer.Typer()
        app.add_typer(group, name=name, cls=pages.Group, help=meaning)
    return app


def _group(name: str, command: str | None) -> typer.Typer:
    if name == "ddb":
        from . import ddb

        return ddb.group(command)
    group: typer.Typer = import_module(f".{name}", __package__).app
    return group


def cruddur(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Looks after Cruddur: users in PostgreSQL, messages in DynamoDB, identities in Cognito.

    To begin: cruddur setup. It makes whatever is missing, and starts what it needs. Only --prod reaches production.
    """
