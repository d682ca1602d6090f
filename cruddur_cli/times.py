"""Owns the clock and the times in sort keys: writes them in one form, and reads every ISO form, as UTC."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from .errors import BadInput

# Offsets go from -12:00 to +14:00, so the date and time in a text differ from UTC by less than this.
_SKEW = timedelta(hours=15)
_CLOCK = re.compile(r"\d{1,2}(:\d\d){1,2}( ?[ap]m)?|\d{1,2} ?[ap]m", re.IGNORECASE)
# A date such as 05.11.2026 or 11/05/26, whose month a program would have to guess.
_DAY_AND_MONTH = re.compile(r"(?:^|\s)(\d{1,2})[./-](\d{1,2})(?:[./-](?:\d{4}|\d{2}))?(?=\s|$)")
_AGO = re.compile(r"(?:\d+(?:\.\d+)? ?[smhdw] ?)+")
_PART_OF_AGO = re.compile(r"(\d+(?:\.\d+)?) ?([smhdw])")
_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_DAYS = {"today": timedelta(0), "yesterday": timedelta(days=1)}
_CANONICAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")


# Zero except in tests, which try other days. No setting changes it, so commands use the machine's clock.
_shift = timedelta(0)


def now() -> datetime:
    """The current time, in UTC. All code that depends on the day calls this, so that tests can set any day."""
    return datetime.now(UTC) + _shift


def of_this_machine() -> datetime:
    """The time of this machine's clock, in UTC, for comparison with a server's; tests do not shift it."""
    return datetime.now(UTC)


def now_ns() -> int:
    """The current time in nanoseconds since 1970, for numbers that must not repeat."""
    return time.time_ns() + _shift // timedelta(microseconds=1) * 1000


def sort_key(instant: datetime) -> str:
    """The sort key of an instant: in UTC with microseconds, all of one length, so that text order is time order."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds")


def is_canonical(text: str) -> bool:
    """Whether a sort key is in the form that ``sort_key`` writes."""
    return _CANONICAL.fullmatch(text) is not None


def instant(text: str) -> datetime | None:
    """The instant of a sort key, in UTC; None if it is no time.

    A time without an offset counts as UTC: the row does not store its time zone, and the workspaces that wrote such
    rows ran in UTC.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        from dateutil.parser import isoparse

        try:
            parsed = isoparse(text)
        except (ValueError, OverflowError):
            return None
    try:
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except OverflowError:
        return None


def has_no_zone(text: str) -> bool:
    """Whether a sort key is a time without an offset, so that its time zone is unknown."""
    if is_canonical(text):
        return False
    try:
        return datetime.fromisoformat(text).tzinfo is None
    except ValueError:
        from dateutil.parser import isoparse

        try:
            return isoparse(text).tzinfo is None
        except (ValueError, OverflowError):
            return False


@dataclass(frozen=True)
class Window:
    """The instants from ``since`` (included) to ``until`` (excluded), both in UTC; None is no bound."""

    since: datetime | None = None
    until: datetime | None = None

    def holds(self, moment: datetime | None) -> bool:
        """Whether an instant is inside; None, for a time that cannot be read, only if the window has no bounds."""
        if moment is None:
            return self.since is None and self.until is None
        return (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)

    def texts(self) -> tuple[str | None, str | None]:
        """Bounds of the sort keys of the window's rows, for times with any offset and in any form."""
        return (
            None if self.since is None else text_before(self.since),
            None if self.until is None else _day(self.until, _SKEW + timedelta(days=1), beyond="9999-99"),
        )


def text_before(moment: datetime) -> str:
    """A text that sorts before every way of writing an instant at or after ``moment``."""
    return _day(moment, -_SKEW, beyond="0000")


def text_before_offset(moment: datetime) -> str:
    """A text that sorts before an instant at or after ``moment``, if date and time are written with a ``T`` between.

    It is 12 hours earlier than ``moment``, the largest negative offset, without the seconds.
    """
    try:
        return (moment - timedelta(hours=12)).strftime("%Y-%m-%dT%H:%M").zfill(16)
    except OverflowError:
        return "0000"


def _day(moment: datetime, shift: timedelta, *, beyond: str) -> str:
    try:
        return (moment + shift).strftime("%Y-%m-%d").zfill(10)
    except OverflowError:
        return beyond


def window(*, year: int | None, since: str | None, until: str | None, local: tzinfo | None = None) -> Window:
    """The window of the options ``--year``, ``--since`` and ``--until``. Raises BadInput.

    ``year`` is a year in UTC, as in the application's own queries. ``since`` and ``until`` may be any date or time;
    without an offset they are local time. If ``until`` is a day, month or year alone, the window includes it. ``today``
    and ``yesterday`` are days; ``30s``, ``90m``, ``1h30m``, ``7d`` and ``2w`` mean that long before now.
    """
    if year is not None:
        if since is not None or until is not None:
            raise BadInput("--year cannot be used with --since or --until.")
        if not 1 <= year <= 9998:
            raise BadInput(f"{year} is not a year.")
        return Window(datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC))
    start = None if since is None else parse(since, "--since", local)
    end = None if until is None else parse(until, "--until", local)
    if start and end and start >= end:
        raise BadInput(f"--since {since} is not before --until {until}.")
    return Window(start, end)


def parse(text: str, option: str, local: tzinfo | None = None) -> datetime:
    """The time in UTC for the text of an option; without an offset the text is local time. Raises BadInput.

    A date at an end of the calendar is that end, if its time zone or the included period leads beyond it.
    """
    from dateutil.parser import ParserError
    from dateutil.parser import parse as parse_date
    from dateutil.relativedelta import relativedelta

    typed = text.strip().lower()
    numbers = _DAY_AND_MONTH.search(typed)
    if numbers and numbers[1] != numbers[2] and max(int(numbers[1]), int(numbers[2])) <= 12:
        raise BadInput(
            f"{option} {text!r} may be two days: which number is the month?",
            hint="write the year, the month and the day, such as 2026-11-20",
        )
    try:
        if _AGO.fullmatch(typed):
            return now() - sum(
                (float(count) * _UNITS[unit] for count, unit in _PART_OF_AGO.findall(typed)), timedelta(0)
            )
        if typed.startswith(("-", "+")):  # dateutil leaves the sign out
            raise ValueError(typed)
        today = now().astimezone(local).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        # A time of day alone is today's. A date without a year is in this year, and begins with its first day.
        if typed in _DAYS:
            parsed, period = today - _DAYS[typed], "days"
        elif _CLOCK.fullmatch(typed):
            parsed, period = parse_date(text, default=today), ""
        else:
            parts = _parts(text)
            if not parts & {"year", "month"}:  # dateutil reads 30x as a second, and 27 as a day
                raise ValueError(typed)
            parsed, period = parse_date(text, default=today.replace(month=1, day=1)), _period(parts)
        if option == "--until" and period:
            try:
                parsed += relativedelta(**{period: 1})  # type: ignore[arg-type]
            except (OverflowError, ValueError):
                return _LAST
        if parsed.tzinfo is None and local is not None:
            parsed = parsed.replace(tzinfo=local)
        return _in_utc(parsed)
    except (ParserError, OverflowError, ValueError) as error:
        hint = "write 2026-11-20, 2026-11-20T10:00Z, today, yesterday, 1h or 7d"
        raise BadInput(f"{option} {text!r} is not a time.", hint=hint) from error


def _in_utc(moment: datetime) -> datetime:
    """An instant in UTC; the first or the last one of the calendar where UTC leads beyond it, as from 0001-01-01."""
    try:
        return moment.astimezone(UTC)
    except (OverflowError, ValueError, OSError):
        return _FIRST if moment.year == 1 else _LAST


def _parts(text: str) -> set[str]:
    """Those of ``year``, ``month``, ``day`` and ``hour`` that a text contains.

    dateutil takes a part that is not in the text from the default, so that part differs between two defaults.
    """
    from dateutil.parser import parse as parse_date

    # Both in a leap year, for a 29 February.
    defaults = "2000-01-01T00:00", "2004-02-02T01:00"
    one, two = (parse_date(text, default=datetime.fromisoformat(default)) for default in defaults)
    return {part for part in ("year", "month", "day", "hour") if getattr(one, part) == getattr(two, part)}


def _period(parts: set[str]) -> str:
    """The unit of a date without a time of day, ``days``, ``months`` or ``years``; empty with a time of day."""
    if "hour" in parts:
        return ""
    return next((f"{part}s" for part in ("day", "month", "year") if part in parts), "")
