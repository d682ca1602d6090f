"""The options that mean the same everywhere, declared once; a command lists which of them it takes."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Any, get_type_hints

import typer

from .. import settings
from . import pages


class Output(StrEnum):
    """How records are printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


def _finite(value: float | None) -> float | None:
    """What ``min`` lets through, as it is neither below nor above anything, or above everything."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a number of units.")
    return value


_PANEL = "Options of every command"
_COMMON: dict[str, tuple[Any, Any]] = {
    "prod": (
        Annotated[bool, typer.Option("--prod", help="Act on AWS and PROD_CONNECTION_URL.", rich_help_panel=_PANEL)],
        False,
    ),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="No narration.", rich_help_panel=_PANEL)], False),
    "debug": (
        Annotated[bool, typer.Option("--debug", help="A traceback, and the requests made.", rich_help_panel=_PANEL)],
        False,
    ),
    "no_color": (
        Annotated[bool, typer.Option("--no-color", help="No colour, no style.", rich_help_panel=_PANEL)],
        False,
    ),
}
_OUTPUT = (Annotated[Output, typer.Option("--output", "-o", help="How to print the records.")], Output.TABLE)
_DRY_RUN = (Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would happen; change nothing.")], False)
_YES = (Annotated[bool, typer.Option("--yes", "-y", help="Answer the question in advance (local targets).")], False)
_CONFIRM = (
    Annotated[str | None, typer.Option("--confirm", metavar="NAME", help="The typed name in advance (production).")],
    None,
)
_TABLE = (
    Annotated[
        str | None,
        typer.Option(
            "--table", metavar="NAME", help="The DynamoDB table, else DDB_MESSAGE_TABLE, else cruddur-messages."
        ),
    ],
    None,
)
_WAIT = (
    Annotated[float, typer.Option("--wait", metavar="SECONDS", min=0, help="Wait for stores that are still starting.")],
    0.0,
)
_MINE = (
    Annotated[
        str | None,
        typer.Option("--my-handle", metavar="HANDLE", help="You: Person 1; else CRUDDUR_MY_HANDLE, else andrewbrown."),
    ],
    None,
)
_OTHER = (
    Annotated[
        str | None,
        typer.Option("--other-handle", metavar="HANDLE", help="Person 2; else CRUDDUR_OTHER_HANDLE, else bayko."),
    ],
    None,
)
_EXPLAIN = (
    Annotated[bool, typer.Option("--explain", help="Tell each request: key condition, index, expected units.")],
    False,
)
_MAX_UNITS = (
    Annotated[
        float | None,
        typer.Option(
            "--max-units",
            min=0.5,
            metavar="N",
            callback=_finite,
            help="Stop before this many capacity units are passed.",
        ),
    ],
    None,
)
_RATE = (
    Annotated[
        float | None,
        typer.Option(
            "--rate",
            min=0.5,
            metavar="N",
            callback=_finite,
            help="N units a second on average; in production half of what is provisioned.",
        ),
    ],
    None,
)
Body = Callable[..., int | None]


def command(
    app: typer.Typer,
    *,
    shows: bool = False,
    changes: bool = False,
    asks: bool = False,
    table: bool = False,
    waits: bool = False,
    handles: bool = False,
    explains: bool = False,
    paced: bool = False,
    also: Mapping[str, tuple[Any, Any]] | None = None,
    name: str | None = None,
) -> Callable[[Body], Body]:
    """Register a function as a command; it gets the settings first, then its own parameters.

    What it returns, where it returns something, is the exit code. ``shows`` adds ``-o``, ``changes`` ``--dry-run``,
    ``asks`` ``--yes`` and ``--confirm``, ``table`` ``--table``, ``waits`` ``--wait``, ``handles`` the two handles,
    ``explains`` ``--explain``, ``paced`` ``--max-units`` and ``--rate``; ``also`` the options of settings that only few
    commands take: the setting's name, annotation and default.
    """
    added = dict(_COMMON)
    wanted = {
        "output": (shows, _OUTPUT),
        "dry_run": (changes, _DRY_RUN),
        "yes": (asks, _YES),
        "confirm": (asks, _CONFIRM),
        "table": (table, _TABLE),
        "wait_s": (waits, _WAIT),
        "my_handle": (handles, _MINE),
        "other_handle": (handles, _OTHER),
        "explain": (explains, _EXPLAIN),
        "max_units": (paced, _MAX_UNITS),
        "rate": (paced, _RATE),
    }
    added |= {key: option for key, (is_wanted, option) in wanted.items() if is_wanted}
    added |= also or {}

    def register(body: Body) -> Body:
        own = list(inspect.signature(body).parameters.values())[1:]
        hints = get_type_hints(body, include_extras=True)
        parameters = [parameter.replace(annotation=hints[parameter.name]) for parameter in own]
        parameters += [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for key, (annotation, default) in added.items()
        ]

        @functools.wraps(body)
        def run(**given: Any) -> None:
            options = {key: given.pop(key) for key in added}
            options.pop("no_color")  # the front door acts on it, for --help and for errors too
            if "output" in options:
                options["output"] = options["output"].value
            code = body(settings.load(options), **given)
            if code:
                raise typer.Exit(int(code))

        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        app.command(name, cls=pages.Command)(run)
        return body

    return register
