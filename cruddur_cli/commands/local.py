"""``cruddur local``: the embedded stack on this machine."""

from __future__ import annotations

import typer

from .. import output
from ..errors import Exit
from ..local import stack
from ..settings import Settings
from . import confirm
from .options import command

app = typer.Typer()


@command(app, shows=True, waits=True)
def up(s: Settings) -> None:
    """Start the embedded stack; what runs already is left alone."""
    stack.up(wait_s=max(stack.WAIT_S, s.wait_s), say=lambda text: output.note(s, text))
    output.show(s, stack.status())


@command(app, shows=True)
def down(s: Settings) -> None:
    """Stop the embedded stack and save what it holds."""
    output.show(s, stack.down())


@command(app, shows=True)
def status(s: Settings) -> int:
    """Show what of the embedded stack runs, and where. Exit code 1 when something does not run."""
    engines = stack.status()
    output.show(s, engines, draw=output.details)
    return Exit.DONE if all(engine.state == "running" for engine in engines) else Exit.NO


@command(app, shows=True, asks=True, changes=True)
def reset(s: Settings) -> None:
    """Stop the embedded stack and delete everything it holds."""
    engines = stack.status()
    where = ", ".join(engine.data_dir for engine in engines)
    if s.dry_run:
        output.note(s, f"everything in {where} would be deleted")
        return
    confirm.destroy(s, what="The embedded stack", name="cruddur", losing=f"everything in {where}", remote=False)
    stack.reset()
    output.note(s, "the embedded stack is gone; cruddur setup makes a new one")
