"""``cruddur ddb``: which file has which command; only the one that is wanted is loaded."""

from __future__ import annotations

from importlib import import_module

import typer

_FILES = {
    "table": ("setup", "reset", "list-tables", "describe-table", "schema-load", "drop", "seed"),
    "contents": ("scan", "stats"),
    "conversations": ("list-conversations", "get-conversation"),
    "sending": ("start-conversation", "send-message"),
    "transfer": ("export", "import"),
    "copies": ("copy",),
    "stream": ("stream",),
}


def group(wanted: str | None) -> typer.Typer:
    """The group; with the name of one of its commands, only the commands of that one's file."""
    app = typer.Typer()
    only = [name for name, commands in _FILES.items() if wanted in commands]
    for name in only or _FILES:
        import_module(f".{name}", __package__).register(app)
    return app
