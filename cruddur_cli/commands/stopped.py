"""What is said of an export or an import that ends early: where, what is in the table, and how it goes on."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..dynamodb import checkpoints, importing, sources
from ..errors import BadInput, Incomplete, Interrupted
from ..output.text import counted


def streams(file: str) -> bool:
    """Whether nothing can be kept beside it or read twice: a standard stream, a pipe, a device."""
    path = Path(file)
    return file == "-" or (path.exists() and not path.is_file() and not path.is_dir())


@contextmanager
def told(importer: importing.Importer, source: sources.Source) -> Iterator[None]:
    """A bad line, with what was written before it."""
    again = f"import {shlex.quote(source.name)} again: that is safe"
    try:
        yield
    except importing.ItemRefused as error:
        error.message = f"{sources.where(source, error.place)}: {error.message.rstrip('.')}."
        error.message += (
            f" {counted(error.there, 'item')} of the file {'is' if error.there == 1 else 'are'} in the table."
        )
        error.hint = f"put the line right and {again}"
        error.fields |= {"line": error.place.line, "in_table": error.there}
        raise
    except BadInput as error:
        written = importer.counts.written
        if not written or importer.dry_run:
            raise BadInput(
                f"{error.message} Nothing was written.", hint=error.hint, code=error.code, fields=error.fields
            ) from error
        raise Incomplete(
            f"{error.message} "
            f"{counted(importer.lines, 'item')} before it {'is' if importer.lines == 1 else 'are'}"
            f" in the table, and nothing behind it.",
            hint=error.hint or f"put the line right and {again}",
            code=error.code,
            fields={"written": written},
        ) from error


@contextmanager
def kept(file: str, what: str) -> Iterator[None]:
    """Say where the place is when somebody interrupts. Raises Interrupted."""
    try:
        yield
    except KeyboardInterrupt as error:
        if streams(file) or not checkpoints.beside(Path(file).resolve()).exists():
            raise
        raise Interrupted(f"the place is kept beside {file}; the same {what} again goes on from there") from error
