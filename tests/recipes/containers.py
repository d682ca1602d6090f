"""What stands in for the images that recipes name: a real PostgreSQL and the tests' DynamoDB engine, on their ports."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB, opened
from cruddur_cli.local import binaries
from cruddur_cli.local.engine import as_user
from tests.postgres import servers
from tests.recipes.machine import Failed, Machine, Unknown, address, known

TABLE = "cruddur-messages"
IMAGES = {"postgres": 5432, "amazon/dynamodb-local": 8000}


@dataclass
class Forwarder:
    """Passes on what arrives at one address and port to another; it is what publishing a port is."""

    here: tuple[str, int]
    there: tuple[str, int]
    # The engine of the tests answers only to its own name: what requests say is changed to it.
    renames: bool = False
    _listener: socket.socket = field(init=False)
    _connections: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(self.here)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                incoming, _ = self._listener.accept()
                try:
                    outgoing = socket.create_connection(self.there)
                except OSError:
                    incoming.close()
                    continue
                self._connections += [incoming, outgoing]
                for source, target in ((incoming, outgoing), (outgoing, incoming)):
                    renames = self.renames and source is incoming
                    threading.Thread(target=self._pump, args=(source, target, renames), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, renames: bool) -> None:
        there = f"\r\nHost: {self.there[0]}:{self.there[1]}".encode()
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(re.sub(rb"\r\nHost: [\w.]+:\d+", there, data) if renames else data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End, with all connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


@dataclass
class Containers:
    """The containers of one job; ``emulator`` is the URL of the DynamoDB engine."""

    folder: Path
    emulator: str
    running: dict[str, Container] = field(default_factory=dict)
    _addresses: dict[str, str] = field(default_factory=dict)

    def address(self, name: str) -> str:
        """The address of a container, which stays the same when it is started again."""
        return self._addresses.setdefault(name, address())

    def start(self, name: str, image: str, environment: Mapping[str, str], *, kept: Path | None = None) -> Container:
        """Start a container, whose data are in ``kept``, or else are new. Raises Failed if it ends at once."""
        repository, _, tag = image.partition(":")
        if repository not in IMAGES or not re.fullmatch(r"\d+(\.\d+)*", tag):
            raise Unknown(f"{name}: the image {image}")
        machine = Machine(self.folder / f"container-{name}", address=self.address(name))
        container = self.running[name] = Container(machine, IMAGES[repository])
        if repository == "postgres":
            container.environment = _postgres(name, machine, kept or machine.folder / "volume", environment)
        else:
            known(environment, (), name)
            if kept is None or not kept.exists():
                self.forget()
            if kept is not None:
                kept.mkdir(parents=True, exist_ok=True)
            machine.install("curl")
            at = self.emulator.rpartition("/")[2].split(":")
            container.forwarders.append(Forwarder((machine.address, 8000), (at[0], int(at[1])), renames=True))
        return container

    def filled(self) -> bool:
        """Whether the DynamoDB engine has the table."""
        with self._table() as store:
            return tables.exists(store)

    def forget(self) -> None:
        """Delete the table in the DynamoDB engine."""
        with self._table() as store:
            tables.drop(store, say=lambda _: None)

    def _table(self) -> AbstractContextManager[DynamoDB]:
        at = aws_client.Endpoint("dynamodb", self.emulator, aws_client.LOCAL_REGION, "the engine of the tests")
        return opened(at, TABLE)

    def end(self) -> None:
        """Stop them all."""
        for container in self.running.values():
            container.end()
        if self.running:
            self.forget()
        self.running.clear()


@dataclass
class Container:
    """One container: its machine, the port that its program listens on, and its variables."""

    machine: Machine
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    forwarders: list[Forwarder] = field(default_factory=list)

    def publish(self, address: str, port: int, inner: int) -> None:
        """Make its port ``inner`` reachable at an address and port. Nothing answers at another one than its own."""
        self.forwarders.append(Forwarder((address, port), (self.machine.address, inner)))

    def wait(self, name: str, command: list[str], *, at_most_s: float) -> None:
        """Return once its health check succeeds. Raises Failed."""
        for _ in range(max(1, round(at_most_s / 0.1))):
            try:
                self.machine.run(name, command, folder=self.machine.folder, env=self.environment, timeout_s=10)
            except Failed as failed:
                last = failed
                time.sleep(0.1)
            else:
                return
        raise Failed(f"{name} is not healthy: {last}")

    def end(self) -> None:
        """Stop it."""
        for forwarder in self.forwarders:
            forwarder.close()
        self.machine.end()
        shutil.rmtree(self.machine.folder, ignore_errors=True)


def _postgres(name: str, machine: Machine, folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Start PostgreSQL as its image does, and return what its variables are inside."""
    known(environment, ("POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"), name)
    if not environment.get("POSTGRES_PASSWORD"):
        raise Failed(f"{name}: Error: Database is uninitialized and superuser password is not specified.")
    user = environment.get("POSTGRES_USER", "postgres")
    runner = binaries.account(folder / "data")
    install, _ = binaries.locate(runner, machine.folder.parent)  # one copy for all, where one is needed
    programs = install / "bin"

    def run(folder: Path, program: str, *arguments: str, stdin: str = "") -> None:
        command = [str(programs / program), *arguments]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False, cwd=folder, **as_user(runner)
        )
        assert done.returncode == 0, done.stderr

    data = folder / "data"
    if not data.exists():
        folder.mkdir(parents=True, exist_ok=True)
        # The same for each container with these variables: it is made once, and copied.
        made = machine.folder.parent / f"new-{hashlib.sha256(repr(sorted(environment.items())).encode()).hexdigest()}"
        if not made.exists():
            made.mkdir()
            secret = made / "password"
            secret.write_text(environment["POSTGRES_PASSWORD"])
            if runner is not None:
                for path in (made, secret):
                    os.chown(path, runner.uid, runner.gid)
            run(made, "initdb", "-D", "data", "-U", user, "--pwfile=password", "-A", "scram-sha-256", "-E", "UTF8",
                "--locale=C.UTF-8", "--no-sync")  # fmt: skip
            with (made / "data" / "pg_hba.conf").open("a") as rules:
                rules.write("host all all all scram-sha-256\n")
            if (database := environment.get("POSTGRES_DB", user)) != "postgres":
                run(made, "postgres", "--single", "-D", "data", "postgres", stdin=f'CREATE DATABASE "{database}";\n')
        subprocess.run(["cp", "-a", str(made / "data"), str(data)], check=True)
    settings = {"listen_addresses": machine.address, "unix_socket_directories": "", "port": "5432", **servers.QUICK}
    command = [str(programs / "postgres"), "-D", str(data)]
    command += [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
    with (machine.folder / "log").open("ab") as log:
        subprocess.Popen(
            command, cwd=folder, env=machine.variables({}), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, **as_user(runner),
        )  # fmt: skip
    machine.install(binaries_client())
    return {"PGHOST": machine.address, **environment}


def binaries_client() -> str:
    """Where pg_isready is."""
    found = binaries.client("pg_isready")
    assert found is not None
    return found
