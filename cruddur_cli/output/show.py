"""Prints a command's records on stdout, in the format of ``-o``, and the capacity that the command used."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from . import github, history
from .stderr import tell
from .streams import console, is_terminal

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from rich.console import Console

    from ..settings import Settings
    from .capacity import Meter
    from .charts import Stats
    from .conversations import Message, MessageGroup, Row
    from .finding_lines import Diagnosis, Finding
    from .tables import Identity, Setting

R = TypeVar("R")
S = TypeVar("S")
# What a command prints at its end.
_at_end: ContextVar[list[Callable[[], None]] | None] = ContextVar("owed", default=None)
Draw: TypeAlias = "Callable[[Console, Sequence[R]], None]"


def show(
    s: Settings,
    items: Iterable[R],
    *,
    draw: Draw[R] | None = None,
    meter: Meter | None = None,
    columns: Sequence[str] | None = None,
    record: type[DataclassInstance] | None = None,
    extra: Mapping[str, object] | None = None,
    picture: Draw[R] | None = None,
) -> int:
    """Print ``items`` (frozen dataclasses or dicts) in the format of ``-o``; returns their number.

    ``draw`` draws them for a person; the default is a table. ``picture`` draws them for ``--svg``, where a terminal
    shows more than ``draw`` does. ``record`` is the class of the items: without items, its fields are the header of CSV
    and Markdown. ``extra`` is added beside ``items`` in JSON. ``meter`` is read after the last item, so that it has the
    whole command's consumption.

    Machine formats are written item by item, from any iterator. A table and a picture need all items in memory.
    """
    history.counted(extra or {})
    items = github.kept(s, items, columns=columns, extra=extra, meter=meter)
    if s.svg:
        items = list(items)
        save_picture(s, items, picture or draw)
    if s.output == "table":
        rows = list(items)
        if s.svg != "-" and (draw is not None or rows):
            (draw or table)(console(sys.stdout), rows)
        sys.stdout.flush()
        if meter is not None:
            used(s, meter)
        return len(rows)
    from . import machine

    total = meter.total if meter is not None else None
    header = [field.name for field in dataclasses.fields(record)] if record is not None else None
    count = machine.write(
        s.output, items, sys.stdout, columns=columns, header=header, extra=extra or {}, capacity=total
    )
    sys.stdout.flush()
    if total is not None and s.output != "json" and not s.quiet:
        tell(machine.dumps({"consumed_capacity": total()}), wrap=False)
    return count


def write(document: object) -> None:
    """Print a document unchanged: a text, or an object as JSON."""
    from . import machine

    sys.stdout.write(document if isinstance(document, str) else machine.dumps(document) + "\n")
    sys.stdout.flush()


def show_pages(s: Settings, pages: Iterable[Sequence[object]], *, meter: Meter) -> int:
    """``show`` for ``-o jsonl`` and items that come in pages. Each page is written at once."""
    from . import machine

    pages = github.kept_pages(s, pages, meter=meter)
    count = machine.write_lines(pages, sys.stdout)
    sys.stdout.flush()
    if not s.quiet:
        tell(machine.dumps({"consumed_capacity": meter.total()}), wrap=False)
    return count


@contextmanager
def capacity_last() -> Iterator[None]:
    """Around a command: the capacity that it used is printed after everything else."""
    reports: list[Callable[[], None]] = []
    token = _at_end.set(reports)
    try:
        yield
    finally:
        _at_end.reset(token)
        for report in reports:
            report()


def used(s: Settings, meter: Meter, *, brief: bool = False) -> None:
    """Print what a command consumed on stderr. It prints nothing with ``--quiet``.

    On a terminal it is a table at the command's end. Elsewhere it is one line; with ``brief`` it is one line, printed
    now.
    """
    if s.quiet:
        return
    from . import capacity

    def report() -> None:
        total, operations = meter.total(), meter.operations()
        if brief or not operations or not is_terminal(sys.stderr):
            tell(capacity.in_words(total), style="dim")
        else:
            capacity.draw(console(sys.stderr), total, operations)

    reports = _at_end.get()
    if brief or reports is None:
        report()
    else:
        reports.append(report)


def read(meter: Meter) -> str:
    """What a command that only reads consumed, as a part of a sentence."""
    from . import capacity

    return capacity.read(meter.total())


def save_picture(s: Settings, items: Sequence[R], draw: Draw[R] | None) -> None:
    """Write the picture of ``--svg``; ``draw`` draws the items, by default as a table."""
    from . import picture

    assert s.svg
    picture.save(s.svg, s.command, lambda out: (draw or table)(out, items))


# Functions that draw records for a person. They import rich only when they draw.


def table(out: Console, items: Sequence[object]) -> None:
    """Draw records as a table, one column for each field."""
    from . import tables

    tables.table(out, items)


def columns(*names: str) -> Draw[object]:
    """Draw records as a table of these fields. JSON has the others, too."""

    def draw(out: Console, items: Sequence[object]) -> None:
        from . import tables

        tables.table(out, [{name: tables.fields(item)[name] for name in names} for item in items])

    return draw


def details(out: Console, items: Sequence[object]) -> None:
    """Draw each record as lines of name and value."""
    from . import tables

    tables.details(out, items)


def plain(line: Callable[[R], str]) -> Draw[R]:
    """Draw each record as one line, which ``line`` returns; it is not wrapped."""

    def draw(out: Console, items: Sequence[R]) -> None:
        from .text import printable

        for item in items:
            out.print(printable(line(item)), soft_wrap=True)

    return draw


def lines(line: Callable[[R], str]) -> Draw[R]:
    """Draw each record as one sentence, which ``line`` returns; it is wrapped between words."""

    def draw(out: Console, items: Sequence[R]) -> None:
        for item in items:
            sentence(out, line(item), hanging=4)

    return draw


def sentence(out: Console, text: str, *, style: str = "", hanging: int = 0) -> None:
    """Print a text. On a terminal it is wrapped between words, and later lines are indented by ``hanging`` spaces."""
    from .text import one_line, wrapped

    first, *more = (wrapped(one_line(text), out.width - hanging) if out.is_terminal else one_line(text)).split("\n")
    out.print("\n".join([first, *(f"{'':{hanging}}{line.strip()}" for line in more)]), style=style, soft_wrap=True)


class Difference(Protocol):
    """One object that differs from what is expected; ``expected`` or ``actual`` is None where it does not exist."""

    @property
    def object(self) -> str: ...
    @property
    def expected(self) -> str | None: ...
    @property
    def actual(self) -> str | None: ...


def difference(out: Console, items: Sequence[Difference]) -> None:
    """Draw differences as lines of a diff: ``-`` is the actual object, ``+`` the expected one."""
    for item in items:
        for sign, text, style in (("-", item.actual, "red"), ("+", item.expected, "green")):
            if text is not None:
                sentence(out, f"{sign} {item.object} {text}".rstrip(), style=style, hanging=4)


def people(out: Console, items: Sequence[Identity]) -> None:
    """Draw identities as a table."""
    from . import tables

    tables.people(out, items)


def settings(out: Console, items: Sequence[Setting]) -> None:
    """Draw settings with their values and origins."""
    from . import tables

    tables.settings(out, items)


def inbox(out: Console, items: Sequence[MessageGroup]) -> None:
    """Draw a person's conversations."""
    from . import conversations

    conversations.draw_list(out, items)


class Step(Protocol):
    """One step of a set-up, and whether it changed something."""

    @property
    def step(self) -> str: ...
    @property
    def result(self) -> str: ...
    @property
    def changed(self) -> bool: ...


def draw_nothing(out: Console, items: Sequence[object]) -> None:
    """Draw nothing, because the items were printed on stderr already."""


def steps(*, dry_run: bool) -> Draw[Step]:
    """Draw the steps of a set-up, as they were printed on stderr."""

    def draw(out: Console, items: Sequence[Step]) -> None:
        from rich.text import Text

        for item in items:
            sign, style = ("+" if dry_run else "✓", "green" * (not dry_run)) if item.changed else ("·", "dim")
            text = Text(f" {item.step}: {item.result}", "" if item.changed else "dim")
            out.print(Text.assemble((sign, style), text))

    return draw


def below(first: Draw[S], items: Sequence[S], draw: Draw[R]) -> Draw[R]:
    """Draw other records first, with ``first``, and these records below them."""

    def draw_both(out: Console, more: Sequence[R]) -> None:
        first(out, items)
        draw(out, more)

    return draw_both


def newest(most: int, *, command: str) -> Draw[MessageGroup]:
    """Draw the ``most`` newest conversations, and how many more the command ``rest`` lists."""

    def draw(out: Console, items: Sequence[MessageGroup]) -> None:
        from . import conversations

        conversations.draw_list(
            out, items[:most], more=f"{len(items) - most:,} more: {command}" if len(items) > most else None
        )

    return draw


def findings(out: Console, items: Sequence[Finding]) -> None:
    """Draw the findings of an audit, each failure with the command that fixes it."""
    from . import finding_lines

    finding_lines.draw(out, items)


def diagnosis(out: Console, items: Sequence[Diagnosis]) -> None:
    """Draw the findings of ``doctor``, each with the command that fixes it."""
    from . import finding_lines

    finding_lines.draw_diagnosis(out, items)


def chat(mine: str | None, *, after: Message | None = None) -> Draw[Message]:
    """Draw messages as a chat, those of the handle ``mine`` on the right; ``after`` is the last message drawn."""

    def draw(out: Console, items: Sequence[Message]) -> None:
        from . import conversations

        conversations.draw_chat(out, items, mine, after)

    return draw


def entities(out: Console, items: Sequence[Row]) -> None:
    """Draw rows of the single table, grouped by entity."""
    from . import conversations

    conversations.draw_items(out, items)


def stats(statistics: Stats) -> Draw[object]:
    """Draw a table's statistics as bars and tables.

    They are drawn from ``statistics``; the items that ``show`` gets are only a part of them.
    """
    units = "RCU: reading all of it once, eventually consistent; WCU: writing each item once, the index included"

    def draw(out: Console, _: Sequence[object]) -> None:
        from . import charts

        charts.draw_stats(out, statistics, capacity=units)

    return draw


def page(usage: str, about: str, lists: Mapping[str, Sequence[tuple[str, str]]], *, compact: bool = False) -> None:
    """Print a page of help: usage, paragraphs, and lists of names and meanings."""
    from . import help_page

    help_page.draw(usage, about, lists, compact=compact)


def when(sort_key: str) -> str:
    """The time in a sort key, as local time for a person."""
    from ..times import instant
    from . import text

    return text.when(instant(sort_key))
