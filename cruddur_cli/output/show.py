"""Shows a command's records on stdout, the way that ``-o`` says, and what they cost."""

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
_owed: ContextVar[list[Callable[[], None]] | None] = ContextVar("owed", default=None)  # what a command tells at its end
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
    """Print ``items`` (frozen dataclasses or dicts) the way that ``-o`` says; returns how many there were.

    ``draw`` draws them for a person, else it is a table. ``meter`` is read after the last item, so that it tells the
    whole command's consumption. ``record`` is the class of the items: where there is no item, its fields are the header
    of CSV and Markdown. ``extra`` goes beside ``items`` in JSON. ``picture`` draws them for --svg, where a terminal
    shows more than ``draw`` does. Machine formats are written item by item and take any iterator; a table and a picture
    need them all.
    """
    history.counted(extra or {})
    items = github.kept(s, items, columns=columns, extra=extra, meter=meter)
    if s.svg:
        items = list(items)
        save_picture(s, items, picture or draw)
    if s.output == "table":
        found = list(items)
        if s.svg != "-" and (draw is not None or found):
            (draw or table)(console(sys.stdout), found)
        sys.stdout.flush()
        if meter is not None:
            used(s, meter)
        return len(found)
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
    """A document on stdout as it is: text, or an object as JSON."""
    from . import machine

    sys.stdout.write(document if isinstance(document, str) else machine.dumps(document) + "\n")
    sys.stdout.flush()


def show_pages(s: Settings, pages: Iterable[Sequence[object]], *, meter: Meter) -> int:
    """``show`` for ``-o jsonl`` and items that come in pages, each of which is written as one text."""
    from . import machine

    pages = github.kept_pages(s, pages, meter=meter)
    count = machine.write_lines(pages, sys.stdout)
    sys.stdout.flush()
    if not s.quiet:
        tell(machine.dumps({"consumed_capacity": meter.total()}), wrap=False)
    return count


@contextmanager
def capacity_last() -> Iterator[None]:
    """Around a command: what it used is told behind everything else that it tells."""
    owed: list[Callable[[], None]] = []
    token = _owed.set(owed)
    try:
        yield
    finally:
        _owed.reset(token)
        for tell_used in owed:
            tell_used()


def used(s: Settings, meter: Meter, *, brief: bool = False) -> None:
    """What a command consumed, on stderr: a table at its end on a terminal; one line elsewhere, or at once where it is
    to be ``brief``.

    Silent with --quiet.
    """
    if s.quiet:
        return
    from . import capacity

    def tell_used() -> None:
        total, operations = meter.total(), meter.operations()
        if brief or not operations or not is_terminal(sys.stderr):
            tell(capacity.in_words(total), style="dim")
        else:
            capacity.draw(console(sys.stderr), total, operations)

    owed = _owed.get()
    if brief or owed is None:
        tell_used()
    else:
        owed.append(tell_used)


def read(meter: Meter) -> str:
    """What a command that only reads consumed, as a part of a sentence."""
    from . import capacity

    return capacity.read(meter.total())


def save_picture(s: Settings, items: Sequence[R], draw: Draw[R] | None) -> None:
    """Write the file that --svg names: ``items`` as ``draw`` draws them, else as a table."""
    from . import picture

    assert s.svg
    picture.save(s.svg, s.command, lambda out: (draw or table)(out, items))


# How a kind of record is drawn for a person. rich is imported only when one of them draws.


def table(out: Console, items: Sequence[object]) -> None:
    """Records as a table, one column a field."""
    from . import tables

    tables.table(out, items)


def columns(*names: str) -> Draw[object]:
    """Records as a table of these fields; the others stand in the JSON."""

    def draw(out: Console, items: Sequence[object]) -> None:
        from . import tables

        tables.table(out, [{name: tables.fields(item)[name] for name in names} for item in items])

    return draw


def details(out: Console, items: Sequence[object]) -> None:
    """Each record as lines of name and value."""
    from . import tables

    tables.details(out, items)


def plain(line: Callable[[R], str]) -> Draw[R]:
    """Each record as one line of text, which ``line`` makes of it."""

    def draw(out: Console, items: Sequence[R]) -> None:
        from .text import printable

        for item in items:
            out.print(printable(line(item)), soft_wrap=True)

    return draw


def lines(line: Callable[[R], str]) -> Draw[R]:
    """Each record as one sentence, which ``line`` makes of it, broken between words."""

    def draw(out: Console, items: Sequence[R]) -> None:
        for item in items:
            sentence(out, line(item), hanging=4)

    return draw


def sentence(out: Console, text: str, *, style: str = "", hanging: int = 0) -> None:
    """A text on a line. On a terminal it is broken between words; later lines begin after ``hanging`` spaces."""
    from .text import one_line, wrapped

    first, *more = (wrapped(one_line(text), out.width - hanging) if out.is_terminal else one_line(text)).split("\n")
    out.print("\n".join([first, *(f"{'':{hanging}}{line.strip()}" for line in more)]), style=style, soft_wrap=True)


class Difference(Protocol):
    """One object that is otherwise than it should be; a side that lacks it is None."""

    @property
    def object(self) -> str: ...
    @property
    def expected(self) -> str | None: ...
    @property
    def actual(self) -> str | None: ...


def difference(out: Console, items: Sequence[Difference]) -> None:
    """What differs as lines of a diff: ``-`` what there is, ``+`` what should be there."""
    for item in items:
        for sign, text, style in (("-", item.actual, "red"), ("+", item.expected, "green")):
            if text is not None:
                sentence(out, f"{sign} {item.object} {text}".rstrip(), style=style, hanging=4)


def people(out: Console, items: Sequence[Identity]) -> None:
    """Identities as a table of what tells who a person is."""
    from . import tables

    tables.people(out, items)


def settings(out: Console, items: Sequence[Setting]) -> None:
    """Settings with their values and origins."""
    from . import tables

    tables.settings(out, items)


def inbox(out: Console, items: Sequence[MessageGroup]) -> None:
    """A person's conversations."""
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


def untold(out: Console, items: Sequence[object]) -> None:
    """Nothing: each of the items was told on stderr already."""


def steps(*, dry_run: bool) -> Draw[Step]:
    """The steps of a set-up as they were told."""

    def draw(out: Console, items: Sequence[Step]) -> None:
        from rich.text import Text

        for item in items:
            sign, style = ("+" if dry_run else "✓", "green" * (not dry_run)) if item.changed else ("·", "dim")
            rest = Text(f" {item.step}: {item.result}", "" if item.changed else "dim")
            out.print(Text.assemble((sign, style), rest))

    return draw


def below(first: Draw[S], items: Sequence[S], draw: Draw[R]) -> Draw[R]:
    """``draw`` below other records, which ``first`` draws."""

    def draw_both(out: Console, more: Sequence[R]) -> None:
        first(out, items)
        draw(out, more)

    return draw_both


def newest(most: int, *, rest: str) -> Draw[MessageGroup]:
    """A person's newest conversations, and how many more the command ``rest`` lists."""

    def draw(out: Console, items: Sequence[MessageGroup]) -> None:
        from . import conversations

        conversations.draw_list(
            out, items[:most], left=f"{len(items) - most:,} more: {rest}" if len(items) > most else None
        )

    return draw


def findings(out: Console, items: Sequence[Finding]) -> None:
    """Findings of an audit, failures first, each with the command that fixes it."""
    from . import finding_lines

    finding_lines.draw(out, items)


def diagnosis(out: Console, items: Sequence[Diagnosis]) -> None:
    """Findings of ``doctor``, each with the command that fixes it."""
    from . import finding_lines

    finding_lines.draw_diagnosis(out, items)


def chat(mine: str | None, *, after: Message | None = None) -> Draw[Message]:
    """Messages as a chat, those of the person with the handle ``mine`` on the right; ``after`` is drawn already."""

    def draw(out: Console, items: Sequence[Message]) -> None:
        from . import conversations

        conversations.draw_chat(out, items, mine, after)

    return draw


def entities(out: Console, items: Sequence[Row]) -> None:
    """Rows of the single table, grouped by entity."""
    from . import conversations

    conversations.draw_items(out, items)


def stats(found: Stats) -> Draw[object]:
    """A table's statistics as bars and tables; what is drawn is ``found``, of which the items are a part."""
    units = "RCU: reading all of it once, eventually consistent; WCU: writing each item once, the index included"

    def draw(out: Console, _: Sequence[object]) -> None:
        from . import charts

        charts.draw_stats(out, found, capacity=units)

    return draw


def page(usage: str, about: str, lists: Mapping[str, Sequence[tuple[str, str]]], *, compact: bool = False) -> None:
    """A page of help on stdout: usage, paragraphs, and lists of names and what they mean."""
    from . import help_page

    help_page.draw(usage, about, lists, compact=compact)


def when(sort_key: str) -> str:
    """A sort key's time as a person reads it, in local time."""
    from ..times import instant
    from . import text

    return text.when(instant(sort_key))
