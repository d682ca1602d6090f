"""Reads the state files of cruddur 0.1.0 once; generations replace them.

There is one JSON file for each service in ``state``, and the one saved before it in ``previous``. The emulator's own
loader is not used, because it reads an incomplete file as an empty one. Runs in the emulator's process.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from . import home as homes
from .generations import Damaged

# Services whose state may be empty.
MAY_BE_EMPTY = {"dynamodb_streams", "sts"}
# The name of a file that does not exist. Version 0.1.0 does not start if a listed file is missing, so it never starts
# with empty data beside generations.
NEVER = "this-data-belongs-to-a-later-version-of-cruddur"


def exist(folder: Path) -> bool:
    """Whether the folder has state files of version 0.1.0."""
    return bool(_names(folder))


def load(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The saved state of each service, and a sentence for each file that was restored from ``previous``.

    Raises Damaged if a file cannot be used and there is no earlier one: existing data never starts empty.
    """
    states: dict[str, Any] = {}
    notes: list[str] = []
    for name in sorted(_names(folder)):
        path = folder / "state" / f"{name}.json"
        try:
            states[name] = parse(name, path.read_bytes())
        except (FileNotFoundError, ValueError) as error:
            states[name], note = _restore(folder, name, "is missing" if isinstance(error, OSError) else "is damaged")
            notes.append(note)
        except OSError as error:
            raise Damaged(f"{path} cannot be read: {error.strerror}") from error
    return states, notes


def parse(name: str, content: bytes) -> Any:
    """The state in the content of a service's file.

    Raises ValueError if it is incomplete, Damaged if a later version of the emulator wrote it.
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
    if not payload and name not in MAY_BE_EMPTY:
        raise ValueError("no state in it")
    return payload


def retire(folder: Path) -> None:
    """Delete the files, whose content is in a generation now; keys stay where the emulator reads them."""
    for path in (folder / "state").glob("*.json"):
        path.unlink()
    shutil.rmtree(folder / "previous", ignore_errors=True)
    homes.write(folder / "saved.json", {"files": [NEVER]})


def _names(folder: Path) -> set[str]:
    listed = homes.read(folder / "saved.json").get("files")
    names = {str(name) for name in listed} if isinstance(listed, list) else set()
    for generation in ("state", "previous"):
        names |= {path.stem for path in (folder / generation).glob("*.json")}
    return names - {NEVER}


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
        moved = folder / "damaged" / time.strftime(f"{name}-%Y%m%dT%H%M%S.json")
        moved.parent.mkdir(mode=0o700, exist_ok=True)
        path.replace(moved)
        aside = f" (it is kept as {moved})"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    homes.write(path, content)
    return state, (
        f"{path} {problem}{aside}: the copy saved at {saved_at} is used, what was written after it is lost; "
        "`cruddur setup` restores the seeded data"
    )
