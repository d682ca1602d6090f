"""Reads what the engines wrote to their logs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import home as homes

_MOST = 1 << 20  # bytes of one file


@dataclass(frozen=True)
class LogLine:
    """One line that an engine wrote."""

    engine: str
    line: str


def last(engine: str, count: int) -> Iterator[LogLine]:
    """The last lines of an engine, those of its run before included. Raises NotConfigured."""
    folder = homes.locate() / engine
    lines = [line for name in ("log.previous", "log") for line in _tail(folder / name)]
    yield from (LogLine(engine, line) for line in lines[-count:])


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _MOST))
            lines = file.read(_MOST).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise homes.unusable(path, error) from error
    return lines[1:] if size > _MOST else lines
