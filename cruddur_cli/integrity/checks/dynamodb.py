"""Checks of the DynamoDB table and its items."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator

from ...dynamodb.schema import MESSAGE_PREFIX
from ..model import Check, Defect, Facts, Problem, TableFacts, count, declare, some
from ..rows import Conversation, Tally
from .postgres import unreachable

CHECKS: list[Check] = []
check = declare("dynamodb", CHECKS)
_NEW_ITEMS = {"NEW_IMAGE", "NEW_AND_OLD_IMAGES"}


def _of(facts: Facts) -> Iterator[TableFacts]:
    if isinstance(facts.table, TableFacts):
        yield facts.table


@check("dynamodb-unreachable", "high")
def reachable(facts: Facts) -> Iterator[Defect]:
    """DynamoDB cannot be read."""
    if isinstance(facts.table, Problem) and facts.table.code != "table_not_found":
        yield from unreachable(facts, facts.table, "config", "dynamodb")


@check("table-missing", "high")
def missing(facts: Facts) -> Iterator[Defect]:
    """The table does not exist."""
    if isinstance(facts.table, Problem) and facts.table.code == "table_not_found" and not facts.others:
        yield Defect(facts.table.sentence.rstrip("."), facts.command("ddb setup", table=True))


@check("wrong-store", "high")
def wrong_store(facts: Facts) -> Iterator[Defect]:
    """The table is empty or missing here, and another DynamoDB of this machine has its items."""
    for other in facts.others:
        yield Defect(
            f"table {facts.table_name} has no items here, but {other.label} has some: it was seeded into another store",
            f"AWS_ENDPOINT_URL_DYNAMODB={other.url} cruddur ddb list-conversations",
        )


@check("table-keys", "high")
def keys(facts: Facts) -> Iterator[Defect]:
    """The table has other keys than the application expects."""
    for table in _of(facts):
        if table.keys != table.expected_keys:
            yield Defect(f"keys {table.keys}, expected {table.expected_keys}", facts.command("ddb reset", table=True))


@check("index-missing", "high")
def index(facts: Facts) -> Iterator[Defect]:
    """The table lacks the index of the group rows."""
    for table in _of(facts):
        if table.index_keys is None:
            yield Defect("there is no message-group-sk-index", facts.command("ddb reset", table=True))


@check("index-keys", "high")
def index_keys(facts: Facts) -> Iterator[Defect]:
    """The index has other keys than the application expects."""
    for table in _of(facts):
        if table.index_keys not in {None, table.expected_index_keys}:
            yield Defect(
                f"index keys {table.index_keys}, expected {table.expected_index_keys}",
                facts.command("ddb reset", table=True),
            )


@check("index-projection", "high")
def projection(facts: Facts) -> Iterator[Defect]:
    """The index does not contain all attributes."""
    for table in _of(facts):
        if table.projection not in {None, "ALL"}:
            yield Defect(f"the index projects {table.projection}, expected ALL", facts.command("ddb reset", table=True))


@check("index-capacity", "medium")
def index_capacity(facts: Facts) -> Iterator[Defect]:
    """The index has less write capacity than the table, and throttles its writes."""
    for table in _of(facts):
        of_table, of_index = table.write_capacity, table.index_write_capacity
        if of_table is not None and of_index is not None and of_index < of_table:
            yield Defect(
                f"the index has {of_index} WCU and the table {of_table}: the index throttles writes to the table",
                facts.command("ddb setup --on-demand", table=True),
                cost="on-demand requests are billed one by one",
            )


@check("requests-throttled", "medium")
def throttled(facts: Facts) -> Iterator[Defect]:
    """DynamoDB throttles requests to the table."""
    for table in _of(facts):
        numbers = []
        if table.throttled:
            numbers.append(f"{count(table.throttled, 'request')} of this command throttled")
        if table.throttled_in_a_day:
            numbers.append(f"{count(table.throttled_in_a_day, 'request')} throttled in the last 24 hours (CloudWatch)")
        if numbers:
            is_on_demand = table.write_capacity is None
            yield Defect(
                ", ".join(numbers),
                facts.command("ddb stats" if is_on_demand else "ddb setup --on-demand", table=True),
                cost="no capacity" if is_on_demand else "on-demand requests are billed one by one",
            )


@check("stream-view", "medium")
def stream_view(facts: Facts) -> Iterator[Defect]:
    """The stream does not contain new items."""
    for table in _of(facts):
        if table.stream_view is not None and table.stream_view not in _NEW_ITEMS:
            yield Defect(
                f"the stream contains {table.stream_view}: the stream processor reads NEW_IMAGE",
                f"{table.stream_off} && {facts.command('ddb setup --stream', table=True)}",
            )


@check("table-not-marked", "low", fixable=True)
def unmarked(facts: Facts) -> Iterator[Defect]:
    """The production table lacks the tag that protects it."""
    for table in _of(facts):
        if facts.prod and table.is_production is False:
            yield Defect(
                f"table {facts.table_name} is not marked as production, so a command without --prod may write to it",
                facts.command("doctor --fix", table=True),
            )


@check("table-marked", "high")
def marked(facts: Facts) -> Iterator[Defect]:
    """The table of this environment is marked as production."""
    for table in _of(facts):
        if table.is_production and not facts.prod:
            yield Defect(
                f"table {facts.table_name} is marked as production: without --prod nothing is written to it",
                "cruddur config",
            )


def _items(facts: Facts, tally_of: Callable[[TableFacts], Tally], what: str, remedy: str) -> Iterator[Defect]:
    for table in _of(facts):
        tally = tally_of(table)
        if tally.items:
            more = f" and {tally.items - len(tally.examples):,} more" if tally.items > len(tally.examples) else ""
            yield Defect(f"{count(tally.items, 'item')} {what}: {', '.join(tally.examples)}{more}", remedy)


def _keys_in_another_form(
    facts: Facts, tallies_of: Callable[[TableFacts], tuple[Tally, Tally]], what: str
) -> Iterator[Defect]:
    """The finding about unusual sort keys. ``tallies_of`` returns all such items, and those that were not seeded.

    The remedy is to seed again, or if no item was seeded, a command that shows the rows in the order of time.
    """
    for table in _of(facts):
        tally, unseeded = tallies_of(table)
        remedy = "ddb seed"
        if unseeded.items:
            was = "was" if unseeded.items == 1 else "were"
            number = was if unseeded.items == tally.items else f"{unseeded.items:,} of them {was}"
            what = (
                f"{what} ({number} not seeded, so no command corrects the keys; cruddur sorts by time, and the"
                " application by text)"
            )
        if unseeded.items == tally.items and unseeded.items:
            group = unseeded.examples[0].partition(" ")[0].removeprefix(MESSAGE_PREFIX)
            is_message = unseeded.examples[0].startswith(MESSAGE_PREFIX)
            remedy = f"ddb get-conversation {shlex.quote(group)}" if is_message else "ddb list-conversations"
        yield from _items(facts, lambda _: tally, what, facts.command(remedy, table=True))  # noqa: B023


@check("items-foreign", "low")
def foreign(facts: Facts) -> Iterator[Defect]:
    """Items are neither messages nor group rows."""
    remedy = facts.command("ddb scan", table=True)
    yield from _items(facts, lambda table: table.rows.foreign, "of another kind than messages and group rows", remedy)


@check("wrong-key-prefix", "high")
def prefix(facts: Facts) -> Iterator[Defect]:
    """Messages or group rows have another prefix than MSG# and GRP#, so that no query finds them."""
    what, remedy = "whose key lacks the prefix MSG# or GRP#", "ddb reset"
    for table in _of(facts):
        tally = table.rows.wrong_prefix
        if tally.items and (facts.prod or not _is_all_wrong(table)):
            what += " (ddb seed does not replace them)"
            remedy = f"ddb scan --pk {shlex.quote(tally.examples[0].partition(' ')[0])}"
    yield from _items(facts, lambda table: table.rows.wrong_prefix, what, facts.command(remedy, table=True))


def _is_all_wrong(table: TableFacts) -> bool:
    """Whether every item of a table lacks the prefix, so that a reset loses nothing else; False for an export."""
    rows, is_export = table.rows, not table.stream_off
    return rows.wrong_prefix.items == rows.items - rows.claims and not rows.is_sample and not is_export


@check("time-zones-mixed", "medium")
def zones(facts: Facts) -> Iterator[Defect]:
    """Sort keys are in local time, so that text order is not time order."""
    what = "whose sort key has no time zone or another one than UTC"
    yield from _keys_in_another_form(facts, lambda table: (table.rows.other_zone, table.rows.unseeded_zone), what)


@check("sort-key-form", "low")
def forms(facts: Facts) -> Iterator[Defect]:
    """Sort keys are written in another form than the application's, so that text order may not be time order."""
    what = "whose sort key is written in another form"
    yield from _keys_in_another_form(facts, lambda table: (table.rows.other_form, table.rows.unseeded_form), what)


@check("times-in-future", "high")
def future(facts: Facts) -> Iterator[Defect]:
    """Rows are dated in the future, so that new messages sort before them."""
    remedy = facts.command("ddb seed", table=True)
    yield from _items(
        facts, lambda table: table.rows.future, "dated in the future: new messages sort before them", remedy
    )


@check("other-years-only", "medium")
def years(facts: Facts) -> Iterator[Defect]:
    """No conversation has a message of this year, the only one that the application shows."""
    for table in _of(facts):
        past = [year for year in table.rows.years if 0 < year <= facts.now.year]
        if past and max(past) < facts.now.year and not table.rows.is_sample:
            yield Defect(
                f"the newest conversation is from {max(past)}, and the application shows only {facts.now.year}",
                facts.command("ddb seed", table=True),
            )


Wrong = Callable[[Conversation], bool]


def _has_none(one: Conversation) -> bool:
    return not one.rows and one.has_messages


def _has_one(one: Conversation) -> bool:
    return len(one.rows) == 1 and not one.is_with_oneself


def _has_two_of_one_person(one: Conversation) -> bool:
    return any(len(times) > 1 for times in one.rows.values())


def _is_behind(one: Conversation) -> bool:
    return any(max(times) < one.newest for times in one.rows.values())


WRONG: dict[str, Wrong] = {
    "conversation-without-rows": _has_none,
    "conversation-with-one-row": _has_one,
    "conversation-with-doubled-row": _has_two_of_one_person,
    "conversation-behind": _is_behind,
}
"""For each check of a conversation's group rows, by its name, the function that says whether they are wrong."""


def _conversations(facts: Facts, name: str, what: str) -> Iterator[Defect]:
    for table in _of(facts):
        rows = table.rows
        groups = sorted(group for group, one in rows.conversations.items() if WRONG[name](one))
        if groups and not rows.is_sample:
            about = f" (1 conversation in {1 << rows.shift} was compared)" if rows.shift else ""
            units = f"about {12 * len(groups):,} WCU"  # two puts, two deletes, twice for a transaction, with the index
            yield Defect(
                f"{count(len(groups), 'conversation')} {what}: {some(groups)}{about}",
                facts.command("doctor --fix", table=True),
                cost=units,
            )


@check("conversation-without-rows", "high", fixable=True)
def without_rows(facts: Facts) -> Iterator[Defect]:
    """Conversations have messages and no group row: they are listed for no person."""
    yield from _conversations(facts, "conversation-without-rows", "without a group row")


@check("conversation-with-one-row", "high", fixable=True)
def with_one_row(facts: Facts) -> Iterator[Defect]:
    """Conversations have the group row of one person only."""
    yield from _conversations(facts, "conversation-with-one-row", "with the group row of one person only")


@check("conversation-with-doubled-row", "medium", fixable=True)
def with_doubled_row(facts: Facts) -> Iterator[Defect]:
    """Conversations have two group rows of one person."""
    yield from _conversations(facts, "conversation-with-doubled-row", "with two group rows of one person")


@check("conversation-behind", "medium", fixable=True)
def behind(facts: Facts) -> Iterator[Defect]:
    """Group rows are older than the newest message of their conversation."""
    yield from _conversations(facts, "conversation-behind", "whose group rows are older than the newest message")
