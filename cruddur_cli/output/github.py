"""What GitHub Actions reads: annotations on stderr, and the summary of the job in a file.

By GitHub, "Workflow commands for GitHub Actions": the runner reads both streams of a step, an annotation is one line,
and what ``GITHUB_STEP_SUMMARY`` names is Markdown that each step appends to.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from .. import settings
from ..errors import CruddurError
from .stderr import tell, warn

if TYPE_CHECKING:
    from ..settings import Settings
    from .capacity import Meter

R = TypeVar("R")
_ROWS = 200
_LONGEST = 200_000  # characters of a command; GitHub refuses a step's summary of more than 1 MiB


def is_runner() -> bool:
    """Whether this process is a step of GitHub Actions."""
    return settings.given_environment().get("GITHUB_ACTIONS") == "true"


# ---------------------------------------------------------------------------------------------------------------------
# Annotations.


Level = Literal["error", "warning", "notice"]
LEVELS: Mapping[str, Level] = {"high": "error", "medium": "warning", "low": "notice"}
"""How a finding of each severity is annotated."""


def annotate(
    message: str, *, title: str, file: str | None = None, line: int | None = None, level: Level = "error"
) -> None:
    """An annotation of the step, on stderr; nothing outside of GitHub Actions. A file that is not there is left out."""
    if not is_runner():
        return
    properties: dict[str, object] = {}
    if file is not None and (place := _repository_path(file)) is not None:
        properties["file"] = place
        if line is not None:
            properties["line"] = line
    properties["title"] = title
    named = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    tell(f"::{level} {named}::{_escaped(message)}", wrap=False)


def annotate_error(error: CruddurError, program: str) -> None:
    """The annotation of an error that has a place in a file; nothing for any other error."""
    file, line = error.fields.get("file"), error.fields.get("line")
    if not isinstance(file, str):
        return
    said = [error.message, error.details, f"next: {error.hint}" if error.hint else None]
    annotate("\n".join(filter(None, said)), title=program, file=file, line=line if isinstance(line, int) else None)


def annotate_findings(s: Settings, found: Iterable[tuple[str, str, Level, tuple[str, int] | None]]) -> None:
    """An annotation for each finding: its check, what there is to say, and the file and line it comes from, if any."""
    for check, said, level, line in found:
        file, number = line or (None, None)
        annotate(said, title=f"{s.command}: {check}", file=file, line=number, level=level)


def _repository_path(file: str) -> str | None:
    """The file as GitHub names it, from the root of the repository; None where there is no such file."""
    path = Path(file)
    if not path.is_file():
        return None
    path = path.parent.resolve() / path.name
    named = settings.given_environment().get("GITHUB_WORKSPACE")
    roots = [Path(named).resolve()] if named else []
    roots += [folder for folder in path.parents if (folder / ".git").exists()]
    return next((path.relative_to(root).as_posix() for root in roots if path.is_relative_to(root)), str(path))


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


# ---------------------------------------------------------------------------------------------------------------------
# The summary of the job.

_kept: list[Callable[[], str]] = []


def begin() -> None:
    """Forget what an earlier command of this process kept for its summary."""
    _kept.clear()


def keep_text(s: Settings, text: str) -> None:
    """Keep Markdown for the summary, if one is wanted and nothing is kept yet."""
    if s.summary and not _kept:
        _kept.append(lambda: text)


def keep(
    s: Settings,
    items: Sequence[object],
    *,
    columns: Sequence[str] | None = None,
    extra: Mapping[str, object] | None = None,
    meter: Meter | None = None,
) -> None:
    """Keep these records for the summary, instead of those that the command shows."""
    for _ in kept(s, items, columns=columns, extra=extra, meter=meter):
        pass


def kept(
    s: Settings,
    items: Iterable[R],
    *,
    columns: Sequence[str] | None = None,
    extra: Mapping[str, object] | None = None,
    meter: Meter | None = None,
) -> Iterable[R]:
    """The same items; the first of them are kept as they pass, for the summary, if one is wanted."""
    if not s.summary or _kept:
        return items
    passed = _Passed(columns, extra or {}, meter)

    def passing() -> Iterator[R]:
        for item in items:
            passed.add([item])
            yield item

    _kept.append(passed.text)
    return passing()


def kept_pages(s: Settings, pages: Iterable[Sequence[R]], *, meter: Meter) -> Iterable[Sequence[R]]:
    """As ``kept``, for items that come in pages."""
    if not s.summary or _kept:
        return pages
    passed = _Passed(None, {}, meter)

    def passing() -> Iterator[Sequence[R]]:
        for page in pages:
            passed.add(page)
            yield page
            del page  # before the next one comes

    _kept.append(passed.text)
    return passing()


class _Passed:
    """The first records that a command showed, and how many there were."""

    def __init__(self, columns: Sequence[str] | None, extra: Mapping[str, object], meter: Meter | None) -> None:
        self._columns, self._extra, self._meter = columns, extra, meter
        self._first: list[object] = []
        self._total = 0

    def add(self, items: Sequence[object]) -> None:
        self._total += len(items)
        self._first += items[: max(0, _ROWS - len(self._first))]

    def text(self) -> str:
        """Markdown: the counts, the first records as a table, and the capacity that was used."""
        rows = self._first
        table = _table(rows, self._columns)
        while len(table) > _LONGEST and rows:
            rows = rows[: len(rows) // 2]
            table = _table(rows, self._columns)
        parts = [_counts(self._extra), table]
        if len(rows) < self._total:
            parts.append(f"The first {len(rows):,} of {self._total:,}.")
        if self._meter is not None:
            from . import capacity

            said = capacity.in_words(self._meter.total())
            parts.append(f"{said[0].upper()}{said[1:]}.")
        return "\n\n".join(filter(None, parts))


def append(s: Settings, code: int, error: CruddurError | None = None) -> None:
    """Append the result of a command to the summary of the job, if one is wanted.

    A summary that cannot be written is a warning, and never the command's error.
    """
    if not s.summary:
        return
    path = settings.given_environment().get(settings.JOB_SUMMARY)
    if not path:
        warn(f"--summary: {settings.JOB_SUMMARY} is not set, so no summary was written")
        return
    said = "done" if not code else f"exit code {code}"
    mark = "\N{WHITE HEAVY CHECK MARK}" if not code else "\N{CROSS MARK}"
    parts = [f"### {mark} `{s.command}`: {said}", *(make() for make in _kept)]
    _kept.clear()
    if error is not None:
        parts.append(_failure(error))
    try:
        with Path(path).open("a", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write("\n\n".join(filter(None, parts)) + "\n\n")
    except OSError as problem:
        warn(f"the job summary {path} cannot be written: {problem.strerror or problem}")


def _counts(extra: Mapping[str, object]) -> str:
    said = ["Dry run: nothing was changed"] if extra.get("dry_run") is True else []
    said += [
        f"{name.replace('_', ' ')}: {value:,}"
        for name, value in extra.items()
        if isinstance(value, int) and not isinstance(value, bool)
    ]
    return f"{'; '.join(said)}." if said else ""


def _table(rows: Sequence[object], columns: Sequence[str] | None) -> str:
    from . import machine

    if not rows:
        return ""
    text = io.StringIO()
    machine.write("markdown", rows, text, columns=columns, extra={}, capacity=None)
    return text.getvalue().rstrip("\n")


def _failure(error: CruddurError) -> str:
    """What failed, in a block whose fence is longer than any inside."""
    said = [error.message, error.details, f"next: {error.hint}" if error.hint else None]
    text = "\n".join(filter(None, said))
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}"
