"""``cruddur local``: starts, stops and shows the embedded stack, and runs programs that use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ... import masking, output, settings
from ...errors import Exit
from ...settings import Settings
from ..shared.options import Form, command

_FORM = "Output format. Use dotenv for Docker Compose and for GITHUB_ENV."


class EngineName(StrEnum):
    """The engines of the embedded stack."""

    POSTGRES = "postgres"
    AWS = "aws"


@command(shows=True, waits=True)
def up(s: Settings) -> None:
    """Start the embedded PostgreSQL and AWS. An engine that runs already is left running."""
    from ...local import stack
    from . import application

    application.refuse_prod(s)
    stack.up(wait_s=max(stack.WAIT_S, s.wait_s), say=lambda text: output.note(s, text))
    output.show(s, stack.status(), record=stack.Engine, draw=output.details)


@command(shows=True)
def down(s: Settings) -> None:
    """Stop the embedded stack. Everything in it is kept."""
    from ...local import stack
    from . import application

    application.refuse_prod(s)
    output.show(s, stack.down(), record=stack.Engine, draw=output.details)


@command(shows=True)
def status(s: Settings) -> int:
    """Show whether the embedded PostgreSQL and AWS run, and where. Exit code 1 if an engine does not run."""
    from ...local import stack
    from . import application

    application.refuse_prod(s)
    engines = stack.status()
    output.show(s, engines, record=stack.Engine, draw=output.details)
    return Exit.DONE if all(engine.state == "running" for engine in engines) else Exit.NO


@command(also={"output": (Annotated[Form, typer.Option("--output", "-o", help=_FORM)], Form.SHELL)})
def env(s: Settings) -> None:
    """Print the variables that the application reads. They are addresses, table, user pool and dummy credentials.

    With them the application uses the stores that `cruddur setup` filled. To set them in this shell, run
    eval "$(cruddur local env)".

    cruddur local env -o dotenv >> "$GITHUB_ENV"
    """
    from . import application

    output.write(application.formatted(application.variables(s), Form(s.output)) + "\n")


@command(passes_on=True)
def run(
    s: Settings,
    program: Annotated[list[str], typer.Argument(metavar="CMD...", help="The program and its arguments.")],
) -> int:
    """Run a program with the variables of `cruddur local env`.

    It passes signals on to the program. The exit code is the program's, or 128 + n if signal n ended it.

    cruddur local run -- flask run
    """
    from . import application, foreground

    return foreground.run(program, settings.given_environment() | application.variables(s))


@command(shows=True, name="logs")
def show_logs(
    s: Settings,
    engine: Annotated[
        EngineName | None, typer.Argument(metavar="[ENGINE]", help="Only this engine: postgres or aws.")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", min=1, metavar="N", help="The last N lines of each engine.")] = 50,
) -> None:
    """Show the last lines that the engines wrote to their logs."""
    from ...local import logs
    from . import application

    application.refuse_prod(s)
    secrets = settings.secrets()
    log_lines = [
        replace(line, line=masking.text(line.line, secrets))
        for name in ([engine] if engine else EngineName)
        for line in logs.last(name.value, lines)
    ]
    width = max(len(name.value) for name in EngineName)
    if not output.show(
        s, log_lines, draw=output.plain(lambda item: f"{item.engine:<{width}} | {item.line}"), record=logs.LogLine
    ):
        output.note(s, "The engines have written nothing: none was started, or `cruddur local reset` deleted the logs.")


@command(shows=True, asks=True, changes=True)
def reset(s: Settings) -> None:
    """Stop the embedded stack and delete its data. Files that other programs put beside the data are kept."""
    from ...local import stack
    from ..shared import confirm
    from . import application

    application.refuse_prod(s)
    folders = stack.belongings()
    if not folders:
        _show_deleted(s, {})
        output.note(s, "the embedded stack has no data; nothing was changed")
        return
    losing = f"all data of the embedded PostgreSQL and AWS, in {', '.join(str(folder) for folder in folders)}"
    if s.dry_run:
        _show_deleted(s, dict.fromkeys(folders, "would be deleted"))
        output.note(s, f"{losing} would be deleted")
        return
    confirm.destroy(s, what="The embedded stack", name="cruddur", losing=losing, remote=False)
    kept_folders = stack.reset()
    _show_deleted(s, {folder: "kept" if folder in kept_folders else "deleted" for folder in folders})
    for folder in kept_folders:
        output.note(s, f"{folder} was kept: it holds files of other programs")
    output.done(s, "the embedded stack is deleted; `cruddur setup` creates a new one")
    if settings.given_environment().get("AWS_COGNITO_USER_POOL_CLIENT_ID"):
        output.note(s, 'the variables of this shell name the deleted one; after that: eval "$(cruddur local env)"')


@dataclass(frozen=True)
class Deleted:
    """One folder of the embedded stack, and what happened to it."""

    folder: str
    result: str


def _show_deleted(s: Settings, results: Mapping[Path, str]) -> None:
    items = [Deleted(str(folder), result) for folder, result in results.items()]
    deleted = sum(result == "deleted" for result in results.values())
    output.show(s, items, record=Deleted, extra={"deleted": deleted, "dry_run": s.dry_run})
