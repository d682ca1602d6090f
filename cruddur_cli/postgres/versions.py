"""The order of migrations: the time that each one's number stands for, whatever its length."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

TICKS = 10_000_000  # in a second: 17 digits count tenths of microseconds since 1970
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STAMPS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S", 17: "%Y%m%d%H%M%S%f"}
Key = tuple[int, int]


def key(version: str) -> Key:
    """What versions are compared by: (1, tenths of microseconds since 1970), or (0, the number) where it is no time.

    The application makes its numbers from ``str(time.time())`` without the dot, which drops trailing zeros: the first
    ten digits are seconds and the rest is a fraction, so 10, 13, 16, 17 and 19 digits (seconds, ms, µs, 0.1 µs, ns) are
    one rule. A number that reads as YYYYMMDD, YYYYMMDDhhmm, YYYYMMDDhhmmss or YYYYMMDDhhmmssmmm in this century is
    that; as epoch seconds those would begin in 2033. Numbers of neither kind (0001, 0002) come before every time.
    """
    stamp = _stamp(version)
    if stamp is not None:
        return 1, (stamp - _EPOCH) // timedelta(microseconds=1) * 10
    if len(version) >= 10 and version[0] != "0":
        seconds, fraction = int(version[:10]), (version[10:] + "0000000")[:7]
        if seconds < 4_102_444_800:  # 2100
            return 1, seconds * TICKS + int(fraction)
    return 0, int(version)


def instant(version: str) -> datetime | None:
    """The time that a version stands for, or None."""
    kind, ticks = key(version)
    return _EPOCH + timedelta(microseconds=ticks // 10) if kind else None


def comparable(version: str) -> str:
    """The version as a number of 17 digits that means the same; the scripts compare numbers whatever their length."""
    kind, ticks = key(version)
    return str(ticks) if kind else version


def _stamp(version: str) -> datetime | None:
    form = _STAMPS.get(len(version))
    if form is None or not version.startswith("20"):
        return None
    try:
        return datetime.strptime(version, form).replace(tzinfo=UTC)
    except ValueError:
        return None
