"""Finds migrations in a folder, and applies them to a database or rolls them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy_names import lazily

if TYPE_CHECKING:
    from .files import Migration, create, find
    from .runner import Status, mark_applied, migrate, pending, rollback, status, to_undo
else:
    __getattr__ = lazily(
        __name__,
        {
            "Migration": "files:Migration",
            "Status": "runner:Status",
            "create": "files:create",
            "find": "files:find",
            "mark_applied": "runner:mark_applied",
            "migrate": "runner:migrate",
            "pending": "runner:pending",
            "rollback": "runner:rollback",
            "status": "runner:status",
            "to_undo": "runner:to_undo",
        },
    )

__all__ = [
    "Migration",
    "Status",
    "create",
    "find",
    "mark_applied",
    "migrate",
    "pending",
    "rollback",
    "status",
    "to_undo",
]
