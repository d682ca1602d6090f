"""Asks before something is lost: ``y/N`` for a local store, the typed name for production or a remote host."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ... import output
from ...errors import Protected
from ...output import history
from ...settings import Settings


def destroy(s: Settings, *, what: str, name: str, losing: str, remote: bool) -> None:
    """Come back only when losing ``losing`` is wanted; ``name`` is what must be typed for production.

    Raises Protected. Never asks without a terminal or with a machine format: it refuses and names the flag.
    """
    agree(s, f"{what} will be destroyed: {losing}.", name=name, remote=remote, losing=losing)


def agree(s: Settings, sentence: str, *, name: str, remote: bool, losing: str = "") -> None:
    """Come back only when what ``sentence`` says is wanted: ``y/N`` locally, else the name. Raises Protected.

    ``losing`` is the part of the sentence that says what will be lost.
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
    if _strict(s, remote):
        _typed(s, sentence, name, losing)
    elif not _can_ask(s):
        raise Protected(f"{sentence} Not confirmed: there is no terminal to ask on.", hint="pass --yes")
    elif output.ask("Continue? [y/N]", about=sentence, bold=losing).lower() not in {"y", "yes"}:
        raise Protected("Not confirmed. Nothing was changed.")
    history.agreed(sentence)


def is_given(s: Settings, *, name: str, remote: bool) -> bool:
    """Whether ``agree`` asks nothing, because an option has answered: ``--yes`` locally, or ``--confirm`` the name."""
    return s.confirm == name or (s.confirm is None and s.yes and not _strict(s, remote))


def replace(s: Settings, *, what: str, name: str, remote: bool, sentence: str | None = None) -> None:
    """For what replaces only what it names: continues locally, needs the name in production. Raises Protected.

    ``sentence`` says what is replaced; by default that seeds go into ``what``.
    """
    if s.dry_run or not _strict(s, remote) or s.confirm == name:
        return
    if s.confirm is not None:
        raise Protected(f"--confirm says {s.confirm!r}, but the name is {name!r}.", hint=f"pass --confirm {name}")
    _typed(s, sentence or f"Mock data will be written to {what}.", name)


def choose(s: Settings, question: str, answers: Sequence[str]) -> str | None:
    """The first letter of the chosen answer, by default of the last; None where there is no terminal to ask on."""
    if not _can_ask(s):
        return None
    named = ", ".join(f"[{answer[0]}]{answer[1:]}" for answer in answers)
    said = output.ask(f"{question} {named}").lower()[:1]
    return said if said in {answer[0] for answer in answers} else answers[-1][0]


def _strict(s: Settings, remote: bool) -> bool:
    return s.prod or remote


def _typed(s: Settings, sentence: str, name: str, losing: str = "") -> None:
    if not _can_ask(s):
        raise Protected(f"{sentence} Not confirmed: there is no terminal to ask on.", hint=f"pass --confirm {name}")
    if output.ask(f"Type {name} to continue:", about=sentence, bold=losing) != name:
        raise Protected("Not confirmed. Nothing was changed.")


def _can_ask(s: Settings) -> bool:
    return s.output == "table" and output.is_terminal(sys.stdin) and output.is_terminal(sys.stderr)
