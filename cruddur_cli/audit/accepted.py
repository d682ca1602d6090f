"""Reads the file of accepted findings, which says for each the reason and the last day."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from .. import trust
from ..errors import NotConfigured

FILE_NAME = "cruddur-audit.toml"
_EXAMPLE = '[[accepted]]\ncheck = "table-tags"\nreason = "one table in the account"\nuntil = 2027-03-31'


@dataclass(frozen=True)
class Acceptance:
    """One accepted finding: it counts as accepted through the day ``until``."""

    check: str
    reason: str
    until: date


def find(folder: Path) -> Path | None:
    """The file of accepted findings in the folder or the nearest folder above it; None without one."""
    return next((place / FILE_NAME for place in (folder, *folder.parents) if (place / FILE_NAME).is_file()), None)


def read(path: Path, checks: Collection[str]) -> list[Acceptance]:
    """The accepted findings in a file. ``checks`` are the names of existing checks. Raises NotConfigured."""
    import tomllib

    try:
        # Read like cruddur.toml: a file of another user could hide findings, and a pipe would wait.
        content = tomllib.loads(trust.read(path).decode("utf-8"))
    except OSError as error:
        raise NotConfigured(
            f"The file of accepted findings {path} cannot be read: {error.strerror or error}.",
            hint="name another file, or leave it out with --no-accepted",
            code="accepted_findings",
        ) from error
    except UnicodeDecodeError as error:
        raise _wrong(path, "it is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise _wrong(path, str(error)) from error
    entries = content.get("accepted", [])
    if set(content) - {"accepted"} or not isinstance(entries, list):
        raise _wrong(path, "it has to consist of [[accepted]] tables")
    return [_entry(path, number, entry, checks) for number, entry in enumerate(entries, 1)]


def _entry(path: Path, number: int, entry: object, checks: Collection[str]) -> Acceptance:
    where = f"entry {number}"
    if not isinstance(entry, dict) or set(entry) != {"check", "reason", "until"}:
        raise _wrong(path, f"{where} needs check, reason and until, and nothing else")
    check, reason, until = entry["check"], entry["reason"], entry["until"]
    if check not in checks:
        raise _wrong(path, f"{where} names the check {check!r}, which does not exist")
    if not isinstance(reason, str) or not reason.strip():
        raise _wrong(path, f"{where} ({check}) gives no reason")
    if not isinstance(until, date) or isinstance(until, datetime):
        raise _wrong(path, f"{where} ({check}) needs a date in until, such as 2027-03-31")
    return Acceptance(check, reason.strip(), until)


def _wrong(path: Path, why: str) -> NotConfigured:
    return NotConfigured(
        f"The file of accepted findings {path} cannot be used: {' '.join(why.split())}.",
        details=f"An entry looks like this:\n{_EXAMPLE}",
        hint="correct the file, or leave it out with --no-accepted",
        code="accepted_findings",
    )
