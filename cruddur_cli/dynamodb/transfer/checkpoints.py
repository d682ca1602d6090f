"""Save the position of an export or import in a checkpoint file beside the data file, so that it can be resumed."""

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
    """The path of the checkpoint of a data file."""
    return path.with_name(f"{path.name}.checkpoint")


def identity(dynamodb: DynamoDB, table: tables.Table) -> dict[str, str]:
    """The identity of a table: its name, its store and its time of creation.

    The time distinguishes it from a later table with the same name.
    """
    created = sort_key(table.created_at) if table.created_at else ""
    return {"table": table.table_name, "store": dynamodb.at.url or f"AWS {dynamodb.at.region}", "created_at": created}


def load(path: Path, *, about: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state in a checkpoint; None if there is no checkpoint.

    Raises Protected, with the reason, if the checkpoint is damaged or its ``about`` differs.
    """
    try:
        saved_about, state = sealing.unseal(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unusable(path, error) from error
    except sealing.Unusable as error:
        raise refused(path, str(error)) from error
    different = [name for name in about if saved_about.get(name) != about[name]]
    if different:
        reasons = _reasons(saved_about, about, different)
        hint = _AGAIN if reasons == [_CHANGED] else "--restart deletes it and starts over; another FILE keeps it"
        raise refused(path, "; ".join(reasons), hint=hint)
    return state


def refused(path: Path, why: str, *, hint: str = "--restart deletes it and starts over") -> Protected:
    """The error for a checkpoint that cannot be used."""
    return Protected(f"The checkpoint {path} cannot be used to resume: {why}.", hint=hint, code="checkpoint")


def _reasons(saved: Mapping[str, Any], now: Mapping[str, Any], different: list[str]) -> list[str]:
    """Why a checkpoint does not belong to this transfer, one clause for each difference."""
    reasons = []
    if "what" in different:
        reasons.append(f"it belongs to an {saved.get('what')}, and this is an {now['what']}")
    if "table" in different or "store" in different:
        old, new = (f"table {about.get('table')} on {about.get('store')}" for about in (saved, now))
        reasons.append(f"it is about {old}, and this is {new}")
    elif "created_at" in different:
        reasons.append(f"table {now['table']} was dropped and created again since it was written")
    if "format" in different:
        reasons.append(f"the format was {saved.get('format')}, and is {now['format']} now")
    if "escaped" in different:
        reasons.append(f"it was started {'with' if saved.get('escaped') else 'without'} --escape-formulas")
    if "gzip" in different:
        reasons.append(f"the file was {'' if saved.get('gzip') else 'not '}compressed")
    if "files" in different:
        names = _names(saved.get("files"))
        reasons.append(
            _CHANGED if names == _names(now["files"]) else f"it was reading {', '.join(names) or 'an unknown file'}"
        )
    return reasons


def _names(files: Any) -> list[str]:
    """The names of the files in a result of ``Source.identity()``; empty if ``files`` has another form."""
    return [str(file[0]) for file in files if isinstance(file, list) and file] if isinstance(files, list) else []


def save(path: Path, state: Mapping[str, Any], *, about: Mapping[str, Any]) -> None:
    """Save a checkpoint with ``state``. It replaces the old one in one step, so that a crash leaves one of the two."""
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
    """Delete the checkpoint if there is one."""
    with suppress(FileNotFoundError):
        path.unlink()


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Lock a data file against other transfers in the block. The lock also ends when the process is killed.

    Raises BadInput if the folder does not exist, and Protected if another transfer has the lock.
    """
    import fcntl  # Windows does not have it, and every other command works there

    lock_path = path.with_name(f"{path.name}.lock")
    try:
        lock_file = lock_path.open("w")
    except FileNotFoundError as error:
        raise BadInput(f"There is no folder {path.parent}.", code="file_not_readable") from error
    except OSError as error:
        raise unusable(path.parent, error) from error
    with lock_file:
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock_path.stat().st_ino != os.fstat(lock_file.fileno()).st_ino:  # another transfer has just replaced it
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError) as error:
            raise Protected(f"Another transfer with {path} is running.", code="busy") from error
        try:
            yield
        finally:
            with suppress(OSError):
                lock_path.unlink()


def sync_folder(folder: Path) -> None:
    """Sync a folder to the disk, so that renamed and deleted files survive a power failure."""
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
