"""Declares the options that several commands share, and the decorator ``command``, which adds them to a command."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ... import output, settings
from ...errors import BadInput, CruddurError
from ...output import history, masked
from . import completions


class Output(StrEnum):
    """The values of ``-o``: how records are printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    MARKDOWN = "markdown"


def _finite(value: float | None) -> float | None:
    """The callback of an option that takes a number. Refuses ``nan`` and ``inf``, which ``min`` accepts."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a number of units.")
    return value


_MOST_SECONDS = 1e8  # three years: longer than any command takes, and within the range of every clock


def seconds(param: typer.CallbackParam, value: float | None) -> float | None:
    """The callback of an option that takes seconds. Raises BadInput for ``nan`` and for more than ``_MOST_SECONDS``."""
    if value is not None and not value <= _MOST_SECONDS:
        raise BadInput(f"{param.opts[0]} {value:g} is not a number of seconds up to {_MOST_SECONDS:,.0f}.")
    return value


_PANEL = "Options of every command"
_COMMON: dict[str, tuple[Any, Any]] = {
    "prod": (
        Annotated[
            bool, typer.Option("--prod", help="Use production: AWS and PROD_CONNECTION_URL.", rich_help_panel=_PANEL)
        ],
        False,
    ),
    "quiet": (
        Annotated[bool, typer.Option("--quiet", "-q", help="Print only data and errors.", rich_help_panel=_PANEL)],
        False,
    ),
    "debug": (
        Annotated[
            bool,
            typer.Option("--debug", help="Print each request, and the traceback of an error.", rich_help_panel=_PANEL),
        ],
        False,
    ),
    "no_color": (
        Annotated[bool, typer.Option("--no-color", help="Print no colours and no bold text.", rich_help_panel=_PANEL)],
        False,
    ),
}
_FORMATS = "Output format: table, json, jsonl, csv or markdown."
_OUTPUT = (Annotated[Output, typer.Option("--output", "-o", metavar="FORMAT", help=_FORMATS)], Output.TABLE)
_SVG = (
    Annotated[
        str | None,
        typer.Option(
            "--svg",
            metavar="FILE",
            help="Also save the output to FILE as an SVG picture. With -, print only the picture.",
        ),
    ],
    None,
)
_SUMMARY_HELP = "Add the result to the job summary of GitHub Actions."
_SUMMARY = (Annotated[bool | None, typer.Option("--summary/--no-summary", help=_SUMMARY_HELP)], None)
_DRY_RUN = (Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would happen; change nothing.")], False)
_YES = (Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before changing local data.")], False)
_CONFIRM = (
    Annotated[
        str | None,
        typer.Option(
            "--confirm", metavar="NAME", help="Answer the question for a name with NAME, instead of typing it."
        ),
    ],
    None,
)
_TABLE = (
    Annotated[
        str | None,
        typer.Option(
            "--table",
            metavar="NAME",
            autocompletion=completions.tables,
            help="Table name. Default: $DDB_MESSAGE_TABLE, or cruddur-messages.",
        ),
    ],
    None,
)
_WAIT = (
    Annotated[
        float,
        typer.Option(
            "--wait",
            metavar="SECONDS",
            min=0,
            callback=seconds,
            help="Wait this long for stores that are still starting.",
        ),
    ],
    0.0,
)
_MINE = (
    Annotated[
        str | None,
        typer.Option(
            "--my-handle",
            metavar="HANDLE",
            autocompletion=completions.handles,
            help="Your handle. Default: $CRUDDUR_MY_HANDLE, or andrewbrown, or the database's first person.",
        ),
    ],
    None,
)
_OTHER = (
    Annotated[
        str | None,
        typer.Option(
            "--other-handle",
            metavar="HANDLE",
            autocompletion=completions.handles,
            help="The other person's handle. Default: $CRUDDUR_OTHER_HANDLE, or bayko, or the next person.",
        ),
    ],
    None,
)
_EXPLAIN = (
    Annotated[
        bool, typer.Option("--explain", help="Print each DynamoDB request: key condition, index, expected units.")
    ],
    False,
)
MAX_UNITS = (
    Annotated[
        float | None,
        typer.Option(
            "--max-units",
            min=0.5,
            metavar="N",
            callback=_finite,
            help="Stop before using more than N capacity units.",
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
            help="Use N capacity units a second on average. Default with --prod: half of the provisioned ones.",
        ),
    ],
    None,
)


class Copy(StrEnum):
    """The values of ``--backup``: which copy of a database is made before data is lost."""

    SNAPSHOT = "snapshot"
    DUMP = "dump"
    NONE = "none"


class Form(StrEnum):
    """The values of ``-o`` of ``cruddur local env``: how variables are written."""

    SHELL = "shell"
    DOTENV = "dotenv"
    JSON = "json"


LONGEST_S = 24 * 3600.0
"""Seconds that a command waits for AWS to make a copy, by default."""
Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        min=0,
        callback=seconds,
        help="Wait at most this long. Then AWS continues without cruddur.",
    ),
]
NoBackup = Annotated[
    bool,
    typer.Option("--no-backup", help="With --prod: do not take a backup first. Then the items cannot be restored."),
]
CopyFirst = Annotated[
    Copy | None,
    typer.Option("--backup", help="With --prod: first take an RDS snapshot, or write a pg_dump file. Default: ask."),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        help="Start at this local time: 2026-11-20, today, yesterday, 1h or 7d ago. 2026-11-20T10:00Z is UTC.",
    ),
]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", help="End before this time. A day, month or year is included completely."),
]
NoMigrate = Annotated[bool, typer.Option("--no-migrate", help="Do not apply pending migrations; only count them.")]
_FILE = "FILE"
SCHEMA_FILE = {
    "schema_file": (
        Annotated[str | None, typer.Option("--file", metavar=_FILE, help="Load this schema file; - is stdin.")],
        None,
    )
}
SEED_FILE = {
    "seed_file": (
        Annotated[str | None, typer.Option("--file", metavar=_FILE, help="Load this seed file; - is stdin.")],
        None,
    )
}
SQL_FILES = {
    **SCHEMA_FILE,
    "seed_file": (
        Annotated[str | None, typer.Option("--seed-file", metavar=_FILE, help="Load this seed file; - is stdin.")],
        None,
    ),
}
STATEMENT_TIMEOUT = {
    "statement_timeout_s": (
        Annotated[
            float | None,
            typer.Option(
                "--statement-timeout",
                metavar="SECONDS",
                min=0.001,
                callback=seconds,
                help="Cancel a statement that takes longer.",
            ),
        ],
        None,
    )
}
Body = Callable[..., int | None]
REGISTERED: dict[str, dict[str, Body]] = {}
"""The functions that run the commands: by the name of the module, then by the name of the command."""
CONTEXTS: dict[Body, dict[str, bool]] = {}
"""Typer's context settings for a few of these functions."""
TYPED: dict[Body, str] = {}
"""The command line of each function, such as ``cruddur db ping``; ``cli.tree`` fills it."""


def _history_folder() -> Path:
    from ...local import home

    return home.history()


def command(
    *,
    shows: bool = False,
    changes: bool = False,
    asks: bool = False,
    table: bool = False,
    waits: bool = False,
    handles: bool = False,
    explains: bool = False,
    paced: bool = False,
    passes_on: bool = False,
    reports: bool = False,
    also: Mapping[str, tuple[Any, Any]] | None = None,
    name: str | None = None,
) -> Callable[[Body], Body]:
    """Make a function a command: it gets the settings and then its own parameters. ``cli.tree`` adds it to the program.

    The function returns the exit code, or None for 0. Flags add options:

    ``shows``: ``-o``, ``--svg`` and ``--summary``; ``changes``: ``--dry-run``; ``asks``: ``--yes`` and ``--confirm``;
    ``table``: ``--table``; ``waits``: ``--wait``; ``handles``: the two handles; ``explains``: ``--explain``; ``paced``:
    ``--max-units`` and ``--rate``.

    ``also`` adds options of settings that only a few commands take: the setting's name, with its annotation and
    default. ``passes_on`` makes options after the first argument arguments, too. ``reports`` adds ``--summary``, and
    adds the result to the summary of a job without that option, too. ``name`` is the command's name; the default is the
    function's.
    """
    added = dict(_COMMON)
    choices = {
        "output": (shows, _OUTPUT),
        "svg": (shows, _SVG),
        "summary": (shows or reports, _SUMMARY),
        "dry_run": (changes, _DRY_RUN),
        "yes": (asks, _YES),
        "confirm": (asks, _CONFIRM),
        "table": (table, _TABLE),
        "wait_s": (waits, _WAIT),
        "my_handle": (handles, _MINE),
        "other_handle": (handles, _OTHER),
        "explain": (explains, _EXPLAIN),
        "max_units": (paced, MAX_UNITS),
        "rate": (paced, _RATE),
    }
    added |= {key: option for key, (is_wanted, option) in choices.items() if is_wanted}
    added |= also or {}

    def register(body: Body) -> Body:
        own_parameters = list(inspect.signature(body).parameters.values())[1:]
        hints = get_type_hints(body, include_extras=True)
        parameters = [parameter.replace(annotation=hints[parameter.name]) for parameter in own_parameters]
        parameters += [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for key, (annotation, default) in added.items()
        ]

        @functools.wraps(body)
        def run(**arguments: Any) -> None:
            options = {key: arguments.pop(key) for key in added}
            options.pop("no_color")  # cli.main handles it, because it is for --help and errors, too
            if "output" in options:
                options["output"] = options["output"].value
            options["command"] = TYPED.get(run, "cruddur")
            if options.get("svg") is not None:
                from ...output import picture

                picture.check(options["svg"], options.get("output", "table"))
            if options.get("summary") is None:
                # Findings in SARIF are for code scanning, and more people can read a job.
                is_for_a_job = reports and options.get("output") != "sarif"
                options["summary"] = is_for_a_job and settings.has_job_summary()
            s = settings.load(options)
            if (changes or arguments.get("fix")) and not s.dry_run:
                history.begin(prod=s.prod, folder=_history_folder, private=[arguments.get("text") or ""])
            with output.capacity_last():
                code = _summarized(s, lambda s: body(s, **arguments))
            if code:
                raise typer.Exit(int(code))

        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        command_name = name or body.__name__.replace("_", "-")
        if passes_on:
            CONTEXTS[run] = {"allow_interspersed_args": False}
        REGISTERED.setdefault(body.__module__, {})[command_name] = run
        return body

    return register


def _summarized(s: settings.Settings, run: Callable[[settings.Settings], int | None]) -> int | None:
    """Run a command, and append its result to the job summary if ``--summary`` asks for it; returns the exit code."""
    if not s.summary:
        return run(s)
    from ...output import github

    github.begin()
    try:
        code = run(s)
    except CruddurError as error:
        github.append(s, error.exit_code, masked(error))
        raise
    github.append(s, code or 0)
    return code
