"""What a checkpoint looks like: what it belongs to, what it says, and a checksum over both. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

VERSION = 2


class Unusable(ValueError):
    """Why a text is no checkpoint; the text is a clause."""


def seal(about: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """A checkpoint as text: ``about`` is what it belongs to, ``state`` what it says."""
    sealed = {"version": VERSION, "about": dict(about), "state": dict(state)}
    return json.dumps({**sealed, "checksum": _checksum(sealed)}) + "\n"


def unseal(content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """``about`` and ``state`` of a checkpoint. Raises Unusable with the reason."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise Unusable("it is not JSON") from None
    if not isinstance(found, dict) or "version" not in found:
        raise Unusable("it is not a checkpoint")
    if found["version"] != VERSION:
        raise Unusable(f"another version of cruddur wrote it (form {found['version']!r}, and this is {VERSION})")
    checksum = found.pop("checksum", None)
    if checksum != _checksum(found):
        raise Unusable("its checksum differs: it was changed or damaged")
    about, state = found.get("about"), found.get("state")
    if not isinstance(about, dict) or not isinstance(state, dict):
        raise Unusable("it is not a checkpoint")
    return about, state


def whole_number(value: object, *, least: int = 0) -> int:
    """A number of a state, which has to be one. Raises Unusable."""
    if type(value) is not int or value < least:
        raise Unusable(f"{value!r} is not a whole number of at least {least}")
    return value


def _checksum(sealed: Mapping[str, Any]) -> str:
    return blake2b(json.dumps(sealed, sort_keys=True).encode(), digest_size=16).hexdigest()
