"""Build the archive of the stream function: its handler, and every module of this package that it imports."""

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
# Deployed functions have this module in their configuration, so a new archive must contain it.
_ALIAS = ("cruddur_cli/lambda_handler.py", b"from .stream_lambda.handler import handler as handler\n")
# The earliest time in a zip file. With the time of the build, two builds would differ.
_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Archive:
    """The archive in a file. ``modules`` is the number of its modules; ``code_sha256`` is Lambda's CodeSha256 of it."""

    file: str
    handler: str
    modules: int
    bytes: int
    code_sha256: str


def build() -> tuple[bytes, int]:
    """The bytes of the archive, and the number of its modules. The same sources give the same bytes on any machine.

    It is not compressed, because compressed bytes depend on the machine's zlib.
    """
    root = Path(__file__).parents[1]
    out = io.BytesIO()
    paths = sorted(_reachable(root, "stream_lambda.handler"))
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        files = [(f"{_PACKAGE}/{path.relative_to(root).as_posix()}", path.read_bytes()) for path in paths]
        for name, content in sorted([*files, _ALIAS]):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system = 3  # Unix, so that the mode below applies
            entry.external_attr = 0o100644 << 16  # Lambda runs as another user, who must be able to read the file
            archive.writestr(entry, content.replace(b"\r\n", b"\n"))
    return out.getvalue(), len(paths) + 1


def describe(content: bytes, modules: int, *, file: str) -> Archive:
    """The record of an archive that was written to ``file``."""
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return Archive(file, HANDLER, modules, len(content), digest)


def _reachable(root: Path, start: str) -> set[Path]:
    """The files of a module and of all modules of this package that it imports, also inside functions."""
    reached: set[Path] = set()
    waiting = [start]
    while waiting:
        parts = waiting.pop().split(".")
        for size in range(len(parts) + 1):
            path = _file(root, ".".join(parts[:size]))
            if path is not None and path not in reached:
                reached.add(path)
                waiting += _imports(root, path)
    return reached


def _file(root: Path, name: str) -> Path | None:
    place = root / name.replace(".", "/") if name else root
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if name and path.is_file():
            return path
    return root / "__init__.py" if not name else None


def _imports(root: Path, path: Path) -> Iterator[str]:
    """Yield the names of the modules that a file imports with relative imports, without those under TYPE_CHECKING."""
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
