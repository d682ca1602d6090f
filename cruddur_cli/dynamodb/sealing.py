"""The form of a checkpoint: JSON with what it belongs to, its state, and a checksum of both. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

VERSION = 2


class Unusable(ValueError):
    """The text is not a usable checkpoint; the message is a clause that says why."""


def seal(about: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """The text of a checkpoint. ``about`` identifies what it belongs to; ``state`` is the place to resume from."""
    sealed = {"version": VERSION, "about": dict(about), "state": dict(state)}
    return json.dumps({**sealed, "checksum": _checksum(sealed)}) + "\n"


def unseal(content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ``about`` and the ``state`` of a checkpoint. Raises Unusable with the reason."""
    try:
        sealed = json.loads(content)
    except (ValueError, RecursionError):
        raise Unusable("it is not JSON") from None
    if not isinstance(sealed, dict) or "version" not in sealed:
        raise Unusable("it is not a checkpoint")
    if sealed["version"] != VERSION:
        raise Unusable(f"another version of cruddur wrote it (form {sealed['version']!r}, and this is {VERSION})")
    checksum = sealed.pop("checksum", None)
    if checksum != _checksum(sealed):
        raise Unusable("its checksum differs: it was changed or damaged")
    about, state = sealed.get("about"), sealed.get("state")
    if not isinstance(about, dict) or not isinstance(state, dict):
        raise Unusable("it is not a checkpoint")
    return about, state


def whole_number(value: object, *, least: int = 0) -> int:
    """``value``, if it is an integer of at least ``least``. Raises Unusable otherwise."""
    if type(value) is not int or value < least:
        raise Unusable(f"{value!r} is not a whole number of at least {least}")
    return value


def _checksum(sealed: Mapping[str, Any]) -> str:
    return blake2b(json.dumps(sealed, sort_keys=True).encode(), digest_size=16).hexdigest()
