"""What a fresh Cruddur contains: the files of ``seeds/``, from the wheel or from the checkout."""

from __future__ import annotations

import sys
from pathlib import Path

from ...errors import BadInput


def read(name: str) -> bytes:
    """The content of one seed file. An editable install has them beside the package, a wheel inside it."""
    here = Path(__file__).parents[2]
    for folder in (here / "seeds", here.parent / "seeds"):
        path = folder / name
        if path.is_file():
            return path.read_bytes()
    raise FileNotFoundError(f"seeds/{name} is missing from this installation")


def text(name: str) -> str:
    """The content of one seed file as text."""
    return read(name).decode("utf-8")


def given(path: str) -> tuple[bytes, str]:
    """The content of a named file, and its name; ``-`` is standard input. Raises BadInput."""
    if path == "-":
        return (sys.stdin.buffer.read() if sys.stdin else b""), "standard input"
    try:
        return Path(path).read_bytes(), path
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.", code="file_not_readable") from error
