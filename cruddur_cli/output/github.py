"""Writes what GitHub Actions reads: annotations on stderr, and the summary of the job into a file.

The rules are GitHub's ("Workflow commands for GitHub Actions"). The runner reads stdout and stderr of a step. An
annotation is one line. The file that ``GITHUB_STEP_SUMMARY`` names is Markdown, to which each step appends.
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
_LONGEST = 200_000  # characters of one command's table; GitHub refuses a step's summary of more than 1 MiB


def is_runner() -> bool:
    """Whether this process is a step of GitHub Actions."""
    return settings.given_environment().get("GITHUB_ACTIONS") == "true"


# ---------------------------------------------------------------------------------------------------------------------
# Annotations.


Level = Literal["error", "warning", "notice"]
LEVELS: Mapping[str, Level] = {"high": "error", "medium": "warning", "low": "notice"}
"""The level of the annotation for each severity of a finding."""


def annotate(
    message: str, *, title: str, file: str | None = None, line: int | None = None, level: Level = "error"
) -> None:
    """Print an annotation of the step on stderr. Outside of GitHub Actions it prints nothing.

    A file that does not exist is left out.
    """
    if not is_runner():
        return
    properties: dict[str, object] = {}
    if file is not None and (repository_path := _repository_path(file)) is not None:
        properties["file"] = repository_path
        if line is not None:
            properties["line"] = line
    properties["title"] = title
    properties_text = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    tell(f"::{level} {properties_text}::{_escaped(message)}", wrap=False)


def annotate_error(error: CruddurError, program: str) -> None:
    """Print the annotation of an error that has a place in a file; for other errors nothing."""
    file, line = error.fields.get("file"), error.fields.get("line")
    if not isinstance(file, str):
        return
    lines = [error.message, error.details, f"next: {error.hint}" if error.hint else None]
    annotate("\n".join(filter(None, lines)), title=program, file=file, line=line if isinstance(line, int) else None)


def annotate_findings(s: Settings, findings: Iterable[tuple[str, str, Level, tuple[str, int] | None]]) -> None:
    """Print an annotation for each finding: check, text, level, and the file and line that cause it, if known."""
    for check, text, level, place in findings:
        file, number = place or (None, None)
        annotate(text, title=f"{s.command}: {check}", file=file, line=number, level=level)


def _repository_path(file: str) -> str | None:
    """The file relative to the root of the repository, as GitHub names it; None if it does not exist."""
    path = Path(file)
    if not path.is_file():
        return None
    path = path.parent.resolve() / path.name
    workspace = settings.given_environment().get("GITHUB_WORKSPACE")
    roots = [Path(workspace).resolve()] if workspace else []
    roots += [folder for folder in path.parents if (folder / ".git").exists()]
    return next((path.relative_to(root).as_posix() for root in roots if path.is_relative_to(root)), str(path))


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


# ---------------------------------------------------------------------------------------------------------------------
# The summary of the job.

_summary_parts: list[Callable[[], str]] = []


def begin() -> None:
    """Drop the summary parts of an earlier command in this process."""
    _summary_parts.clear()


def keep_text(s: Settings, text: str) -> None:
    """Use this Markdown as the summary, if one is wanted and no part is set."""
    if s.summary and not _summary_parts:
        _summary_parts.append(lambda: text)


def keep(
    s: Settings,
    items: Sequence[object],
    *,
    columns: Sequence[str] | None = None,
    extra: Mapping[str, object] | None = None,
    meter: Meter | None = None,
) -> None:
    """Use these records for the summary, instead of the ones that the command shows."""
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
    """The same items, unchanged. As they pass, the first of them are stored for the summary, if one is wanted."""
    if not s.summary or _summary_parts:
        return items
    records = _FirstRecords(columns, extra or {}, meter)

    def passing() -> Iterator[R]:
        for item in items:
            records.add([item])
            yield item

    _summary_parts.append(records.text)
    return passing()


def kept_pages(s: Settings, pages: Iterable[Sequence[R]], *, meter: Meter) -> Iterable[Sequence[R]]:
    """``kept`` for items that come in pages."""
    if not s.summary or _summary_parts:
        return pages
    records = _FirstRecords(None, {}, meter)

    def passing() -> Iterator[Sequence[R]]:
        for page in pages:
            records.add(page)
            yield page
            del page  # frees its memory before the next page is read

    _summary_parts.append(records.text)
    return passing()


class _FirstRecords:
    """The first records that a command showed, and the number of all."""

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

            used = capacity.in_words(self._meter.total())
            parts.append(f"{used[0].upper()}{used[1:]}.")
        return "\n\n".join(filter(None, parts))


def append(s: Settings, code: int, error: CruddurError | None = None) -> None:
    """Append the result of a command to the summary of the job, if one is wanted.

    A summary that cannot be written is a warning; the command does not fail because of it.
    """
    if not s.summary:
        return
    path = settings.given_environment().get(settings.JOB_SUMMARY)
    if not path:
        warn(f"--summary: {settings.JOB_SUMMARY} is not set, so no summary was written")
        return
    outcome = "done" if not code else f"exit code {code}"
    mark = "\N{WHITE HEAVY CHECK MARK}" if not code else "\N{CROSS MARK}"
    parts = [f"### {mark} `{s.command}`: {outcome}", *(make() for make in _summary_parts)]
    _summary_parts.clear()
    if error is not None:
        parts.append(_failure(error))
    try:
        with Path(path).open("a", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write("\n\n".join(filter(None, parts)) + "\n\n")
    except OSError as problem:
        warn(f"the job summary {path} cannot be written: {problem.strerror or problem}")


def _counts(extra: Mapping[str, object]) -> str:
    parts = ["Dry run: nothing was changed"] if extra.get("dry_run") is True else []
    parts += [
        f"{name.replace('_', ' ')}: {value:,}"
        for name, value in extra.items()
        if isinstance(value, int) and not isinstance(value, bool)
    ]
    return f"{'; '.join(parts)}." if parts else ""


def _table(rows: Sequence[object], columns: Sequence[str] | None) -> str:
    from . import machine

    if not rows:
        return ""
    text = io.StringIO()
    machine.write("markdown", rows, text, columns=columns, extra={}, capacity=None)
    return text.getvalue().rstrip("\n")


def _failure(error: CruddurError) -> str:
    """The error as a block of Markdown. Its fence is longer than any fence inside."""
    lines = [error.message, error.details, f"next: {error.hint}" if error.hint else None]
    text = "\n".join(filter(None, lines))
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}"
