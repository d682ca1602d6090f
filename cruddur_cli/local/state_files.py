"""Owns the state files of cruddur 0.1.0, which are read once and then replaced by generations.

One JSON file for each service in ``state``, and the one saved before it in ``previous``. The emulator's own loader is
not used, because it takes a file that is cut short for an empty one. Runs in the emulator's process.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from . import home as homes
from .generations import Damaged

# Services of which an empty state is whole.
MAY_BE_EMPTY = {"dynamodb_streams", "sts"}
# What 0.1.0 looks for first; it does not start where a file is missing that is listed here, and so never starts empty.
NEVER = "this-data-belongs-to-a-later-version-of-cruddur"


def exist(folder: Path) -> bool:
    """Whether 0.1.0 saved anything there."""
    return bool(_names(folder))


def load(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """What each service had saved, and sentences on what had to be restored from the generation before.

    Raises Damaged when a file cannot be used and there is no earlier one: never an empty start over existing data.
    """
    found: dict[str, Any] = {}
    notes: list[str] = []
    for name in sorted(_names(folder)):
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
    if not payload and name not in MAY_BE_EMPTY:
        raise ValueError("no state in it")
    return payload


def retire(folder: Path) -> None:
    """Deletes the files, whose content is in a generation now; keys stay where the emulator reads them."""
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
