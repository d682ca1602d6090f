"""Takes an AWS answer as the JSON that it is, where botocore would walk through its model for each value."""

from __future__ import annotations

import json
from collections.abc import Callable
from threading import Lock
from typing import Any

_ONE = Lock()


def take(
    response_dict: dict[str, Any],
    customized_response_dict: dict[str, Any],
    *,
    decode: Callable[[bytes, dict[str, Any]], None] | None = None,
    **_: Any,
) -> None:
    """What handles botocore's event before-parse, for one operation. An error is left to botocore.

    ``decode`` gets what came and what it says, and may change that in place.
    """
    if response_dict["status_code"] != 200:
        return
    raw = response_dict["body"]
    try:
        # Parsing takes several times what comes of it, and gains nothing from threads: one at a time is enough.
        with _ONE:
            answer = json.loads(raw)
    except ValueError:  # no answer of the service's: botocore says so
        return
    if not isinstance(answer, dict):
        return
    if decode is not None:
        decode(raw, answer)
    customized_response_dict.update({name: value for name, value in answer.items() if value is not None})
    response_dict["body"] = b"{}"
