"""Owns the emulator's state files: read strictly, written whole, the generation before kept beside them.

The emulator's own loader takes a file that is cut short for an empty one and later writes over it, and its own saver
hides every failure; so neither is used. Runs in the emulator's process.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import home as homes


class Damaged(Exception):
    """Starting would lose data; the message is one sentence that names the file."""


def load(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """What each service had saved, and sentences on what had to be restored from the generation before.

    Raises Damaged when a file cannot be used and there is no earlier one: never an empty start over existing data.
    """
    listed = homes.read(folder / "saved.json").get("files")
    names = {str(name) for name in listed} if isinstance(listed, list) else set()
    for generation in ("state", "previous"):
        names |= {path.stem for path in (folder / generation).glob("*.json")}
    found: dict[str, Any] = {}
    notes: list[str] = []
    for name in sorted(names):
        path = folder / "state" / f"{name}.json"
        try:
            found[name] = parse(name, path.read_bytes())
        except (FileNotFoundError, ValueError) as error:
            found[name], note = _restore(folder, name, "is missing" if isinstance(error, OSError) else "is damaged")
            notes.append(note)
        except OSError as error:
            raise Damaged(f"{path} cannot be read: {error.strerror}") from error
    return found, notes


def parse(name: str, content: bytes) -> Any:
    """The state in a file of that service.

    Raises ValueError when it is not whole, Damaged when a later version wrote it.
    """
    # The names with an underscore belong to the pinned ministack, which does not promise them.
    from ministack.core import persistence  # type: ignore[import-untyped]

    try:
        wrapped = json.loads(content, object_hook=persistence._json_object_hook)
        version, payload = int(wrapped["__ministack_format__"]), wrapped["payload"]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a state file") from error
    if version > persistence._state_format_version(name):
        raise Damaged(f"the state of {name} was written by a later version of the emulator")
    return payload


def text(name: str, state: object) -> str:
    """The content of a state file.

    Raises TypeError or ValueError for a state that cannot be written.
    """
    from ministack.core import persistence

    wrapped = {"__ministack_format__": persistence._state_format_version(name), "payload": state}
    return json.dumps(wrapped, default=persistence._json_default)


def save(folder: Path, contents: Mapping[str, str]) -> None:
    """Puts each service's file in place, on the disk when it returns; what it replaces becomes the one before.

    Raises OSError; files already replaced stay, and every file is whole at every moment.
    """
    for directory in ("state", "previous"):
        (folder / directory).mkdir(mode=0o700, exist_ok=True)
    for name, content in contents.items():
        path = folder / "state" / f"{name}.json"
        if path.exists():
            copy = folder / "previous" / f".{name}.new"
            copy.unlink(missing_ok=True)
            try:
                try:
                    os.link(path, copy)
                except OSError:
                    shutil.copy2(path, copy)
                copy.replace(folder / "previous" / f"{name}.json")
            finally:
                # A copy cut short stays; so does a link, after a save that failed: it is the one before already.
                copy.unlink(missing_ok=True)
        homes.write(path, content)


def _restore(folder: Path, name: str, problem: str) -> tuple[Any, str]:
    path, previous = folder / "state" / f"{name}.json", folder / "previous" / f"{name}.json"
    try:
        content = previous.read_bytes()
        state = parse(name, content)
        saved_at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(previous.stat().st_mtime))
    except (OSError, ValueError):
        raise Damaged(f"{path} {problem}, and there is no earlier copy of it") from None
    aside = ""
    if path.exists():
        kept = folder / "damaged" / time.strftime(f"{name}-%Y%m%dT%H%M%S.json")
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        path.replace(kept)
        aside = f" (it is kept as {kept})"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    homes.write(path, content)
    return state, (
        f"{path} {problem}{aside}: the copy saved at {saved_at} is used, what was written after it is lost; "
        "`cruddur setup` restores the seeded data"
    )
