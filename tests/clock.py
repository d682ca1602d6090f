"""Tries other days: shifts the product's clock, in this process and in those that it starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cruddur_cli import times

# Days on which a mistake shows: the first and the last minutes of a year, a day that most years lack, and a 20th, for
# some tests once passed on a 20th only.
DAYS = {
    "1 January": datetime(2027, 1, 1, 0, 10, tzinfo=UTC),
    "29 February": datetime(2028, 2, 29, 12, tzinfo=UTC),
    "31 December": datetime(2026, 12, 31, 23, 55, tzinfo=UTC),
    "a 20th": datetime(2026, 11, 20, 16, 59, tzinfo=UTC),
}

# Python runs this as it starts where the folder of the file is in PYTHONPATH. Not every program there is ours.
_AS_PYTHON_STARTS = """\
from datetime import timedelta
try:
    from cruddur_cli import times
except ImportError:
    pass
else:
    times._shift = timedelta(microseconds={microseconds})
"""


def set_to(moment: datetime, *, folder: Path) -> None:
    """Make it this time, from which the clock runs on; ``folder`` is where other processes find the difference."""
    _shift(moment - datetime.now(UTC))  # noqa: TID251  # the machine's clock is what is shifted
    found = folder / "clock"
    found.mkdir(exist_ok=True)
    text = _AS_PYTHON_STARTS.format(microseconds=times._shift // timedelta(microseconds=1))
    (found / "sitecustomize.py").write_text(text, encoding="utf-8")
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(found), *(path for path in before if path and path != str(found))])


@contextmanager
def kept() -> Iterator[None]:
    """Set the clock back at the end."""
    shift, path = times._shift, os.environ.get("PYTHONPATH")
    try:
        yield
    finally:
        _shift(shift)
        os.environ.pop("PYTHONPATH", None)
        if path is not None:
            os.environ["PYTHONPATH"] = path


def environment() -> dict[str, str]:
    """What a process needs to have the same clock."""
    return {name: os.environ[name] for name in ["PYTHONPATH"] if name in os.environ}


def _shift(by: timedelta) -> None:
    times._shift = by
