"""Suggests the command that the user probably meant: for a typing error, a script's name, or another group's word."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Sequence
from typing import Any

from .. import settings
from ..errors import Again
from . import tree

# Other names of a command, by the group in which they are typed: those of the scripts and of other programs.
_SYNONYMS: dict[str, dict[str, str]] = {
    "": {
        "bootstrap": "setup",
        "down": "local down",
        "env": "local env",
        "generate": "db new-migration",
        "generate-migration": "db new-migration",
        "init": "setup",
        "install": "setup",
        "list": "ddb list-tables",
        "login": "cognito token",
        "logs": "local logs",
        "migration": "db new-migration",
        "ping": "db ping",
        "prepare": "setup",
        "prod-setup": "setup",
        "psql": "db connect",
        "run": "local run",
        "settings": "config",
        "start": "local up",
        "status": "local status",
        "stop": "local down",
        "sync": "db update-cognito-user-ids",
        "test": "db ping",
        "up": "local up",
        "users": "cognito list-users",
    },
    "ddb": {
        "conversations": "list-conversations",
        "count": "stats",
        "create": "schema-load",
        "create-table": "schema-load",
        "delete": "drop",
        "delete-table": "drop",
        "describe": "describe-table",
        "dump": "export",
        "info": "describe-table",
        "init": "setup",
        "list": "list-tables",
        "list-groups": "list-conversations",
        "list-message-groups": "list-conversations",
        "list-messages": "get-conversation",
        "load": "schema-load",
        "ls": "list-tables",
        "message-groups": "list-conversations",
        "messages": "get-conversation",
        "ping": "list-tables",
        "query": "get-conversation",
        "read": "get-conversation",
        "recreate": "reset",
        "send": "send-message",
        "start": "start-conversation",
        "status": "describe-table",
        "tables": "list-tables",
        "test": "list-tables",
    },
    "ddb stream": {
        "apply": "process",
        "follow": "tail",
        "list": "tail",
        "run": "process",
        "start": "process",
        "watch": "tail",
        "zip": "package",
    },
    "db": {
        "cdb": "create",
        "check": "ping",
        "connections": "sessions",
        "console": "connect",
        "datetime-test": "ping",
        "delete": "drop",
        "generate": "new-migration",
        "generate-migration": "new-migration",
        "info": "ping",
        "init": "setup",
        "kill": "kill-all",
        "list": "sessions",
        "load": "schema-load",
        "migration": "new-migration",
        "migrations": "migration-status",
        "psql": "connect",
        "recreate": "reset",
        "shell": "connect",
        "sql": "connect",
        "status": "ping",
        "sync": "update-cognito-user-ids",
        "sync-cognito": "update-cognito-user-ids",
        "test": "ping",
        "undo": "rollback",
        "version": "ping",
    },
    "cognito": {"list": "list-users", "login": "token", "sign-in": "token", "signin": "token", "users": "list-users"},
    "rds": {"describe": "status", "list": "status", "ping": "status", "test": "status"},
    "local": {
        "delete": "reset",
        "environment": "env",
        "exec": "run",
        "list": "status",
        "log": "logs",
        "ping": "status",
        "ps": "status",
        "restart": "up",
        "setup": "up",
        "start": "up",
        "stop": "down",
        "test": "status",
    },
}
# These destroy, overwrite or cost money. So none of them is suggested for a word that is only similar to its name.
_RISKY = {
    ("ddb", "drop"),
    ("ddb", "reset"),
    ("ddb", "import"),
    ("ddb", "copy"),
    ("ddb", "backup"),
    ("ddb", "restore"),
    ("db", "drop"),
    ("db", "reset"),
    ("db", "schema-load"),
    ("db", "kill-all"),
    ("db", "rollback"),
    ("db", "release-copy"),
    ("local", "reset"),
}
_MOST = 3
# The short names of options, by the long ones.
_SHORT = {"--output": "-o", "--dry-run": "-n", "--yes": "-y", "--quiet": "-q"}


def command(context: Any, arguments: Sequence[str]) -> tuple[str | None, str | None]:
    """A suggestion for a command that does not exist: the word to type instead, and command lines separated by ", or ".

    The word is None unless there is one candidate, in the same group: ``ping``, and ``cruddur db ping``, for
    ``cruddur db test``. Both are None where no command has a similar name.
    """
    group = tuple(context.command_path.split()[1:])
    program = context.find_root().command_path
    words = [word.replace("_", "-").lower() for word in arguments if not word.startswith("-")]
    for word in words[len(group) : len(group) + 2]:
        synonym = _SYNONYMS.get(" ".join(group), {}).get(word)
        candidates = [(*group, *synonym.split())] if synonym else _same_name(word, group) or _similar_name(word, group)
        if candidates:
            replacement = candidates[0][-1] if candidates[0][:-1] == group and len(candidates) == 1 else None
            lines = [" ".join([program, *path]) for path in candidates[:_MOST]]
            return replacement, ", or ".join(
                f"{line} --help" if line.split(" ", 1)[1] in tree.GROUPS else line for line in lines
            )
    return None, None


def _same_name(word: str, group: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The commands of exactly this name in the group that was typed, else those elsewhere.

    Elsewhere leaves out ``rds``, and below a group also the commands of ``_RISKY``.
    """
    matches = [path for path in tree.paths() if path[-1] == word]
    in_group = [path for path in matches if path[: len(group)] == group]
    if group and in_group:
        return in_group
    return [path for path in matches if path[0] != "rds" and (not group or path not in _RISKY)]


def _similar_name(word: str, group: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The command or group with the most similar name, in the group that was typed; never one of ``_RISKY``."""
    names = [path for path in tree.paths() if path[: len(group)] == group and path not in _RISKY]
    names += [tuple(name.split()) for name in tree.GROUPS if tuple(name.split())[:-1] == group]
    names = [path for path in names if path[0] != "rds" or group[:1] == ("rds",)]
    if group[:1] == ("rds",):
        names = [path for path in names if path[-1] in {"status", "list-snapshots"}]
    close_matches = difflib.get_close_matches(word, [path[-1] for path in names], 1, 0.7 if group else 0.75)
    return [path for path in names if close_matches and path[-1] == close_matches[0]]


def production(command: str) -> str:
    """The command line for production: with ``--prod``, or ``--from prod`` for ``copy``, which only reads there."""
    return f"{command} --from prod" if command.endswith(" copy") else f"{command} --prod"


def extra_argument(context: Any, message: str) -> tuple[str, str | None]:
    """The message for one argument too many, and a command line: ``prod`` becomes a flag, a table name an option."""
    argument = re.search(r"\((\w+)\)$", message)
    if argument and argument[1].lower() in settings.RESERVED_NAMES:
        return f"{argument[1]!r} is not an argument of this command.", production(context.command_path)
    return message, _table_option(context, message)


def _table_option(context: Any, message: str) -> str | None:
    """The command with ``--table NAME``, for a name that is typed as an argument, as in the scripts.

    None for a command that takes no table, or that takes arguments, and for a word that cannot be a table name.
    """
    argument = re.search(r"\(([a-zA-Z0-9_.-]{3,255})\)$", message)
    parameters = context.command.params
    takes_table = any(parameter.name == "table" for parameter in parameters)
    # Where the command takes arguments, the word may be one argument too many instead of a table.
    if any(parameter.param_type_name == "argument" for parameter in parameters):
        return None
    if not argument or not takes_table:
        return None
    return f"{context.command_path} --table {argument[1]}"


def same_command(arguments: Sequence[str], again: Again, *, end: int) -> str:
    """The command line with other options, ready to paste; the program's own arguments are the first ``end``.

    An option that is added replaces the same option. For a command of ``_RISKY`` the text names only what to change,
    because a pasted command line would run it.
    """
    if _RISKY & {tuple(arguments[:size]) for size in (2, 3)}:
        removal = f"leave out {' and '.join(again.without)}" if again.without else ""
        return ", ".join(filter(None, [removal, f"add {' '.join(again.add)}" if again.add else ""]))
    valued = tree.valued()
    without = {_long(name) for name in [*again.without, *(word for word in again.add if word.startswith("-"))]}
    remaining, words = list[str](), list(arguments[:end])
    while words:
        word = words.pop(0)
        name, is_joined, _ = word.partition("=")
        short = word[:2] if word[:1] == "-" and word[1:2] != "-" and word[:2] in valued else None
        size = int((name in valued and not is_joined) or (short is not None and word == short))
        option, words = [word, *words[:size]], words[size:]
        if not word.startswith("-") or _long(short or name) not in without:
            remaining += option
    return shlex.join(["cruddur", *remaining, *again.add, *arguments[end:]])


def _long(option: str) -> str:
    return next((long for long, short in _SHORT.items() if option == short), option)
