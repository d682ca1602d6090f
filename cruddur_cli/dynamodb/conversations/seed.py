"""Seed a conversation file into the table. Seeding the same file again leaves exactly the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain

from ...errors import BadInput, Refused
from ...times import instant
from .. import batch_writer
from ..capacity.rules import delete_units, put_units
from ..client import DynamoDB
from ..schema import Item, Message, Person, message_item, read_message
from . import group_rows, queries
from .model import STEP, Line, Schedule, compose, schedule_for, seeded_position
from .queries import partition, query

# Two seeded messages are needed to find the schedule. The search for the second one ends after this many items.
_MOST_READ_AHEAD = 1000


@dataclass(frozen=True)
class Seeded:
    """The number of rows of one kind that a seed wrote, left unchanged and deleted."""

    entity: str
    written: int
    unchanged: int
    deleted: int


def check(lines: Sequence[Line], people: tuple[Person, Person], *, group: str, source: str, now: datetime) -> None:
    """Raise BadInput, with file and line, for a text that makes an item larger than DynamoDB's limit."""
    composed = compose(lines, people, group=group, schedule=Schedule(now), count=len(lines))
    for position, message in enumerate(composed):
        try:
            queries.check_size(group, message, people)
        except BadInput as error:
            raise BadInput(f"{source}, line {lines[position].number}: {error.message}", code=error.code) from error


def replace_conversation(
    dynamodb: DynamoDB,
    lines: Sequence[Line],
    people: tuple[Person, Person],
    *,
    group: str,
    count: int,
    now: datetime,
    year: int | None = None,
    dry_run: bool = False,
    advance: Callable[[int], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> list[Seeded]:
    """Replace the seeded messages of ``group`` by ``count`` messages from ``lines``, and update its group rows.

    The lines are repeated until there are ``count`` messages. ``year`` is the year that the application shows; the
    default is the local year of ``now``. If the conversation was seeded in an earlier year, its messages move into
    ``year``, unless a person has written in the conversation since.

    Only rows that differ are written, and only rows of an earlier seed are deleted. The group rows come last, so that
    another run after a kill ends in the same rows. Memory use does not depend on ``count``. ``advance`` is called with
    the number of rows that are done, ``say`` with notes for the user.

    Returns the results for messages and for message groups. Raises Refused, which says how many rows were written.
    """
    existing = stored(dynamodb, group)
    year = now.astimezone().year if year is None else year
    head, seeded = _find_schedule(group, existing)
    if seeded is not None and _is_past_year(dynamodb, group, seeded, year, now):
        say(f"the application shows {year} only: the seeded messages {'would move' if dry_run else 'move'} into it")
        seeded = None
    wanted = compose(
        lines, people, group=group, schedule=schedule_for(count, now, year=year, seeded=seeded), count=count
    )
    replacements = changes(group, wanted, chain(head, existing))
    tally = _Tally()
    if dry_run:
        for replacement in replacements:
            tally.add(replacement)
        dynamodb.meter.plan(tally.units)
    else:
        _write(dynamodb, replacements, tally, count, advance)
    assert tally.last is not None
    written, deleted = group_rows.overwrite(dynamodb, group, people, tally.last, dry_run=dry_run)
    if tally.script.count:
        say(
            f"{tally.script.count:,} older messages of conversation {group} look like the scripts' own seed, and are"
            " kept. To remove them: `cruddur ddb export FILE` saves the table, `cruddur ddb reset` starts again"
        )
    return [
        Seeded("messages", tally.put, count - tally.put, tally.deleted),
        Seeded("message groups", written, 2 - written, deleted),
    ]


def _write(
    dynamodb: DynamoDB,
    replacements: Iterable[Replacement],
    tally: _Tally,
    count: int,
    advance: Callable[[int], None],
) -> None:
    """Carry out the replacements. Raises Refused, with the number of rows that were written before it."""
    with batch_writer.opened(dynamodb, advance=advance) as batch:
        try:
            for replacement in replacements:
                tally.add(replacement)
                if replacement.put is not None:
                    batch.put(replacement.put)
                elif replacement.delete is not None:
                    batch.delete(replacement.delete)
                else:
                    advance(1)
            batch.flush()
        except Refused as error:
            raise error.changed(
                message=f"{error.message} Before that, {batch.written:,} rows were written;"
                f" the conversation has {count:,} messages."
            ) from error


def _find_schedule(group: str, existing: Iterator[Item]) -> tuple[list[Item], Schedule | None]:
    """The items up to the second seeded message, and the schedule of the seeded messages; None if there is none.

    The items are returned because ``existing`` can be read only once.
    """
    head: list[Item] = []
    points: list[tuple[int, datetime]] = []
    for item in existing:
        head.append(item)
        position = seeded_position(group, item.get("message_uuid", {}).get("S", ""))
        moment = instant(item["sk"]["S"])
        if position is not None and moment is not None:
            points.append((position, moment))
        if len(points) == 2 or (points and len(head) >= _MOST_READ_AHEAD):
            break
    return head, Schedule.through(*points) if points else None


def _is_past_year(dynamodb: DynamoDB, group: str, seeded: Schedule, year: int, now: datetime) -> bool:
    """Whether the seed is of an earlier year, and its messages must move into ``year``.

    That needs a newest message that is seeded, and a ``year`` that has begun in UTC. If the newest message is in
    ``year`` but does not fit the schedule of the first ones, a run was killed that moved the messages.
    """
    if seeded.start.year >= year or now <= datetime(year, 1, 1, tzinfo=UTC):
        return False
    (newest,) = queries.latest(dynamodb, group, limit=1)
    position, moment = seeded_position(group, newest.message_uuid), newest.created_at
    return position is not None and moment is not None and (moment.year < year or seeded.at(position) != moment)


@dataclass(frozen=True)
class Replacement:
    """One step of replacing a seeded conversation: put an item, delete a key, or change nothing.

    ``old`` is the item at that key before the step. ``last`` is the message at that key after it.
    """

    put: Item | None = None
    delete: Item | None = None
    old: Item | None = None
    last: Message | None = None


class _ScriptRows:
    """Counts messages that look like those of the seed script in ``bin/``.

    The script's messages have no mark, but each is exactly a minute after the previous one, to the microsecond. Ten
    such messages in a row are counted. Other messages can be between them.
    """

    _RUN = 10
    _MOST_RUNS = 200

    def __init__(self) -> None:
        self.count = 0
        self._runs: dict[tuple[int, int], tuple[datetime, int]] = {}

    def add(self, moment: datetime) -> None:
        phase = moment.second, moment.microsecond
        before, run = self._runs.get(phase, (moment, 0))
        run = run + 1 if moment - before == STEP else 1
        self._runs[phase] = moment, run
        self.count += self._RUN if run == self._RUN else run > self._RUN
        if len(self._runs) > self._MOST_RUNS:
            self._runs = {phase: (last, run) for phase, (last, run) in self._runs.items() if moment - last <= STEP}


@dataclass
class _Tally:
    put: int = 0
    deleted: int = 0
    last: Message | None = None
    units: float = 0.0
    script: _ScriptRows = field(default_factory=_ScriptRows)

    def add(self, change: Replacement) -> None:
        if change.put is not None:
            self.put += 1
            self.units += put_units(change.old, change.put).total
        elif change.delete is not None:
            self.deleted += 1
            self.units += delete_units(change.old).total
        message = change.last
        if message is None or message.created_at is None:
            return
        if change.put is None and change.old is None:
            self.script.add(message.created_at)
        if self.last is None or self.last.created_at is None or message.created_at >= self.last.created_at:
            self.last = message


def stored(dynamodb: DynamoDB, group: str) -> Iterator[Item]:
    """Yield every message item of a conversation in the order of sort keys, read consistently."""
    for page in query(dynamodb, **partition(f"MSG#{group}"), ConsistentRead=True):
        yield from page


def changes(group: str, wanted: Iterable[Message], existing: Iterable[Item]) -> Iterator[Replacement]:
    """Yield the steps from the existing messages to the wanted ones, one step for each message.

    Messages that people wrote are kept, even if a wanted message has the same key. Both inputs are in the order of sort
    keys and are merged, so that memory use does not depend on the length of the conversation.
    """
    items = iter(existing)
    old = next(items, None)
    for message in wanted:
        item = message_item(group, message)
        while old is not None and old["sk"]["S"] < item["sk"]["S"]:
            yield _keep_or_delete(group, old)
            old = next(items, None)
        if old is None or old["sk"]["S"] != item["sk"]["S"]:
            yield Replacement(put=item, last=message)
            continue
        if not is_seeded(group, old):
            yield Replacement(last=read_message(old))
        else:
            yield Replacement(put=None if old == item else item, old=old, last=message)
        old = next(items, None)
    while old is not None:
        yield _keep_or_delete(group, old)
        old = next(items, None)


def _keep_or_delete(group: str, item: Item) -> Replacement:
    if is_seeded(group, item):
        return Replacement(delete={"pk": item["pk"], "sk": item["sk"]}, old=item)
    return Replacement(last=read_message(item))


def is_seeded(group: str, item: Item) -> bool:
    """Whether an item is a seeded message, and not one that a person wrote."""
    return seeded_position(group, item.get("message_uuid", {}).get("S", "")) is not None
