"""The positions up to which a stream's shards were applied, and the checkpoint that holds them. Pure."""

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

# "GetShardIterator": the form of a sequence number.
_SEQUENCE_NUMBER = re.compile(r"\d{21,40}")


@dataclass(frozen=True)
class Position:
    """The position in one shard: its records were applied up to and including the sequence number ``after``.

    ``at`` is the approximate time of that record. If ``after`` is None, reading begins at the oldest record, or with
    ``newest`` after the newest one. ``done`` means that the shard is closed and was read to its end.
    """

    after: str | None = None
    at: datetime | None = None
    done: bool = False
    newest: bool = False


@dataclass(frozen=True)
class Lost:
    """A place where records may be missing: those after the sequence number ``after`` that expired before they were
    read."""

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
    """The text of a checkpoint, which ``decode`` reads."""
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
    """The positions in a checkpoint; None if it belongs to another stream.

    A table gets another stream if it is created again, or if its stream is turned off and on. Raises BadInput if the
    text is not a checkpoint or was changed.
    """
    try:
        about, state = _first_form(content) or sealing.unseal(content)
        if about.get("what") != "stream":
            raise sealing.Unusable(f"it belongs to an {about.get('what')}")
        if about.get("stream") != stream:
            return None
        return {str(shard_id): _position(entry) for shard_id, entry in state["shards"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"The checkpoint {source} cannot be used to resume: {error}.",
            hint="--from oldest starts at the oldest record and loses nothing",
            code="checkpoint",
        ) from error


def _first_form(content: bytes) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The parts of a checkpoint of cruddur 0.1.0, which has no checksum; None for any other text.

    So a stream can be followed on after an upgrade.
    """
    try:
        checkpoint = json.loads(content)
        if checkpoint["version"] == 1 and checkpoint.keys() == {"version", "table", "stream", "shards"}:
            return {"what": "stream", **checkpoint}, checkpoint
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return None


def _position(entry: Mapping[str, object]) -> Position:
    after = entry["after"]
    if after is not None and not (isinstance(after, str) and _SEQUENCE_NUMBER.fullmatch(after)):
        raise ValueError(f"{after!r} is not a sequence number")
    if type(entry["done"]) is not bool or type(entry["newest"]) is not bool:
        raise ValueError("a shard has a mark that is neither true nor false")
    return Position(after, instant(str(entry["at"])) if entry["at"] else None, entry["done"], entry["newest"])
