"""The table into a file and back: formats, exports, imports, copies.

The format stands here, because the help of a command names the formats and loads nothing else.
"""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """A file's format. ``DYNAMODB_JSON`` is DynamoDB's own, by "DynamoDB table export output format"."""

    JSONL = "jsonl"
    CSV = "csv"
    DYNAMODB_JSON = "dynamodb-json"
