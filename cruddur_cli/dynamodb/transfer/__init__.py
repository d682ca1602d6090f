"""Export the table to a file, import a file, and copy rows from another table.

``Format`` is defined here, because a command's help names the formats and must not import anything else.
"""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """The format of a file. ``DYNAMODB_JSON`` is that of DynamoDB's own exports ("DynamoDB table export output
    format")."""

    JSONL = "jsonl"
    CSV = "csv"
    DYNAMODB_JSON = "dynamodb-json"
