"""Asks before something is lost: ``y/N`` for a local store, the typed name for production or a remote host."""

from __future__ import annotations

import sys

from .. import output
from ..errors import Protected
from ..output.text import columns, printable, wrapped
from ..settings import Settings


def destroy(s: Settings, *, what: str, name: str, losing: str, remote: bool) -> None:
    """Come back only when losing ``losing`` is wanted; ``name`` is what must be typed for production.

    Raises Protected. Never asks without a terminal or with a machine format: it refuses and names the flag.
    """
    agree(s, f"{what} will be destroyed: {losing}.", name=name, remote=remote)


def agree(s: Settings, sentence: str, *, name: str, remote: bool) -> None:
    """Come back only when what ``sentence`` says is wanted: ``y/N`` locally, else the name. Raises Protected."""
    if s.confirm is not None and s.confirm != name:
        raise Protected(
            f"{sentence} --confirm says {s.confirm!r}, and its name is {name!r}.", hint=f"add --confirm {name}"
        )
    if s.confirm == name or (s.yes and not _strict(s, remote)):
        output.note(s, sentence)
        return
    if _strict(s, remote):
        _typed(s, sentence, name)
    elif not _can_ask(s):
        raise Protected(f"{sentence} This needs a yes, and nobody is there to ask.", hint="add --yes")
    elif _ask(f"{sentence} Go on? [y/N]").lower() not in {"y", "yes"}:
        raise Protected("Not confirmed; nothing was changed.")


def replace(s: Settings, *, what: str, name: str, remote: bool, sentence: str | None = None) -> None:
    """For what replaces only what it names: goes on locally, wants the name in production. Raises Protected.

    ``sentence`` says what is replaced; by default that seeds go into ``what``.
    """
    if s.dry_run or not _strict(s, remote) or s.confirm == name:
        return
    if s.confirm is not None:
        raise Protected(f"--confirm says {s.confirm!r}, and the name is {name!r}.", hint=f"add --confirm {name}")
    _typed(s, sentence or f"Mock data goes into {what}.", name)


def _strict(s: Settings, remote: bool) -> bool:
    return s.prod or remote


def _typed(s: Settings, sentence: str, name: str) -> None:
    if not _can_ask(s):
        raise Protected(
            f"{sentence} This needs the name, and nobody is there to type it.", hint=f"add --confirm {name}"
        )
    if _ask(f"{sentence} Type {name} to go on:") != name:
        raise Protected("Not confirmed; nothing was changed.")


def _can_ask(s: Settings) -> bool:
    return s.output == "table" and output.is_terminal(sys.stdin) and output.is_terminal(sys.stderr)


def _ask(question: str) -> str:
    # Not input() or typer.confirm(): they ask on stdout, which carries data.
    sys.stderr.write(wrapped(printable(question), columns(sys.stderr) - 1) + " ")
    sys.stderr.flush()
    answer = ""
    try:
        answer = sys.stdin.readline()
    finally:
        if not answer.endswith("\n"):  # Ctrl-C or Ctrl-D: the cursor still stands behind the question
            output.tell("")
    return answer.strip()
