"""Owns a test run: its folder, the engines that the program ``cruddur`` starts in it, and the stores of each worker.

The program may be another environment's: the application may pin another botocore than the embedded AWS does.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = "CRUDDUR_COMMAND"
# No program that is started here reads a setting of the developer: it could name a store with real data.
_SETTINGS = ("AWS_", "PG", "CRUDDUR_", "DDB_", "PROD_", "DB_SG_", "CONNECTION_URL", "DATABASE_URL", "GITPOD_")
# No DynamoDB answers on port 9, so that none on port 8000 is used.
_OWN = {"CRUDDUR_LOCAL_DYNAMODB": "http://127.0.0.1:9", "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1"}


class Unavailable(Exception):
    """The engines cannot be started: the reason, and the command that helps."""


class SetupFailed(Unavailable):
    """The engines run, and the checkout's schema, seed or migrations are refused: no reason to skip a test."""


@dataclass(frozen=True)
class Stores:
    """The stores of a test run; ``variables`` are those that the application reads."""

    variables: Mapping[str, str]

    @property
    def connection_url(self) -> str:
        """PostgreSQL's URL, with its password."""
        return self.variables["CONNECTION_URL"]

    @property
    def endpoint(self) -> str:
        """The URL at which DynamoDB and Cognito answer."""
        return self.variables["AWS_ENDPOINT_URL_DYNAMODB"]

    @property
    def table(self) -> str:
        """The name of the DynamoDB table."""
        return self.variables["DDB_MESSAGE_TABLE"]

    def __repr__(self) -> str:
        """Without the password."""
        return f"Stores(endpoint={self.endpoint!r}, table={self.table!r})"


class Run:
    """One test run. Nothing is on the disk before the first process asks for stores.

    ``owner`` is the process that ends the run; the workers of pytest-xdist are not.
    """

    def __init__(self, folder: Path, command: str, root: Path, *, owner: bool) -> None:
        self.folder = folder
        self._is_named = bool(command)
        self._command = shlex.split(command) if command else [sys.executable, "-m", "cruddur_cli"]
        self._root, self._owner = root, owner
        self._lock: int | None = None
        self._stores: Stores | None = None
        self._client: Any = None
        self._rows: Any = None

    def stores(self, worker: str | None) -> Stores:
        """The stores of one worker, or of a run without workers. The first caller starts the engines.

        Raises Unavailable.
        """
        from . import copies

        if self._stores is None:
            self._enter()
            with _locked(self.folder / "lock"):
                found = self._session()
            stores = Stores(found["variables"])
            if worker is not None:
                url = copies.seeded_database(stores.connection_url, f"cruddur_{worker}")
                table = f"{stores.table}-{worker}"
                copies.seeded_table(self.client(stores), table, found["items"])
                stores = Stores({**stores.variables, "CONNECTION_URL": url, "DDB_MESSAGE_TABLE": table})
            self._stores = stores
        return self._stores

    def seed(self, stores: Stores) -> None:
        """Gives the database and the table of a worker the rows that they had at the beginning."""
        from . import copies

        if self._rows is None:
            self._rows = copies.SeededRows(stores.connection_url, self._session()["items"])
        self._rows.put_back(stores.connection_url, self.client(stores), stores.table)

    def client(self, stores: Stores) -> Any:
        """A client for the embedded DynamoDB, the same one for the whole run."""
        from . import copies

        if self._client is None:
            self._client = copies.client(stores.endpoint)
        return self._client

    def end(self) -> None:
        """Stops the engines, if any process of the run started them, and deletes their data; a worker does not."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self._owner and self.folder.exists():
            self._remove(self.folder)

    def _remove(self, folder: Path) -> None:
        if (folder / "stack").exists():
            with suppress(Unavailable):
                self._cruddur("local", "reset", "--yes", "--quiet", stack=folder / "stack")
        shutil.rmtree(folder, ignore_errors=True)

    def _enter(self) -> None:
        """Makes the folder, and holds it as long as this process lives; first it ends the runs that were killed."""
        base = self.folder.parent
        base.mkdir(mode=0o711, exist_ok=True)
        if base.is_symlink() or base.stat().st_uid != os.geteuid():
            raise Unavailable(f"{base} belongs to another user. Remove it, or set TMPDIR to another folder.")
        with _locked(base / "lock"):
            for folder in [each for each in base.iterdir() if each.is_dir() and each != self.folder]:
                if _is_free(folder):
                    self._remove(folder)
            # PostgreSQL's account passes through, where root runs the tests.
            self.folder.mkdir(mode=0o711, exist_ok=True)
            self._lock = os.open(self.folder / "alive", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_SH)

    def _session(self) -> dict[str, Any]:
        path = self.folder / "session.json"
        if not path.exists():
            found = self._start()
            unfinished = path.with_suffix(".new")
            unfinished.touch(mode=0o600)
            unfinished.write_text(json.dumps(found), encoding="utf-8")
            unfinished.replace(path)
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return read

    def _start(self) -> dict[str, Any]:
        """The engines, filled by the checkout's schema, migrations and seed; and what a copy of them is made from."""
        from . import copies

        self._cruddur("local", "up", "--quiet")
        # In the checkout, for its SQL files. These variables come before the stores that its cruddur.toml names.
        self._cruddur("setup", "--quiet", folder=self._root, variables=self._variables())
        stores = Stores(self._variables())
        copies.make_templates(stores.connection_url)
        return {"variables": dict(stores.variables), "items": copies.items(self.client(stores), stores.table)}

    def _variables(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self._cruddur("local", "env", "-o", "json", "--quiet"))
        return found

    def _cruddur(
        self,
        *arguments: str,
        folder: Path | None = None,
        variables: Mapping[str, str] | None = None,
        stack: Path | None = None,
    ) -> str:
        """What the program prints on stdout. It sees the run's stack alone."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
        own = {**_OWN, **(variables or {}), "CRUDDUR_HOME": str(stack or self.folder / "stack")}
        try:
            done = subprocess.run(
                [*self._command, *arguments],
                env={**kept, **own},
                cwd=folder or (stack or self.folder / "stack").parent,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            raise Unavailable(f"{shlex.join(self._command)} cannot be run: {error.strerror}. Set {COMMAND}.") from error
        if done.returncode:
            said = done.stderr.strip() or f"exit code {done.returncode}"
            kind = SetupFailed if arguments[0] == "setup" else Unavailable
            other = f"\nIf the engines are in another environment, name its cruddur in {COMMAND}."
            elsewhere = "" if self._is_named or kind is SetupFailed else other
            failed = f"`cruddur {' '.join(arguments[:2])}` failed"
            raise kind(f"There are no stores for the tests: {failed}.\n{said}{elsewhere}")
        return done.stdout


def new_folder() -> Path:
    """A name for the folder of a run; nothing is made."""
    return Path(tempfile.gettempdir(), f"cruddur-pytest-{os.geteuid()}", secrets.token_hex(4))


def _is_free(folder: Path) -> bool:
    """Whether no living process holds a run's folder."""
    with (folder / "alive").open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
