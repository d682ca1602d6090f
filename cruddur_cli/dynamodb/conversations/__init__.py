"""List, read, start, continue and seed conversations between two people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy_names import lazily

if TYPE_CHECKING:
    from .model import parse
    from .queries import find_group, latest, list_groups
    from .seed import replace_conversation
    from .send import send as send_message
    from .send import start
else:
    __getattr__ = lazily(
        __name__,
        {
            "find_group": "queries:find_group",
            "latest": "queries:latest",
            "list_groups": "queries:list_groups",
            "parse": "model:parse",
            "replace_conversation": "seed:replace_conversation",
            "send_message": "send:send",
            "start": "send:start",
        },
    )

__all__ = ["find_group", "latest", "list_groups", "parse", "replace_conversation", "send_message", "start"]
