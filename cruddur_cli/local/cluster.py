"""Owns the embedded PostgreSQL's cluster: where its data is, its password and version; makes it and removes it."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

from ..errors import NotConfigured
from . import binaries
from . import home as homes
from .engine import Account, as_account, environment

USER = "cruddur"


def data_directory(home: Path) -> Path:
    """Where the cluster is: in the state directory, except for root (see ``binaries.SHARED``)."""
    if os.geteuid() == 0:
        return binaries.SHARED / hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:12] / "data"
    return home / "postgres" / "data"


def password(home: Path) -> str:
    """The superuser's password.

    Raises NotConfigured when it is not there any more.
    """
    path = home / "postgres" / "password"
    try:
        return path.read_text().strip()
    except OSError as error:
        raise NotConfigured(
            f"The embedded PostgreSQL's password cannot be read from {path}: {error.strerror}.",
            hint="put the file back, or run `cruddur local reset`, then `cruddur setup`",
        ) from error


def check_version(data: Path) -> None:
    """Raises NotConfigured where the data belong to another PostgreSQL, or cannot be read."""
    try:
        major = (data / "PG_VERSION").read_text().strip()
    except OSError as error:
        raise homes.unusable(data / "PG_VERSION", error) from error
    if major != binaries.MAJOR:
        raise NotConfigured(
            f"The data in {data} belongs to PostgreSQL {major}; this cruddur runs PostgreSQL {binaries.MAJOR}.",
            hint="keep the data with the cruddur that made it, or run `cruddur local reset`, then `cruddur setup`",
        )


def create(home: Path, install: Path, data: Path, runner: Account | None) -> None:
    """Makes the cluster under another name first, so that an interrupted one is never taken for whole."""
    if runner:
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
        # PostgreSQL's own C.UTF-8 sorts alike everywhere, and needs no locale of the system.
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
            **as_account(runner),
        )
    if outcome.returncode:
        shutil.rmtree(temporary, ignore_errors=True)
        raise NotConfigured(
            f"The embedded PostgreSQL cannot make its data directory {data}.",
            hint="see below what initdb said; free disk space, or set CRUDDUR_HOME to another directory",
            details="\n".join(outcome.stdout.decode(errors="replace").splitlines()[-6:]),
        )
    temporary.rename(data)


def remove(home: Path) -> None:
    """Deletes the data and the password, of a server that has stopped."""
    data = data_directory(home)
    for path in (data.parent if data.parent.parent == binaries.SHARED else data, home / "postgres"):
        if path.exists():
            shutil.rmtree(path)
