"""How far a stream was dealt with: positions by shard, and the checkpoint that keeps them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ...errors import BadInput
from ...times import instant, sort_key
from .. import sealing

# "GetShardIterator" takes no other text as a sequence number.
_SEQUENCE_NUMBER = re.compile(r"\d{21,40}")


@dataclass(frozen=True)
class Position:
    """How far one shard was dealt with: up to and with the record ``after``, written about ``at``; None is nothing.

    ``newest`` begins behind what is there. ``done`` is a closed shard that was read to its end.
    """

    after: str | None = None
    at: datetime | None = None
    done: bool = False
    newest: bool = False


@dataclass(frozen=True)
class Lost:
    """A place where records may be missing: everything after ``after`` that the stream no longer holds."""

    shard_id: str
    after: str | None
    at: datetime | None

    def __str__(self) -> str:
        since = f"after {self.after}" if self.after else "from its beginning"
        about = f" (about {sort_key(self.at)})" if self.at else ""
        return (
            f"shard {self.shard_id}: records {since}{about} expired and were not read; "
            "a stream keeps 24 hours, and DynamoDB Local loses its stream when it restarts"
        )


def encode(positions: Mapping[str, Position], *, stream: str, table: str) -> str:
    """A checkpoint as text, for ``decode``."""
    shards = {
        shard_id: {
            "after": position.after,
            "at": sort_key(position.at) if position.at else None,
            "done": position.done,
            "newest": position.newest,
        }
        for shard_id, position in positions.items()
    }
    return sealing.seal({"what": "stream", "table": table, "stream": stream}, {"shards": shards})


def decode(content: bytes, *, stream: str, source: str) -> dict[str, Position] | None:
    """The positions that a checkpoint keeps; None where it is that of another stream.

    A table that was dropped and created again has another stream, and so has one whose stream was turned off and on.
    Raises BadInput for a text that is no checkpoint, or was changed.
    """
    try:
        about, state = _first_form(content) or sealing.unseal(content)
        if about.get("what") != "stream":
            raise sealing.Unusable(f"it belongs to an {about.get('what')}")
        if about.get("stream") != stream:
            return None
        return {str(shard_id): _position(kept) for shard_id, kept in state["shards"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"The checkpoint {source} cannot be used to resume: {error}.",
            hint="--from oldest starts at the oldest record and loses nothing",
            code="checkpoint",
        ) from error


def _first_form(content: bytes) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """A checkpoint of cruddur 0.1.0, which has no checksum: a followed stream continues after an upgrade."""
    try:
        found = json.loads(content)
        if found["version"] == 1 and found.keys() == {"version", "table", "stream", "shards"}:
            return {"what": "stream", **found}, found
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return None


def _position(kept: Mapping[str, object]) -> Position:
    after = kept["after"]
    if after is not None and not (isinstance(after, str) and _SEQUENCE_NUMBER.fullmatch(after)):
        raise ValueError(f"{after!r} is not a sequence number")
    if type(kept["done"]) is not bool or type(kept["newest"]) is not bool:
        raise ValueError("a shard has a mark that is neither true nor false")
    return Position(after, instant(str(kept["at"])) if kept["at"] else None, kept["done"], kept["newest"])
