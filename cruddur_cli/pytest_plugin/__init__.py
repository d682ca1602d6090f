"""The pytest plugin: a PostgreSQL and a DynamoDB for an application's tests (docs/testing-your-app.md).

Every pytest in an environment with cruddur loads this module. So it imports only pytest and modules of Python before a
fixture is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from .run import COMMAND, Run, SetupFailed, Stores, Unavailable, new_folder

__all__ = ["Stores"]

_RUN: pytest.StashKey[Run] = pytest.StashKey()
_SESSION = "CRUDDUR_PYTEST_SESSION"  # the folder of the run, for the workers of pytest-xdist
# A profile or a session of the developer's own AWS account must not be used together with the dummy credentials.
_UNWANTED = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN")
_SHOWS_ONLY = {"--help", "-h", "--version", "-V", "--fixtures", "--markers"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's settings for pytest.ini and pyproject.toml."""
    parser.addini(
        "cruddur_env",
        "Start the engines and set the application's variables before conftest.py is imported.",
        type="bool",
        default=False,
    )
    parser.addini("cruddur_command", f"The program that starts the engines. The variable {COMMAND} has precedence.")
    parser.addini(
        "cruddur_unavailable", "Without the engines, 'fail' or 'skip' the tests that need them.", default="fail"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """With ``cruddur_env``, start the engines and set the variables before the application is imported."""
    if not early_config.getini("cruddur_env") or _SHOWS_ONLY & set(args):
        return
    run = _run(early_config)
    for name in _UNWANTED:
        os.environ.pop(name, None)
    try:
        os.environ.update(run.stores(_worker()).variables)
    except Unavailable as error:
        if isinstance(error, SetupFailed) or early_config.getini("cruddur_unavailable") != "skip":
            run.end()
            raise pytest.UsageError(str(error)) from error


def pytest_configure(config: pytest.Config) -> None:
    """Choose the folder of the run. The workers of pytest-xdist start later and inherit its name."""
    wanted = config.getini("cruddur_unavailable")
    if wanted not in {"fail", "skip"}:
        raise pytest.UsageError(f"cruddur_unavailable is {wanted!r}; write fail or skip")
    _run(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the engines and delete their data, in the process that began the run."""
    if _RUN in config.stash:
        config.stash[_RUN].end()
        del config.stash[_RUN]


@pytest.fixture(scope="session")
def cruddur_stores(pytestconfig: pytest.Config) -> Iterator[Stores]:
    """A PostgreSQL and a DynamoDB with the application's schema, migrations and seed. The variables name them.

    They start once in a test run. Each worker of pytest-xdist has a database and a table of its own in them.
    """
    problem: Unavailable | None = None
    try:
        with _environment({}):
            stores = _run(pytestconfig).stores(_worker())
    except Unavailable as error:
        problem = error
    # Raised outside of the handler, because pytest would otherwise show the reason twice.
    if problem is not None:
        if pytestconfig.getini("cruddur_unavailable") == "skip" and not isinstance(problem, SetupFailed):
            pytest.skip(str(problem))
        pytest.fail(str(problem), pytrace=False)
    with _environment(stores.variables):
        yield stores


@pytest.fixture
def cruddur_database(cruddur_stores: Stores) -> Iterator[str]:
    """The URL of a database for this test only, with the application's tables and no rows. CONNECTION_URL names it."""
    from . import copies

    with copies.empty_database(cruddur_stores.connection_url) as url, _environment({"CONNECTION_URL": url}):
        yield url


@pytest.fixture
def cruddur_table(cruddur_stores: Stores, pytestconfig: pytest.Config) -> Iterator[str]:
    """The name of an empty table for this test only. DDB_MESSAGE_TABLE names it."""
    from . import copies

    client = _run(pytestconfig).client(cruddur_stores)
    with copies.empty_table(client, cruddur_stores.table) as name, _environment({"DDB_MESSAGE_TABLE": name}):
        yield name


@pytest.fixture
def cruddur_seeded(cruddur_stores: Stores, pytestconfig: pytest.Config) -> Stores:
    """The stores that the variables name, with only the seeded rows: changes of earlier tests are undone.

    Database and table keep their names. So this is for an application that connects when it is imported. A changed
    schema is not restored.
    """
    _run(pytestconfig).seed(cruddur_stores)
    return cruddur_stores


def _run(config: pytest.Config) -> Run:
    if _RUN not in config.stash:
        command = os.environ.get(COMMAND) or config.getini("cruddur_command")
        if _worker() is None:
            os.environ[_SESSION] = f"{os.getpid()} {new_folder()}"
        folder = os.environ[_SESSION].partition(" ")[2]
        config.stash[_RUN] = Run(Path(folder), command, config.rootpath, owner=_worker() is None)
    return config.stash[_RUN]


def _worker() -> str | None:
    """The name of this worker of pytest-xdist, such as gw0; None in a run without workers, and in its first process.

    A pytest that a test starts inherits the variables of its worker, but is not a worker. So the process id is checked.
    """
    if os.environ.get(_SESSION, "").partition(" ")[0] != str(os.getppid()):
        return None
    return os.environ.get("PYTEST_XDIST_WORKER")


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in _UNWANTED:
            patch.delenv(name, raising=False)
        for name, value in variables.items():
            patch.setenv(name, value)
        yield
