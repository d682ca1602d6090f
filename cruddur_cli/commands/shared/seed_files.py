"""Reads seed files: those of the folder ``seeds``, from the wheel or the checkout, and those that a user names."""

from __future__ import annotations

import sys
from pathlib import Path

from ...errors import BadInput


def read(name: str) -> bytes:
    """The bytes of one file of ``seeds``. A wheel has the folder inside the package, an editable install beside it.

    Raises FileNotFoundError for an incomplete installation.
    """
    here = Path(__file__).parents[2]
    for folder in (here / "seeds", here.parent / "seeds"):
        path = folder / name
        if path.is_file():
            return path.read_bytes()
    raise FileNotFoundError(f"seeds/{name} is missing from this installation")


def text(name: str) -> str:
    """The text of one file of ``seeds``."""
    return read(name).decode("utf-8")


def given(path: str) -> tuple[bytes, str]:
    """The bytes of a file that the user names, and its name for messages; ``-`` is standard input. Raises BadInput."""
    if path == "-":
        return (sys.stdin.buffer.read() if sys.stdin else b""), "standard input"
    try:
        return Path(path).read_bytes(), path
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.", code="file_not_readable") from error
