"""What a fresh Cruddur contains: the files of ``seeds/``, from the wheel or from the checkout."""

from __future__ import annotations

import sys
from pathlib import Path

from .errors import BadInput


def read(name: str) -> bytes:
    """The content of one seed file. An editable install has them beside the package, a wheel inside it."""
    here = Path(__file__).parent
    for folder in (here / "seeds", here.parent / "seeds"):
        path = folder / name
        if path.is_file():
            return path.read_bytes()
    raise FileNotFoundError(f"seeds/{name} is missing from this installation")


def text(name: str) -> str:
    """The content of one seed file as text."""
    return read(name).decode("utf-8")


def given(path: str) -> tuple[bytes, str]:
    """The content of a file that somebody named, and its name; ``-`` is standard input. Raises BadInput."""
    if path == "-":
        return (sys.stdin.buffer.read() if sys.stdin else b""), "standard input"
    try:
        return Path(path).read_bytes(), path
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.", code="file_not_readable") from error


def sql(path: str | None, name: str) -> tuple[str, str]:
    """The SQL of the file that somebody named, else of our own seed file ``name``, and what to call it.

    A byte-order mark goes, Windows line ends stay. Raises BadInput.
    """
    if path is None:
        return text(name), name
    content, source = given(path)
    try:
        found = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{source}, line {line}: not UTF-8 text.", code="file_not_readable") from error
    if "\0" in found:
        raise BadInput(f"{source} holds a NUL character: it is no file of SQL.", code="file_not_readable")
    return found, source
