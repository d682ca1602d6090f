"""Real engines for every test, and nothing of the developer's own machine."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from cruddur_cli.aws import user_pool
from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.commands.shared import seed_files
from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB, opened
from cruddur_cli.local import stack
from tests import clock, libraries, processes, runs, waiting
from tests.postgres import servers

_OURS = (
    "AWS_",
    "PG",
    "CRUDDUR_",
    "DDB_",
    "PROD_",
    "CONNECTION_URL",
    "DATABASE_URL",
    "GITPOD",
    "CODESPACES",
    "DB_SG_",
    "GITHUB_",
)
_TERMINAL = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM", "CI")
NOWHERE = "http://127.0.0.1:9"  # the discard port: a request that should not be made fails there at once
SEEDED = "5ae290ed-55d1-47a0-bc6d-fe2bc2700399"


# Started in the background or under nohup, the tests have these ignored, and every command would inherit that.
for _signal in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, signal.default_int_handler if _signal is signal.SIGINT else signal.SIG_DFL)

libraries.keep()


def _is_foreign(name: str) -> bool:
    return name.startswith(_OURS) or name in _TERMINAL or name.lower().endswith("_proxy")


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty HOME, an empty folder, no variable that any store listens to, and no way off this machine."""
    for name in [name for name in os.environ if _is_foreign(name)]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    for name, value in _clean(home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(home)
    connect = socket.socket.connect

    def loopback_only(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(
            ("127.", "::1", "localhost")
        ):
            raise AssertionError(f"a test tried to reach {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", loopback_only)


def _clean(home: Path) -> dict[str, str]:
    """What isolates a process: also the port where a developer's own DynamoDB Local may run is not looked at."""
    return {
        "HOME": str(home),
        # What a person types, in a line that is pasted, is the program under test.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "XDG_DATA_HOME": str(home / "data"),
        "CRUDDUR_LOCAL_DYNAMODB": NOWHERE,
        "AWS_EC2_METADATA_DISABLED": "true",
        "CRUDDUR_ADDRESS_SERVICES": f"{NOWHERE},http://localhost:9",
        "HTTP_PROXY": NOWHERE,
        "HTTPS_PROXY": NOWHERE,
    }


@dataclass(frozen=True)
class Engines:
    """The embedded stack that all tests share: its state directory and where it answers."""

    home: str
    postgres_url: str
    aws: str

    def database_url(self, name: str) -> str:
        """The URL of one database on the shared server."""
        return urlunsplit(urlsplit(self.postgres_url)._replace(path=f"/{name}"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--today",
        type=lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC),
        help="run the tests as if it were this time, in UTC: 2028-02-29T12:00",
    )


_RUN = pytest.StashKey[runs.Run]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    run = config.stash[_RUN] = runs.begin(config)
    if config.option.basetemp is None:
        config.option.basetemp = run.temporary / "pytest"
    # Each process of xdist sets its own clock; it cannot begin as a program under test does, with the product imported.
    spreads = config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput")
    if (today := config.getoption("today")) and not spreads:
        clock.set_to(today, folder=run.temporary)


def pytest_collection_finish() -> None:
    """What was collected stays to the end: nobody needs to look through it for cycles, and a copy of this process
    shares it for as long as nobody does."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    if _RUN in config.stash and not hasattr(config, "workerinput"):
        config.stash[_RUN].end()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """None for a few files; else two for each core, because many tests wait for what they started."""
    chosen = [Path(argument.partition("::")[0]) for argument in config.args]
    if len(chosen) <= 5 and all(path.suffix == ".py" for path in chosen):
        return 0
    cores = os.cpu_count() or 1
    # On a machine that is busy already, more of them make each slower.
    return cores if os.getloadavg()[0] > 2 * cores else 2 * cores


@pytest.fixture(scope="session")
def this_run(pytestconfig: pytest.Config) -> runs.Run:
    """The run of the tests that this process is part of."""
    return pytestconfig.stash[_RUN]


@pytest.fixture
def today(tmp_path: Path) -> Iterator[Callable[[datetime], None]]:
    """Sets the clock: of this process, and of commands that ``cruddur`` starts from then on. It runs on from there."""
    with clock.kept():
        yield lambda moment: clock.set_to(moment, folder=tmp_path)


@pytest.fixture
def soon() -> Iterator[None]:
    """Fails a test that waits for ever: for a lock, a pipe, or the end of a loop."""
    with waiting.no_longer_than(20):
        yield


@pytest.fixture(scope="session")
def postgres_majors() -> list[int]:
    """The majors of PostgreSQL that this machine has, beside the embedded one; see tests/postgres/servers.py."""
    return [major for major in servers.MAJORS if servers.programs(major)]


@pytest.fixture(scope="session")
def postgres_server(this_run: runs.Run, postgres_majors: list[int]) -> Callable[[int], str]:
    """The URL of the maintenance database of a major, whose server is started once for all processes of the run."""

    def server(major: int) -> str:
        if major not in postgres_majors:
            pytest.skip(f"no PostgreSQL {major} on this machine; .ci/run fetches one")
        name = f"postgresql-{major}"
        return this_run.once(name, lambda: servers.start(this_run.own(name), major))

    return server


@pytest.fixture
def postgres_database(postgres_server: Callable[[int], str]) -> Iterator[Callable[[int], str]]:
    """The URL of an empty database of this test's own, on the server of a major; another one at each call."""
    with ExitStack() as databases:
        yield lambda major: databases.enter_context(servers.database(postgres_server(major)))


@pytest.fixture(scope="session")
def engines(this_run: runs.Run) -> Iterator[Engines]:
    """A real PostgreSQL and a real AWS emulator, started once in each process that runs tests."""
    home = str(this_run.own(os.environ.get("PYTEST_XDIST_WORKER", "alone")) / "cruddur")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRUDDUR_HOME", home)
        found = stack.up()
    assert found.postgres_url is not None
    assert found.aws_endpoint is not None
    made = Engines(home, found.postgres_url, found.aws_endpoint)
    servers.hasten(made.database_url("postgres"))
    _add_stranger(made.aws)
    try:
        yield made
    finally:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CRUDDUR_HOME", home)
            stack.reset()


def _add_stranger(url: str) -> None:
    """Put somebody into the demo pool, which all databases of a process share: no test may count its people."""
    at = aws_client.Endpoint("cognito-idp", url, None, "the engine")
    client = aws_client.open_client(at)
    pool, _ = user_pool.make_demo_pool(client, at)
    stranger = ("another-stranger", "A Person of Another Database", "stranger@example.com")
    user_pool.add_people(user_pool.Cognito(client, at, pool), [stranger])
    client.close()


@pytest.fixture(scope="session")
def emulator(engines: Engines) -> str:
    """The endpoint of the embedded DynamoDB, over HTTP."""
    return engines.aws


@pytest.fixture(scope="session")
def dynamodb_local() -> str | None:
    """The endpoint of DynamoDB Local for cross-checks, where the machine has one (``.ci/run`` starts it)."""
    return os.environ.get("TEST_DYNAMODB_LOCAL") or None


@pytest.fixture(scope="session")
def template(engines: Engines) -> str:
    """The name of a database with the schema and the seeded users, copied for each test."""
    import psycopg

    name = "cruddur_template"
    with psycopg.connect(engines.database_url("postgres"), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
    with psycopg.connect(engines.database_url(name)) as conn:
        conn.execute(seed_files.text("schema.sql").encode())
        conn.execute(seed_files.text("users.sql").encode())
    return name


@pytest.fixture(scope="session")
def databases(engines: Engines) -> Iterator[servers.Spares]:
    """The databases of the tests of this process."""
    made = servers.Spares(engines.database_url("postgres"))
    yield made
    made.close()


@pytest.fixture
def empty_database(databases: servers.Spares) -> Iterator[str]:
    """The URL of an empty database of this test's own."""
    with databases.lend("template0") as url:
        yield url


@pytest.fixture
def database(databases: servers.Spares, template: str) -> Iterator[str]:
    """The URL of a database of this test's own, with schema and seeded users."""
    with databases.lend(template) as url:
        yield url


@pytest.fixture(params=["embedded", "dynamodb-local"])
def endpoint(request: pytest.FixtureRequest, emulator: str, dynamodb_local: str | None) -> str:
    """Each DynamoDB engine there is in turn."""
    if request.param == "embedded":
        return emulator
    if dynamodb_local is None:
        pytest.skip("no DynamoDB Local on this machine; .ci/run starts one")
    return dynamodb_local


@pytest.fixture
def dynamodb(endpoint: str) -> Iterator[DynamoDB]:
    """An opened message store with an empty table of this test's own."""
    at = aws_client.Endpoint("dynamodb", endpoint, aws_client.LOCAL_REGION, f"DynamoDB at {endpoint}")
    with opened(at, f"test-{uuid.uuid4().hex[:12]}") as store:
        tables.create(store, say=lambda _: None)
        yield store
        tables.drop(store, say=lambda _: None)


@dataclass(frozen=True)
class Ran:
    """What a command left: exit code, and both streams as text."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def environment(engines: Engines, database: str, tmp_path: Path) -> dict[str, str]:
    """The environment of a command in a process of its own: this test's database and table, and nothing else."""
    kept = {name: value for name, value in os.environ.items() if not _is_foreign(name)}
    return {
        **kept,
        **_clean(tmp_path / "home"),
        "CRUDDUR_HOME": engines.home,
        "CONNECTION_URL": database,
        "AWS_ENDPOINT_URL_DYNAMODB": engines.aws,
        "DDB_MESSAGE_TABLE": f"test-{uuid.uuid4().hex[:12]}",
    }


@pytest.fixture
def cruddur(environment: dict[str, str], tmp_path: Path) -> Run:
    """Runs the real command in a process of its own, through pipes; ``env`` adds variables, None removes one."""

    def run(*arguments: str, env: dict[str, str | None] | None = None, stdin: str = "", timeout_s: float = 60) -> Ran:
        merged: dict[str, str | None] = {**environment, **clock.environment(), **(env or {})}
        done = processes.run(
            arguments,
            environment={name: value for name, value in merged.items() if value is not None},
            cwd=tmp_path / "home",
            stdin=stdin.encode(),
            timeout_s=timeout_s,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run
