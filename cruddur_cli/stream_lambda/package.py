"""Packs the stream processor for AWS Lambda: the handler, and every module of this package that it imports."""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HANDLER = "cruddur_cli.lambda_handler.handler"
_PACKAGE = "cruddur_cli"
# Functions that people deployed name this module, so a new archive keeps working without a change of theirs.
_ALIAS = ("cruddur_cli/lambda_handler.py", b"from .stream_lambda.handler import handler as handler\n")
# The oldest time that a zip file can hold; a build's own time would make each one different.
_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Archive:
    """What was packed. ``code_sha256`` is what Lambda shows as CodeSha256 of the same bytes."""

    file: str
    handler: str
    modules: int
    bytes: int
    code_sha256: str


def build() -> tuple[bytes, int]:
    """The archive and how many modules it holds. The same sources give the same bytes, on any machine.

    Nothing is compressed: how well it would be depends on the machine's zlib.
    """
    root = Path(__file__).parents[1]
    out = io.BytesIO()
    found = sorted(_reachable(root, "stream_lambda.handler"))
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        files = [(f"{_PACKAGE}/{path.relative_to(root).as_posix()}", path.read_bytes()) for path in found]
        for name, content in sorted([*files, _ALIAS]):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system = 3  # Unix, on every build machine: the mode below counts
            entry.external_attr = 0o100644 << 16  # Lambda runs as another user, who has to be able to read it
            archive.writestr(entry, content.replace(b"\r\n", b"\n"))
    return out.getvalue(), len(found) + 1


def describe(content: bytes, modules: int, *, file: str) -> Archive:
    """What there is to know of an archive that was written to ``file``."""
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return Archive(file, HANDLER, modules, len(content), digest)


def _reachable(root: Path, start: str) -> set[Path]:
    """The files of a module and of all that it imports from this package, inside of functions as well."""
    found: set[Path] = set()
    waiting = [start]
    while waiting:
        parts = waiting.pop().split(".")
        for size in range(len(parts) + 1):
            path = _file(root, ".".join(parts[:size]))
            if path is not None and path not in found:
                found.add(path)
                waiting += _imports(root, path)
    return found


def _file(root: Path, name: str) -> Path | None:
    place = root / name.replace(".", "/") if name else root
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if name and path.is_file():
            return path
    return root / "__init__.py" if not name else None


def _imports(root: Path, path: Path) -> Iterator[str]:
    """The modules that a file imports relatively, as names below the package; those for type checkers left out."""
    package = path.relative_to(root).parent.parts
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            stem = ".".join(part for part in base if part)
            yield stem
            yield from (f"{stem}.{each.name}".lstrip(".") for each in node.names)
