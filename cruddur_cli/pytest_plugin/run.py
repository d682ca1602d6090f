"""A test run: its folder, the engines that ``cruddur`` starts in it, and the stores of each worker.

``cruddur`` can be a program of another environment, because the application may need another version of botocore than
the embedded AWS.
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
# Programs that are started here must not read the developer's settings, which could name a store with real data.
_SETTINGS = ("AWS_", "PG", "CRUDDUR_", "DDB_", "PROD_", "DB_SG_", "CONNECTION_URL", "DATABASE_URL", "GITPOD_")
# No DynamoDB answers on port 9. So one on port 8000 is not used.
_OWN = {"CRUDDUR_LOCAL_DYNAMODB": "http://127.0.0.1:9", "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1"}


class Unavailable(Exception):
    """The engines cannot be started. The message has the reason and the command that helps."""


class SetupFailed(Unavailable):
    """The engines run, but the checkout's schema, seed or migrations fail. Tests are not skipped because of this."""


@dataclass(frozen=True)
class Stores:
    """The stores of a test run; ``variables`` are the environment variables that the application reads."""

    variables: Mapping[str, str]

    @property
    def connection_url(self) -> str:
        """PostgreSQL's URL, with its password."""
        return self.variables["CONNECTION_URL"]

    @property
    def endpoint(self) -> str:
        """The URL of DynamoDB and Cognito."""
        return self.variables["AWS_ENDPOINT_URL_DYNAMODB"]

    @property
    def table(self) -> str:
        """The name of the DynamoDB table."""
        return self.variables["DDB_MESSAGE_TABLE"]

    def __repr__(self) -> str:
        """Without the password."""
        return f"Stores(endpoint={self.endpoint!r}, table={self.table!r})"


class Run:
    """One test run. It creates its folder when a process first asks for stores.

    ``owner`` is True in the process that ends the run, and False in the workers of pytest-xdist.
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
                session = self._session()
            stores = Stores(session["variables"])
            if worker is not None:
                url = copies.seeded_database(stores.connection_url, f"cruddur_{worker}")
                table = f"{stores.table}-{worker}"
                copies.seeded_table(self.client(stores), table, session["items"])
                stores = Stores({**stores.variables, "CONNECTION_URL": url, "DDB_MESSAGE_TABLE": table})
            self._stores = stores
        return self._stores

    def seed(self, stores: Stores) -> None:
        """Restore the seeded rows of a worker's database and table."""
        from . import copies

        if self._rows is None:
            self._rows = copies.SeededRows(stores.connection_url, self._session()["items"])
        self._rows.put_back(stores.connection_url, self.client(stores), stores.table)

    def client(self, stores: Stores) -> Any:
        """A client for the embedded DynamoDB, one for the whole run."""
        from . import copies

        if self._client is None:
            self._client = copies.client(stores.endpoint)
        return self._client

    def end(self) -> None:
        """Close the client and, in the owner, stop the engines and delete their data."""
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
        """Create the folder, and lock it while this process lives. Before that, delete the folders of killed runs.

        Raises Unavailable if the folder above belongs to another user.
        """
        base = self.folder.parent
        base.mkdir(mode=0o711, exist_ok=True)
        if base.is_symlink() or base.stat().st_uid != os.geteuid():
            raise Unavailable(f"{base} belongs to another user. Remove it, or set TMPDIR to another folder.")
        with _locked(base / "lock"):
            for folder in [each for each in base.iterdir() if each.is_dir() and each != self.folder]:
                if _is_free(folder):
                    self._remove(folder)
            # If root runs the tests, PostgreSQL's account must be able to enter the folder.
            self.folder.mkdir(mode=0o711, exist_ok=True)
            self._lock = os.open(self.folder / "alive", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_SH)

    def _session(self) -> dict[str, Any]:
        path = self.folder / "session.json"
        if not path.exists():
            started = self._start()
            unfinished = path.with_suffix(".new")
            unfinished.touch(mode=0o600)
            unfinished.write_text(json.dumps(started), encoding="utf-8")
            unfinished.replace(path)
        session: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return session

    def _start(self) -> dict[str, Any]:
        """Start the engines and load the checkout's schema, migrations and seed; return the variables and the items.

        It also creates the databases that the databases of tests are copied from.
        """
        from . import copies

        self._cruddur("local", "up", "--quiet")
        # It runs in the checkout, to find the SQL files. The variables override the stores in the checkout's
        # cruddur.toml.
        self._cruddur("setup", "--quiet", folder=self._root, variables=self._variables())
        stores = Stores(self._variables())
        copies.make_templates(stores.connection_url)
        return {"variables": dict(stores.variables), "items": copies.items(self.client(stores), stores.table)}

    def _variables(self) -> dict[str, str]:
        variables: dict[str, str] = json.loads(self._cruddur("local", "env", "-o", "json", "--quiet"))
        return variables

    def _cruddur(
        self,
        *arguments: str,
        folder: Path | None = None,
        variables: Mapping[str, str] | None = None,
        stack: Path | None = None,
    ) -> str:
        """Run ``cruddur`` with the run's own stack; return its standard output.

        Raises SetupFailed if ``cruddur setup`` fails, and Unavailable for any other failure.
        """
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
        own = {**_OWN, **(variables or {}), "CRUDDUR_HOME": str(stack or self.folder / "stack")}
        try:
            done = subprocess.run(
                [*self._command, *arguments],
                env={**inherited, **own},
                cwd=folder or (stack or self.folder / "stack").parent,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            raise Unavailable(f"{shlex.join(self._command)} cannot be run: {error.strerror}. Set {COMMAND}.") from error
        if done.returncode:
            reason = done.stderr.strip() or f"exit code {done.returncode}"
            kind = SetupFailed if arguments[0] == "setup" else Unavailable
            hint = f"\nIf the engines are in another environment, name its cruddur in {COMMAND}."
            if self._is_named or kind is SetupFailed:
                hint = ""
            failed = f"`cruddur {' '.join(arguments[:2])}` failed"
            raise kind(f"There are no stores for the tests: {failed}.\n{reason}{hint}")
        return done.stdout


def new_folder() -> Path:
    """A new name for the folder of a run. The folder is not created."""
    return Path(tempfile.gettempdir(), f"cruddur-pytest-{os.geteuid()}", secrets.token_hex(4))


def _is_free(folder: Path) -> bool:
    """Whether no living process has locked a run's folder."""
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
