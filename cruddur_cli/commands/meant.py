"""Finds the command that was meant where there is none of that name: in another group, or as the scripts called it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from .. import table_name

# The scripts' words that are no command here.
_SCRIPTS = {"generate": "new-migration", "generate-migration": "new-migration", "prod-setup": "setup"}
_MOST = 3


def command(context: Any, arguments: Sequence[str]) -> str | None:
    """``cruddur db seed, or cruddur ddb seed`` for ``cruddur seed``; None where nothing comes near."""
    known = context.command_path.split()[1:]
    words = [word.replace("_", "-").lower() for word in arguments if not word.startswith("-")][: len(known) + 2]
    paths = list(_paths())
    for word in words[len(known) :]:
        name = _SCRIPTS.get(word, word)
        if not any(path[-1] == name for path in paths):
            near = difflib.get_close_matches(name, {path[-1] for path in paths}, 1, 0.85)
            if not near:
                continue
            name = near[0]
        found = [path for path in paths if path[-1] == name]
        # The group that was named counts, where it has such a command.
        found = [path for path in found if path[:1] == known[:1]] or found
        return ", or ".join(" ".join([context.find_root().command_path, *path]) for path in found[:_MOST])
    return None


def production(command: str) -> str:
    """The command as it names production: ``copy`` says what it reads, and writes here."""
    return f"{command} --from prod" if command.endswith(" copy") else f"{command} --prod"


def table_option(context: Any, message: str) -> str | None:
    """The command with ``--table``, for the scripts' ``ddb/drop cruddur-messages``, and with ``--prod`` for ``prod``.

    None where that is not it.
    """
    given = re.search(r"\(([a-zA-Z0-9_.-]{3,255})\)$", message)
    parameters = context.command.params
    takes_table = any(one.name == "table" for one in parameters)
    if any(one.param_type_name == "argument" for one in parameters):  # the word may be one of those, too many
        return None
    if not given or not takes_table:
        return None
    if given[1].lower() in table_name.RESERVED:
        return production(context.command_path)
    return f"{context.command_path} --table {given[1]}"


def _paths() -> Iterator[tuple[str, ...]]:
    import typer

    from . import front

    def walk(group: Any, before: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, one in group.commands.items():
            if hasattr(one, "commands"):
                yield from walk(one, (*before, name))
            else:
                yield (*before, name)

    return walk(typer.main.get_command(front.tree()), ())
