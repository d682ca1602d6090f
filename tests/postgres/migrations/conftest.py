"""A fixture with the path of a migration."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def path(folder: Path) -> Path:
    """The path of a migration in Python that does not exist yet."""
    return folder / "16811528612904313_add_bio_column.py"
