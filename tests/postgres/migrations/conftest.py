"""A file of a migration that is not written yet."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def path(folder: Path) -> Path:
    """Where a migration in Python would lie."""
    return folder / "16811528612904313_add_bio_column.py"
