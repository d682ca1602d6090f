"""Runs files of SQL, whole or not at all, and seeds, which can be run again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy_names import lazily

if TYPE_CHECKING:
    from .idempotent_seed import run as seed
    from .runner import run
else:
    __getattr__ = lazily(__name__, {"run": "runner:run", "seed": "idempotent_seed:run"})

__all__ = ["run", "seed"]
