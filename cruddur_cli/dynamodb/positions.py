"""How far a stream was dealt with: positions by shard, and the checkpoint that keeps them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ..errors import BadInput
from ..times import instant, sort_key

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
            f"shard {self.shard_id}: what was written {since}{about} and is no longer in the stream was not read; "
            "a stream keeps 24 hours, and a local engine nothing over a restart"
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
    return json.dumps({"version": 1, "table": table, "stream": stream, "shards": shards}, indent=1) + "\n"


def decode(content: bytes, *, stream: str, source: str) -> dict[str, Position] | None:
    """The positions that a checkpoint keeps; None where it is that of another stream.

    A table that was made anew has another stream, and so has one whose stream was turned off and on. Raises BadInput
    for a text that is no checkpoint.
    """
    try:
        found = json.loads(content)
        if found["version"] != 1:
            raise ValueError(f"version {found['version']}")
        if found["stream"] != stream:
            return None
        return {str(shard_id): _position(kept) for shard_id, kept in found["shards"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{source} is not a checkpoint: {error}.", hint="--from oldest begins anew and loses nothing"
        ) from error


def _position(kept: Mapping[str, object]) -> Position:
    after = kept["after"]
    if after is not None and not (isinstance(after, str) and _SEQUENCE_NUMBER.fullmatch(after)):
        raise ValueError(f"{after!r} is no sequence number")
    return Position(after, instant(str(kept["at"])) if kept["at"] else None, bool(kept["done"]), bool(kept["newest"]))
