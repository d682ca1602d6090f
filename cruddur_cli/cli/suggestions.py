"""Finds the command that was meant where there is none of that name: in another group, or as the scripts called it."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Sequence
from typing import Any

from .. import settings
from ..errors import Again
from . import tree

# Other words for a command, by the group in which they are typed: the scripts' names, and what other programs call it.
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
# A word that only looks like one of these is no reason to name it: it destroys, overwrites, or costs money.
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
    """The word that was meant, where it is one of the same group, and the command lines to type.

    ``cruddur db ping`` for ``cruddur db test``; both None where no command comes near.
    """
    known = tuple(context.command_path.split()[1:])
    program = context.find_root().command_path
    words = [word.replace("_", "-").lower() for word in arguments if not word.startswith("-")]
    for word in words[len(known) : len(known) + 2]:
        meant = _SYNONYMS.get(" ".join(known), {}).get(word)
        found = [(*known, *meant.split())] if meant else _called(word, known) or _alike(word, known)
        if found:
            same = found[0][-1] if found[0][:-1] == known and len(found) == 1 else None
            lines = [" ".join([program, *path]) for path in found[:_MOST]]
            return same, ", or ".join(
                f"{line} --help" if line.split(" ", 1)[1] in tree.GROUPS else line for line in lines
            )
    return None, None


def _called(word: str, known: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The commands of exactly that name: those in the group that was typed, else harmless ones elsewhere."""
    found = [path for path in tree.paths() if path[-1] == word]
    inside = [path for path in found if path[: len(known)] == known]
    if known and inside:
        return inside
    return [path for path in found if path[0] != "rds" and (not known or path not in _RISKY)]


def _alike(word: str, known: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The command of a name like that, in the group that was typed, if it can do no harm; a group counts too."""
    names = [path for path in tree.paths() if path[: len(known)] == known and path not in _RISKY]
    names += [tuple(name.split()) for name in tree.GROUPS if tuple(name.split())[:-1] == known]
    names = [path for path in names if path[0] != "rds" or known[:1] == ("rds",)]
    if known[:1] == ("rds",):
        names = [path for path in names if path[-1] in {"status", "list-snapshots"}]
    near = difflib.get_close_matches(word, [path[-1] for path in names], 1, 0.7 if known else 0.75)
    return [path for path in names if near and path[-1] == near[0]]


def production(command: str) -> str:
    """The command as it names production: ``copy`` says what it reads, and writes here."""
    return f"{command} --from prod" if command.endswith(" copy") else f"{command} --prod"


def extra_argument(context: Any, message: str) -> tuple[str, str | None]:
    """What to say of an argument too many, and the command that was meant: ``prod`` is a flag, a table an option."""
    given = re.search(r"\((\w+)\)$", message)
    if given and given[1].lower() in settings.RESERVED_NAMES:
        return f"{given[1]!r} is not an argument of this command.", production(context.command_path)
    return message, _table_option(context, message)


def _table_option(context: Any, message: str) -> str | None:
    """The command with ``--table``, for the scripts' ``ddb/drop cruddur-messages``.

    None where that is not it.
    """
    given = re.search(r"\(([a-zA-Z0-9_.-]{3,255})\)$", message)
    parameters = context.command.params
    takes_table = any(one.name == "table" for one in parameters)
    if any(one.param_type_name == "argument" for one in parameters):  # the word may be one of those, too many
        return None
    if not given or not takes_table:
        return None
    return f"{context.command_path} --table {given[1]}"


def same_command(arguments: Sequence[str], again: Again, *, end: int) -> str:
    """The command line with other options, ready to paste; ``end`` is the number of arguments that are the program's.

    An option that is added takes the place of the same option. Of a command that destroys, overwrites or costs money,
    only what to change is said.
    """
    if _RISKY & {tuple(arguments[:size]) for size in (2, 3)}:
        left = f"leave out {' and '.join(again.without)}" if again.without else ""
        return ", ".join(filter(None, [left, f"add {' '.join(again.add)}" if again.add else ""]))
    valued = tree.valued()
    without = {_long(name) for name in [*again.without, *(word for word in again.add if word.startswith("-"))]}
    kept, words = list[str](), list(arguments[:end])
    while words:
        word = words.pop(0)
        name, is_joined, _ = word.partition("=")
        short = word[:2] if word[:1] == "-" and word[1:2] != "-" and word[:2] in valued else None
        size = int((name in valued and not is_joined) or (short is not None and word == short))
        option, words = [word, *words[:size]], words[size:]
        if not word.startswith("-") or _long(short or name) not in without:
            kept += option
    return shlex.join(["cruddur", *kept, *again.add, *arguments[end:]])


def _long(option: str) -> str:
    return next((long for long, short in _SHORT.items() if option == short), option)
