"""Owns the embedded PostgreSQL's cluster: its data directory, password and version; creates and removes it."""

from __future__ import annotations

import hashlib
import os
import secrets
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from ..errors import NotConfigured
from . import binaries
from . import home as homes
from .engine import SystemUser, as_user, environment

USER = "cruddur"
DATABASE = "cruddur"
# The files in the state directory beside the cluster.
OWN_FILES = ("alive", "log", "log.previous", "password", "running.json")


def data_directory(home: Path) -> Path:
    """The directory of the cluster, in the state directory.

    For root it is in ``binaries.SHARED``, because the server's account cannot enter root's home, unless a setting names
    the state directory. Version 0.1.0 ignored the setting: its cluster is used in ``SHARED`` until it is moved.
    """
    if os.geteuid() != 0:
        return home / "postgres" / "data"
    shared = binaries.SHARED / hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:12] / "data"
    if not _is_chosen(home):
        return shared
    own = _own_directory(home)
    return shared if shared.exists() and not own.exists() else own


def _own_directory(home: Path) -> Path:
    return home / "postgres" / "cluster" / "data"


def _is_chosen(home: Path) -> bool:
    try:
        return home != homes.default()
    except NotConfigured:
        return True


def programs_directory(home: Path) -> Path | None:
    """The directory for a copy of the programs that another account runs; None means ``binaries.SHARED``.

    initdb puts its own path between double quotes in a shell command. So the copy is never below a folder whose name
    contains a sign that the shell replaces there.
    """
    if not _is_chosen(home) or set(os.fsdecode(home.resolve())) & set('$`"\\\n'):
        return None
    return home / "postgres" / "cluster"


def check_reachable(home: Path) -> None:
    """Raise NotConfigured, which names the closed folder, if the server's account cannot reach the state directory.

    Changes nothing. Version 0.1.0's cluster outside of the state directory is not checked.
    """
    data = data_directory(home)
    runner = binaries.account(data)
    if runner is None or data != _own_directory(home):
        return
    if (blocked := _first_closed(_above(home), runner)) is not None:
        raise _unreachable(home, blocked, runner)


def admit(home: Path, runner: SystemUser | None) -> None:
    """Let the server's account enter the state directory up to the cluster, and move version 0.1.0's cluster there.

    Raises NotConfigured if the account still cannot enter or the data cannot be moved; or OSError.
    """
    own = _own_directory(home)
    if runner is None or not _is_chosen(home):
        return
    old = data_directory(home)
    if old != own and _first_closed(_above(home), runner) is not None:
        return
    for folder in (home, home / "postgres"):
        os.chown(folder, -1, runner.gid)
        folder.chmod(0o710)
    own.parent.mkdir(mode=0o700, exist_ok=True)
    os.chown(own.parent, runner.uid, runner.gid, follow_symlinks=False)
    if (blocked := _first_closed([home, home / "postgres", own.parent], runner)) is not None:
        raise _unreachable(home, blocked, runner)
    if old != own:
        moving = own.parent / f"new-{secrets.token_hex(4)}"
        copied = subprocess.run(["cp", "-a", str(old), str(moving)], capture_output=True, text=True, check=False)
        if copied.returncode:
            shutil.rmtree(moving, ignore_errors=True)
            raise NotConfigured(
                f"The embedded PostgreSQL's data cannot be moved from {old} to {own}. Nothing was changed.",
                hint=f"free disk space, or set CRUDDUR_HOME to another folder than {home}",
                details=copied.stderr,
                code="state_directory",
            )
        moving.rename(own)
        shutil.rmtree(old)
        homes.remove_if_empty(old.parent)


def _above(home: Path) -> list[Path]:
    """The existing folders above the state directory, the root first."""
    return [folder for folder in reversed(home.resolve().parents) if folder.exists()]


def _first_closed(folders: list[Path], runner: SystemUser) -> Path | None:
    """The first of the folders that the account cannot enter; None if it can enter all."""
    script = 'for folder; do (cd "$folder") 2>/dev/null || { printf %s "$folder"; exit; }; done'
    outcome = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *map(str, folders)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd="/",
        check=False,
        **as_user(runner),
    )
    return Path(os.fsdecode(outcome.stdout)) if outcome.stdout else None


def _unreachable(home: Path, blocked: Path, runner: SystemUser) -> NotConfigured:
    return NotConfigured(
        f"The embedded PostgreSQL cannot keep its data in {home}: it refuses to run as root, runs as "
        f"the user {runner.name}, and {runner.name} cannot enter {blocked}. Nothing was changed.",
        hint=f"chmod o+x {shlex.quote(str(blocked))}, or set CRUDDUR_HOME to a folder that {runner.name} can reach",
        code="state_directory",
    )


def password(home: Path) -> str:
    """The superuser's password. Raises NotConfigured if its file cannot be read."""
    path = home / "postgres" / "password"
    try:
        return path.read_text().strip()
    except OSError as error:
        raise NotConfigured(
            f"The embedded PostgreSQL's password cannot be read from {path}: {error.strerror}.",
            hint="put the file back, or run `cruddur local reset`, then `cruddur setup`",
        ) from error


def check_version(data: Path) -> None:
    """Raise NotConfigured if the data belongs to another version of PostgreSQL, or cannot be read."""
    try:
        major = (data / "PG_VERSION").read_text().strip()
    except OSError as error:
        raise homes.unusable(data / "PG_VERSION", error) from error
    if major != binaries.MAJOR:
        raise NotConfigured(
            f"The data in {data} belongs to PostgreSQL {major}; this cruddur runs PostgreSQL {binaries.MAJOR}.",
            hint="use the version of cruddur that created the data, or run `cruddur local reset`, then `cruddur setup`",
        )


def create(home: Path, install: Path, data: Path, runner: SystemUser | None) -> None:
    """Create the cluster under a temporary name first, so that an incomplete one is never used.

    Raises NotConfigured if initdb fails, or OSError.
    """
    if runner:
        if data != _own_directory(home):
            binaries.shared_directory()
        data.parent.mkdir(mode=0o700, exist_ok=True)
        os.chown(data.parent, runner.uid, runner.gid, follow_symlinks=False)
    for leftover in data.parent.glob("new-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    secret = home / "postgres" / "password"
    if not secret.exists():
        homes.write(secret, secrets.token_urlsafe(24))
    temporary = data.parent / f"new-{secrets.token_hex(4)}"
    with tempfile.TemporaryFile() as pwfile:
        pwfile.write(password(home).encode())
        pwfile.seek(0)
        if runner:
            os.fchown(pwfile.fileno(), runner.uid, runner.gid)
        command = [str(install / "bin" / "initdb"), "-D", str(temporary), "-U", USER, "-A", "scram-sha-256"]
        # PostgreSQL's own C.UTF-8 sorts the same on every system, and needs no locale of the system.
        command += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += [f"--pwfile=/dev/fd/{pwfile.fileno()}", "--no-instructions"]
        outcome = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[pwfile.fileno()],
            cwd="/",
            env=environment(),
            check=False,
            **as_user(runner),
        )
    if outcome.returncode:
        shutil.rmtree(temporary, ignore_errors=True)
        raise NotConfigured(
            f"The embedded PostgreSQL cannot create its data directory {data}.",
            hint="see the output of initdb above; free disk space, or set CRUDDUR_HOME to another directory",
            details="\n".join(outcome.stdout.decode(errors="replace").splitlines()[-6:]),
        )
    temporary.rename(data)


def remove(home: Path) -> None:
    """Delete the data and the password of a stopped server; other files in the folders stay."""
    data = data_directory(home)
    if (data / "PG_VERSION").exists():
        # Renamed like an incomplete cluster, which `create` deletes: if this is interrupted, the rest is never used.
        data.rename(data.parent / f"new-{secrets.token_hex(4)}")
    for leftover in data.parent.glob("new-*/PG_VERSION"):
        _delete(leftover.parent)
    if programs := programs_directory(home):
        for copy in programs.glob("postgresql-*"):
            shutil.rmtree(copy)
    for name in OWN_FILES:
        (home / "postgres" / name).unlink(missing_ok=True)
    homes.remove_if_empty(data.parent)
    homes.remove_if_empty(home / "postgres")


def _delete(cluster: Path) -> None:
    """Delete a cluster, PG_VERSION last: that file marks it as a cluster, so a later ``remove`` can finish this."""
    mark = cluster / "PG_VERSION"
    for path in cluster.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != mark:
            path.unlink()
    mark.unlink()
    cluster.rmdir()
