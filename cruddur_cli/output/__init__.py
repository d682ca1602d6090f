"""Shows results on stdout and tells everything else on stderr; the only package that imports rich."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from ..errors import CruddurError
from .text import columns as columns_of
from .text import printable, wrapped

if TYPE_CHECKING:
    from ..settings import Settings

    Draw = Callable[[Sequence[Any]], None]

NARROW = 60  # columns, in fewer of which tables and frames break every word


class Meter(Protocol):
    """What knows a command's consumption; ``dynamodb.capacity.Meter`` is one."""

    def total(self) -> Any: ...
    def operations(self) -> Sequence[Any]: ...


def show(
    s: Settings,
    items: Iterable[Any],
    *,
    draw: Draw | None = None,
    meter: Meter | None = None,
    columns: Sequence[str] | None = None,
    extra: Mapping[str, object] | None = None,
) -> int:
    """Print ``items`` (frozen dataclasses or dicts) the way that ``-o`` says; comes back with how many there were.

    ``draw`` draws them for a person, else it is a table. ``meter`` is read after the last item, so that it tells the
    whole command's consumption. ``extra`` goes beside ``items`` in JSON. Machine formats are written item by item and
    take any iterator; a table needs them all.
    """
    if s.output == "table":
        from . import terminal

        found = list(items)
        (draw or terminal.table)(found)
        sys.stdout.flush()
        if meter is not None and not s.quiet:
            terminal.capacity(meter.total(), meter.operations())
        return len(found)
    from . import machine

    capacity = meter.total if meter is not None else None
    count = machine.write(s.output, items, sys.stdout, columns=columns, extra=extra or {}, capacity=capacity)
    sys.stdout.flush()
    if capacity is not None and s.output != "json" and not s.quiet:
        tell(machine.dumps({"consumed_capacity": capacity()}), wrap=False)
    return count


def show_pages(s: Settings, pages: Iterable[Sequence[Any]], *, meter: Meter) -> int:
    """``show`` for ``-o jsonl`` and items that come in pages, each of which is written as one text."""
    from . import machine

    count = machine.write_lines(pages, sys.stdout)
    sys.stdout.flush()
    if not s.quiet:
        tell(machine.dumps({"consumed_capacity": meter.total()}), wrap=False)
    return count


def used(s: Settings, meter: Meter) -> None:
    """What a command consumed, where stdout holds something else than its records."""
    if s.quiet:
        return
    from . import terminal

    terminal.capacity(meter.total(), meter.operations())


def note(s: Settings, text: str) -> None:
    """One line of narration for a person, on stderr; silent with --quiet."""
    if not s.quiet:
        tell(text)


def warn(text: str) -> None:
    """Something that a person should know even with --quiet."""
    tell(f"warning: {text}")


def tell(text: str, *, wrap: bool = True) -> None:
    """A line on stderr, free of anything that a terminal would obey; a closed stderr is nobody's problem.

    On a terminal it is broken between words; ``wrap`` is False for what a program reads.
    """
    if sys.stderr is None:
        return
    text = printable(text, keep="\n\t")
    try:
        if wrap and is_terminal(sys.stderr):
            text = wrapped(text, columns_of(sys.stderr))
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def fail(error: CruddurError, program: str, output: str) -> None:
    """Say what failed: one sentence with the program's name, details, and what to run next; an object with -o json."""
    if output in {"json", "jsonl"}:
        from . import machine

        fields = {key: value for key, value in error.fields.items() if key not in {"response", "aws_code"}}
        body = {"code": error.code, "message": error.message, "hint": error.hint, "details": error.details, **fields}
        error_body = {key: value for key, value in body.items() if value is not None or key == "hint"}
        tell(machine.dumps({"error": error_body}), wrap=False)
        return
    tell(f"{program}: {error.message}")
    if error.details:
        tell("\n".join(f"  {line}" for line in error.details.splitlines()))
    if error.hint:
        tell(f"  next: {error.hint}")


@contextmanager
def progress(s: Settings, text: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr where somebody watches; comes with a function that advances it by a number of items."""
    if s.quiet or not is_terminal(sys.stderr):
        yield lambda _: None
        return
    from . import bar

    with bar.progress(text, total) as advance:
        yield advance


def page(usage: str, about: str, lists: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """A page of help on stdout: usage, paragraphs, and lists of names and what they mean."""
    from . import help_page

    help_page.draw(usage, about, lists)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person is on the other side of the stream."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def summary(extra: Mapping[str, object]) -> str:
    """``written 122, unchanged 0`` for the counts of a command that changed something."""
    return ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in extra.items() if isinstance(value, int))


# How a kind of record is drawn for a person. rich is imported only when one of them draws.


def details(items: Sequence[Any]) -> None:
    """Each record as lines of name and value."""
    from . import terminal

    terminal.details(items)


def inbox(items: Sequence[Any]) -> None:
    """A person's conversations."""
    from . import terminal

    terminal.inbox(items)


def people(items: Sequence[Any]) -> None:
    """Identities as a table of what tells who somebody is."""
    from . import terminal

    terminal.people(items)


def chat(mine: str | None) -> Draw:
    """Messages as a chat, those of the person with the handle ``mine`` on the right."""

    def draw(items: Sequence[Any]) -> None:
        from . import terminal

        terminal.chat(items, mine)

    return draw


def entities(items: Sequence[Any]) -> None:
    """Rows of the single table, grouped by entity."""
    from . import drawings

    drawings.draw_items(items)


def stats(found: Any) -> Draw:
    """A table's statistics as bars and tables; what is drawn is ``found``, of which the items are a part."""
    units = "RCU: reading all of it once, eventually consistent; WCU: writing each item once, the index included"

    def draw(_: Sequence[Any]) -> None:
        from . import charts

        charts.draw_stats(found, capacity=units)

    return draw


def when(sort_key: str) -> str:
    """A sort key's time as a person reads it, in local time."""
    from ..times import instant
    from . import terminal

    return terminal.when(instant(sort_key))
