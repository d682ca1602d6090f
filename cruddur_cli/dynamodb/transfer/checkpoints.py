"""Writes the position of a long transfer to a small file beside the large one, so that a killed one resumes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ...errors import BadInput, CruddurError, Protected
from ...times import sort_key
from .. import sealing, tables
from ..client import DynamoDB

_AGAIN = "--restart starts over: equal items are not written again"
_CHANGED = "the file was changed since it was written"


def beside(path: Path) -> Path:
    """Where the checkpoint of a file is."""
    return path.with_name(f"{path.name}.checkpoint")


def identity(dynamodb: DynamoDB, table: tables.Table) -> dict[str, str]:
    """What tells one table from every other, also from one of the same name that was created later."""
    made = sort_key(table.created_at) if table.created_at else ""
    return {"table": table.table_name, "store": dynamodb.at.url or f"AWS {dynamodb.at.region}", "created_at": made}


def load(path: Path, *, about: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state that was kept; None where there is none. Raises Protected where it cannot be used, with the reason."""
    try:
        written, state = sealing.unseal(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unusable(path, error) from error
    except sealing.Unusable as error:
        raise refused(path, str(error)) from error
    different = [name for name in about if written.get(name) != about[name]]
    if different:
        reasons = _reasons(written, about, different)
        again = reasons == [_CHANGED]
        hint = _AGAIN if again else "--restart deletes it and starts over; another FILE keeps it"
        raise refused(path, "; ".join(reasons), hint=hint)
    return state


def refused(path: Path, why: str, *, hint: str = "--restart deletes it and starts over") -> Protected:
    """The error for a checkpoint that cannot be used."""
    return Protected(f"The checkpoint {path} cannot be used to resume: {why}.", hint=hint, code="checkpoint")


def _reasons(there: Mapping[str, Any], now: Mapping[str, Any], different: list[str]) -> list[str]:
    """Why a checkpoint is not that of the transfer at hand, in words."""
    found = []
    if "what" in different:
        found.append(f"it belongs to an {there.get('what')}, and this is an {now['what']}")
    if "table" in different or "store" in different:
        old, new = (f"table {about.get('table')} on {about.get('store')}" for about in (there, now))
        found.append(f"it is about {old}, and this is {new}")
    elif "created_at" in different:
        found.append(f"table {now['table']} was dropped and created again since it was written")
    if "format" in different:
        found.append(f"the format was {there.get('format')}, and is {now['format']} now")
    if "escaped" in different:
        found.append(f"it was started {'with' if there.get('escaped') else 'without'} --escape-formulas")
    if "gzip" in different:
        found.append(f"the file was {'' if there.get('gzip') else 'not '}compressed")
    if "files" in different:
        names = _names(there.get("files"))
        found.append(
            _CHANGED if names == _names(now["files"]) else f"it was reading {', '.join(names) or 'an unknown file'}"
        )
    return found


def _names(files: Any) -> list[str]:
    """The names in ``Source.identity()``; anything else may stand there."""
    return [str(file[0]) for file in files if isinstance(file, list) and file] if isinstance(files, list) else []


def save(path: Path, state: Mapping[str, Any], *, about: Mapping[str, Any]) -> None:
    """Replace the checkpoint by one that says ``state``: a reader, or a crash, sees the old one or the new one."""
    new = path.with_name(f"{path.name}.new")
    try:
        with new.open("w", encoding="utf-8") as file:
            file.write(sealing.seal(about, state))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        raise unusable(path, error) from error


def remove(path: Path) -> None:
    """Forget the checkpoint, where there is one."""
    with suppress(FileNotFoundError):
        path.unlink()


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold off another transfer with the same file. The lock ends with the process, however that ends.

    Raises BadInput where the folder is missing, Protected where another transfer holds it.
    """
    import fcntl  # there is none on Windows, where every other command works

    lock = path.with_name(f"{path.name}.lock")
    try:
        held = lock.open("w")
    except FileNotFoundError as error:
        raise BadInput(f"There is no folder {path.parent}.", code="file_not_readable") from error
    except OSError as error:
        raise unusable(path.parent, error) from error
    with held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock.stat().st_ino != os.fstat(held.fileno()).st_ino:  # that of one that ended just now
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError) as error:
            raise Protected(f"Another transfer with {path} is running.", code="busy") from error
        try:
            yield
        finally:
            with suppress(OSError):
                lock.unlink()


def sync_folder(folder: Path) -> None:
    """Make names that were given or taken in a folder last over a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def unusable(path: Path | str, error: OSError) -> CruddurError:
    """The error for a file that cannot be read or written."""
    return CruddurError(
        f"{path} cannot be read or written: {error.strerror or error}.",
        hint="run the same command again: it resumes"
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}
        else "free some disk space, then run the same command again: it resumes",
        code="os_error",
    )
