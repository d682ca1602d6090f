"""``cruddur history``: lists what commands changed from this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .. import output, times
from ..errors import CruddurError, Exit
from ..output import history as histories
from ..output.text import counted, one_line, when
from ..settings import Settings
from .shared.options import Since, Until, command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from ..output.history import Entry


@command(shows=True)
def history(
    s: Settings,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="Show the last N commands.")] = 50,
) -> None:
    """List the commands that changed something. Shows when, by whom and on which stores, newest first.

    --prod shows only production.

    The history of this machine is a file in the state folder of `cruddur config`. It keeps about the last 2 MB. It
    contains no secrets and no texts of messages. It does not contain dry runs, commands that were refused before they
    changed anything, or commands that were killed with SIGKILL.

    cruddur history --since 7d --prod
    """
    from ..local import home

    window = times.window(year=None, since=since, until=until)
    folder = home.history()
    try:
        entries, damaged = histories.read(folder)
    except OSError as error:
        raise CruddurError(f"{folder} cannot be read: {error.strerror or error}.", code="os_error") from error
    matches = [
        entry for entry in entries if window.holds(entry.at) and not (s.prod and entry.environment != "production")
    ]
    output.show(s, matches[:limit], draw=_draw, record=histories.Entry)
    if damaged:
        output.warn(f"{counted(damaged, 'line')} of {folder / histories.NAME} cannot be read.")
    if not matches:
        total = f"; {counted(len(entries), 'command is', 'commands are')} recorded in all" if entries else ""
        output.note(s, f"No command is recorded in {folder}{' that matches' if entries else ''}{total}.")
    elif len(matches) > limit:
        output.note(s, f"The last {limit} of {len(matches):,} commands; --limit shows more.")


def _draw(out: Console, entries: Sequence[Entry]) -> None:
    """Draw each command with its time and exit code; below it the stores, the warning, the reports and the counts."""
    for entry in entries:
        result = "" if not entry.exit_code else f"  exit code {entry.exit_code}"
        head = f"{when(entry.at, '%Y-%m-%d %H:%M:%S')}  {entry.user}  {entry.environment}{result}"
        is_emphasized = entry.environment != "local" or entry.exit_code not in {Exit.DONE, Exit.INTERRUPTED}
        output.sentence(out, head, style="bold red" if is_emphasized else "bold", hanging=2)
        counts = ", ".join(f"{name.replace('_', ' ')} {number:,}" for name, number in entry.counts.items() if number)
        out.print(f"  {one_line(entry.command)}", soft_wrap=True)  # a line break would stop it from being pasted
        lines = [*(f"on {store}" for store in entry.stores), entry.warning or "", *entry.reported, counts]
        for text in filter(None, lines):
            output.sentence(out, f"  {text}", hanging=4)
