"""Sort-key times: one fixed width when written, every ISO form when read, UTC between."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from .errors import BadInput

# Offsets go from -12:00 to +14:00, so the text of a time and its instant differ by at most this.
_SKEW = timedelta(hours=15)
_CANONICAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")


def sort_key(instant: datetime) -> str:
    """The sort key of an instant: UTC, microseconds, one width, so that text order is time order."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds")


def is_canonical(text: str) -> bool:
    """Whether a sort key is in the form that ``sort_key`` writes."""
    return _CANONICAL.fullmatch(text) is not None


def instant(text: str) -> datetime | None:
    """The instant that a sort key means, in UTC; None where it is no time at all.

    A time without an offset counts as UTC: the rows do not say whose local time it was, and the workspaces that wrote
    them ran in UTC.
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


@dataclass(frozen=True)
class Window:
    """The instants from ``since`` (included) to ``until`` (not included), both UTC; None is open."""

    since: datetime | None = None
    until: datetime | None = None

    def holds(self, moment: datetime | None) -> bool:
        """Whether an instant is inside. A row whose time cannot be read is inside only where the window is open."""
        if moment is None:
            return self.since is None and self.until is None
        return (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)

    def texts(self) -> tuple[str | None, str | None]:
        """Sort-key bounds that hold every row of the window, whatever offset or form its time was written in."""
        return (
            None if self.since is None else text_before(self.since),
            None if self.until is None else _day(self.until, _SKEW + timedelta(days=1)),
        )


def text_before(moment: datetime) -> str:
    """A text that sorts before every way of writing an instant at or after ``moment``."""
    return _day(moment, -_SKEW)


def text_before_offset(moment: datetime) -> str:
    """The same among texts that write date and time with a ``T`` between; no more than half a day earlier."""
    try:
        return (moment - timedelta(hours=12)).strftime("%Y-%m-%dT%H:%M").zfill(16)
    except OverflowError:
        return "0000"


def _day(moment: datetime, shift: timedelta) -> str:
    try:
        return (moment + shift).strftime("%Y-%m-%d").zfill(10)
    except OverflowError:
        return "0000" if shift < timedelta(0) else "9999-99"


def window(*, year: int | None, since: str | None, until: str | None, local: tzinfo | None = None) -> Window:
    """The window that a person asked for.

    ``year`` is a year in UTC, as in the application's own queries. ``since`` and ``until`` may be any date or time;
    without an offset they are local time, and a bare day in ``until`` is included. Raises BadInput.
    """
    if year is not None:
        if since or until:
            raise BadInput("--year goes without --since and --until.")
        if not 1 <= year <= 9998:
            raise BadInput(f"{year} is not a year.")
        return Window(datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC))
    start = _typed(since, "--since", local) if since else None
    end = _typed(until, "--until", local) if until else None
    if start and end and start >= end:
        raise BadInput(f"--since {since} is not before --until {until}.")
    return Window(start, end)


def _typed(text: str, option: str, local: tzinfo | None) -> datetime:
    from dateutil.parser import ParserError, parse

    try:
        parsed = parse(text, default=datetime(datetime.now().year, 1, 1))
        if option == "--until" and re.fullmatch(r"\d{4}-?\d\d-?\d\d", text.strip()):
            parsed += timedelta(days=1)
        if parsed.tzinfo is None and local is not None:
            parsed = parsed.replace(tzinfo=local)
        return parsed.astimezone(UTC)
    except (ParserError, OverflowError, ValueError) as error:
        raise BadInput(f"{option} {text!r} is not a time.", hint="write 2026-11-20 or 2026-11-20T10:00Z") from error
