"""Where a checkout of the application has its schema, its seeds and its migrations; knows paths and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

DATABASE = Path("backend-flask") / "db"
SCHEMA = "schema.sql"
SEED = "seed.sql"
MIGRATIONS = "migrations"


def database_folder(folder: Path) -> Path | None:
    """The nearest ``backend-flask/db``, looking in ``folder`` and then in everything above it."""
    for place in (folder, *folder.parents):
        if (place / DATABASE).is_dir():
            return place / DATABASE
    return None


def locate(name: str, *, folder: Path, configured: str | None = None, base: Path | None = None) -> Path | None:
    """The file or folder ``name`` of the application; None where there is no checkout, or it has no such file.

    ``configured`` is what ``cruddur.toml`` says, counted from that file's own folder ``base``; it wins, and it need not
    be there. Neither need the folder of migrations: the first one makes it.
    """
    if configured is not None:
        return (base or folder) / Path(configured).expanduser()
    found = database_folder(folder)
    if found is None or not (name == MIGRATIONS or (found / name).is_file()):
        return None
    return found / name


def shown(path: Path, *, folder: Path) -> Path:
    """The path as somebody in ``folder`` would write it: relative below it, else whole."""
    return Path(os.path.relpath(path, folder)) if path.is_relative_to(folder) else path
