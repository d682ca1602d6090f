"""Asks before data is lost: ``y/N`` for a local store, and the store's name for production or a remote host."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ... import output
from ...errors import Protected
from ...output import history
from ...settings import Settings


def destroy(s: Settings, *, what: str, name: str, losing: str, remote: bool) -> None:
    """Return only if the user agrees to lose ``losing``; ``name`` is what they type for production.

    Raises Protected. Without a terminal, or with a machine format, it does not ask: it refuses, and the hint names the
    option.
    """
    agree(s, f"{what} will be destroyed: {losing}.", name=name, remote=remote, losing=losing)


def agree(s: Settings, sentence: str, *, name: str, remote: bool, losing: str = "") -> None:
    """Return only if the user agrees to ``sentence``: with ``y/N`` locally, else by typing the name. Raises Protected.

    ``losing`` is the part of the sentence that says what will be lost; it is printed bold.
    """
    if s.confirm is not None and s.confirm != name:
        raise Protected(
            f"{sentence} --confirm says {s.confirm!r}, but its name is {name!r}.", hint=f"pass --confirm {name}"
        )
    if is_given(s, name=name, remote=remote):
        if not s.quiet:
            output.tell(sentence, bold=losing)
        history.agreed(sentence)
        return
    if _needs_name(s, remote):
        _ask_for_name(s, sentence, name, losing)
    elif not _can_ask(s):
        raise Protected(f"{sentence} Not confirmed: there is no terminal to ask on.", hint="pass --yes")
    elif output.ask("Continue? [y/N]", about=sentence, bold=losing).lower() not in {"y", "yes"}:
        raise Protected("Not confirmed. Nothing was changed.")
    history.agreed(sentence)


def is_given(s: Settings, *, name: str, remote: bool) -> bool:
    """Whether an option has already confirmed, so that ``agree`` does not ask.

    The option is ``--yes`` for a local store, or ``--confirm`` with the name.
    """
    return s.confirm == name or (s.confirm is None and s.yes and not _needs_name(s, remote))


def replace(s: Settings, *, what: str, name: str, remote: bool, sentence: str | None = None) -> None:
    """Confirm a change that destroys only the data that it names.

    It asks for the name in production and on a remote host.

    Locally and in a dry run it does not ask. Raises Protected. ``sentence`` says what is replaced; the default says
    that mock data is written to ``what``.
    """
    if s.dry_run or not _needs_name(s, remote) or s.confirm == name:
        return
    if s.confirm is not None:
        raise Protected(f"--confirm says {s.confirm!r}, but the name is {name!r}.", hint=f"pass --confirm {name}")
    _ask_for_name(s, sentence or f"Mock data will be written to {what}.", name)


def choose(s: Settings, question: str, answers: Sequence[str]) -> str | None:
    """The first letter of the chosen answer, or of the last where none is chosen; None without a terminal to ask on."""
    if not _can_ask(s):
        return None
    choices = ", ".join(f"[{answer[0]}]{answer[1:]}" for answer in answers)
    letter = output.ask(f"{question} {choices}").lower()[:1]
    return letter if letter in {answer[0] for answer in answers} else answers[-1][0]


def _needs_name(s: Settings, remote: bool) -> bool:
    return s.prod or remote


def _ask_for_name(s: Settings, sentence: str, name: str, losing: str = "") -> None:
    if not _can_ask(s):
        raise Protected(f"{sentence} Not confirmed: there is no terminal to ask on.", hint=f"pass --confirm {name}")
    if output.ask(f"Type {name} to continue:", about=sentence, bold=losing) != name:
        raise Protected("Not confirmed. Nothing was changed.")


def _can_ask(s: Settings) -> bool:
    return s.output == "table" and output.is_terminal(sys.stdin) and output.is_terminal(sys.stderr)
