"""Reads the logs of the engines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import home as homes

_MAX_BYTES = 1 << 20  # of each file, from its end


@dataclass(frozen=True)
class LogLine:
    """One line that an engine wrote."""

    engine: str
    line: str


def last(engine: str, count: int) -> Iterator[LogLine]:
    """The last ``count`` lines of an engine's log, including its previous run's. Raises NotConfigured."""
    folder = homes.locate() / engine
    lines = [line for name in ("log.previous", "log") for line in _tail(folder / name)]
    yield from (LogLine(engine, line) for line in lines[-count:])


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _MAX_BYTES))
            lines = file.read(_MAX_BYTES).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise homes.unusable(path, error) from error
    return lines[1:] if size > _MAX_BYTES else lines
