"""Owns the command tree: all groups and commands of the program. Only the module of the command that runs is loaded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import typer

from ..commands.shared import completions
from ..commands.shared.options import CONTEXTS, REGISTERED, TYPED
from ..output.streams import columns, is_narrow
from . import help

GROUPS = {
    "ddb": ("Stores", "Create, seed and read the DynamoDB table."),
    "ddb stream": ("Stream", "Show the table's stream, and apply it to the group rows."),
    "db": ("Stores", "Create, seed and migrate the PostgreSQL database."),
    "cognito": ("Stores", "List the users of the Cognito user pool."),
    "rds": ("Stores", "Manage the RDS instance and the access to it."),
    "local": ("Stores", "Run PostgreSQL, DynamoDB and Cognito on this machine."),
}
"""Each group: its heading in the help of the group above it, and the first sentence of its own help."""


@dataclass(frozen=True)
class Section:
    """The commands of one module of ``commands``, under one heading of the group's help."""

    heading: str
    module: str
    commands: tuple[str, ...]


COMMANDS: dict[str, tuple[Section, ...]] = {
    "": (
        Section("Commands", "setup", ("setup",)),
        Section("Commands", "doctor.command", ("doctor",)),
        Section("Commands", "audit", ("audit",)),
        Section("Commands", "config", ("config",)),
        Section("Commands", "history", ("history",)),
    ),
    "ddb": (
        Section(
            "Table",
            "ddb.table",
            ("setup", "reset", "list-tables", "describe-table", "schema-load", "drop", "seed"),
        ),
        Section("Table", "ddb.diff", ("diff",)),
        Section("Contents", "ddb.scan", ("scan", "stats")),
        Section("Conversations", "ddb.conversations", ("list-conversations", "get-conversation")),
        Section("Conversations", "ddb.send", ("start-conversation", "send-message")),
        Section("Files and copies", "ddb.transfer", ("export", "import")),
        Section("Files and copies", "ddb.copy", ("copy",)),
        Section("Backups", "ddb.backups", ("backup", "list-backups", "restore", "protect")),
    ),
    "ddb stream": (Section("Commands", "ddb.stream", ("process", "tail", "package", "template")),),
    "db": (
        Section(
            "Database",
            "db.database",
            ("setup", "create", "release-copy", "drop", "reset", "schema-load", "seed", "ping"),
        ),
        Section("Database", "db.diff", ("diff",)),
        Section("People", "db.users", ("add-user", "update-cognito-user-ids")),
        Section("Sessions", "db.sessions", ("connect", "sessions", "kill-all")),
        Section("Migrations", "db.migrations", ("migrate", "migration-status", "new-migration", "rollback")),
    ),
    "cognito": (Section("Commands", "cognito", ("list-users", "token")),),
    "rds": (
        Section(
            "Commands", "rds", ("update-sg-rule", "revoke", "status", "start", "stop", "snapshot", "list-snapshots")
        ),
    ),
    "local": (Section("Commands", "local.command", ("up", "down", "status", "env", "run", "logs", "reset")),),
}
"""The sections of each group, in the order of the help."""


def paths() -> Iterator[tuple[str, ...]]:
    """Yield every command as the words that are typed after the program's name. Loads no command."""
    for group, sections in COMMANDS.items():
        for section in sections:
            yield from ((*group.split(), command) for command in section.commands)


def completed() -> list[str]:
    """The words of the command whose options or values the shell completes; empty until the command is complete."""
    text = completions.command_line()
    words = text.split()[1:]
    complete_words = words if text.endswith(" ") else words[:-1]
    return next((list(path) for path in paths() if list(path) == complete_words[: len(path)]), [])


def tree(*wanted: str) -> typer.Typer:
    """The program as a Typer application; with the words of a command, it loads only that command's module."""
    app = typer.Typer(
        cls=help.CommandGroup,
        rich_markup_mode=None,
        context_settings={
            "help_option_names": ["-h", "--help"],
            **({"terminal_width": columns(sys.stdout)} if is_narrow() else {}),
        },
        pretty_exceptions_enable=False,
        suggest_commands=False,
    )
    app.callback()(cruddur)
    mounted = {"": app}
    if not wanted or wanted[0] not in GROUPS:
        _fill(app, "", ())
    for name, (heading, meaning) in GROUPS.items():
        above, _, word = name.rpartition(" ")
        words = tuple(name.split())
        group = mounted[name] = typer.Typer(suggest_commands=False)
        if words == wanted[: len(words)] or wanted == words[: len(wanted)]:
            _fill(group, name, wanted[len(words) :])
        mounted[above].add_typer(group, name=word, cls=help.CommandGroup, help=meaning, rich_help_panel=heading)
    return app


def flags() -> set[str]:
    """The names of all options that take no value, of all commands. Loads every command."""
    return {"--no-color", *_options(is_flag=True)} - {"--version"}


def valued() -> set[str]:
    """The names of all options that take a value, of all commands. Loads every command."""
    return set(_options(is_flag=False))


def _options(*, is_flag: bool) -> Iterator[str]:
    def walk(command: Any) -> Iterator[str]:
        for parameter in command.params:
            if parameter.param_type_name == "option" and bool(getattr(parameter, "is_flag", False)) == is_flag:
                yield from parameter.opts
        for inner in getattr(command, "commands", {}).values():
            yield from walk(inner)

    yield from walk(typer.main.get_command(tree()))


def _fill(app: typer.Typer, group: str, wanted: tuple[str, ...]) -> None:
    """Add a group's commands: those of the module with the wanted command, or all where no module has it."""
    sections = COMMANDS[group]
    wanted_sections = [section for section in sections if wanted[:1] and wanted[0] in section.commands]
    if wanted[:1] and f"{group} {wanted[0]}".strip() in GROUPS:
        return
    for section in wanted_sections or sections:
        module = import_module(f"..commands.{section.module}", __package__)
        for words, run in REGISTERED[module.__name__].items():
            TYPED[run] = " ".join(filter(None, ("cruddur", group, words)))
            app.command(words, cls=help.Command, rich_help_panel=section.heading, context_settings=CONTEXTS.get(run))(
                run
            )


def cruddur(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Manage the data of Cruddur: users in PostgreSQL, messages in DynamoDB, identities in Cognito.

    Begin with `cruddur setup`: it creates what is missing. Only --prod reaches production.
    """
