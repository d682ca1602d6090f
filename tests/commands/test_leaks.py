"""No command prints a possible password, for many forms of the environment."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cruddur_cli import masking
from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.cli import main as cli
from cruddur_cli.cli import tree
from tests.conftest import NOWHERE

PASSWORD = "Zq7hidden!x"
# What people write where a connection URL belongs. P stands for the password.
FORMS = [
    "P",
    "user:P",
    "user:P@host",
    "user:P@host/db",
    "user:P@host:5432/db",
    "//user:P@host/db",
    "://user:P@host/db",
    "postgresql:user:P@host/db",
    "postgresql:/user:P@host/db",
    "postgresql//user:P@host/db",
    "postgresql;//user:P@host/db",
    "postgresql:\\\\user:P@host\\db",
    "postgres ql://user:P@host/db",
    " postgresql:// user:P@host/db",
    "'postgresql://user:P@host/db'",
    '"postgresql://user:P@host/db"',
    "<postgresql://user:P@host/db>",
    "CONNECTION_URL=postgresql://user:P@host/db",
    "export CONNECTION_URL=postgresql://user:P@host/db",
    "psql postgresql://user:P@host/db",
    "PGPASSWORD=P psql -h host -U user db",
    "jdbc:postgresql://host/db?user=user&password=P",
    "jdbc:postgresql://user:P@host/db",
    "postgresql+psycopg://user:P@host:port/db",
    "mysql://user:P@host/db",
    "mysql2://user:P@host/db",
    "http://user:P@host/db",
    "https://user:P@host",
    "ftp://P@host",
    "postgresql://user:P@host:port/db",
    "postgresql://user:P@host:5432:5432/db",
    "postgresql://user:P@host:99999999999999999999x/db",
    "postgresql://user:P@@host:x/db",
    "postgresql://user:P@",
    "postgresql://user:P",
    "postgresql://user:P/db",
    "postgresql://user:P/host/db",
    "postgresql://user:P:host/db",
    "postgresql://user:P host/db",
    "postgresql://user@P@host/db",
    "postgresql://user;P@host/db",
    "postgresql://user/P@host/db",
    "postgresql://user?P@host/db",
    "postgresql://user#P@host/db",
    "postgresql://user P@host/db",
    "postgresql:///user:P@host/db",
    "postgresql://host/db:P",
    "postgresql://host/user:P",
    "postgresql://host/db?P",
    "postgresql://host/db?password",
    "postgresql://host/db?passwort=P",
    "postgresql://host/db?pass=P",
    "postgresql://host/db?user=user&password=P&bogus=1",
    "postgresql://user:P@host/db?sslmode",
    "postgresql://user:P@host/db?bogus=P",
    "postgresql://user:P@host/db&bogus=P",
    "postgresql://user:%P@host/%zz",
    "postgresql://user:P%@ho%st/db",
    "postgresql://user:P%zz@[::1/db",
    "postgresql://user:P@[::1/db",
    "postgresql://user:P@::1]/db",
    "postgresql://[user:P@host]/db",
    "host=host user=user password=P bogus=1",
    "host=host user=user password='P",
    "host=host user=user password=P dbname",
    "host=host, user=user, password=P, dbname=db",
    "host:host user:user password:P",
    "Server=host;User Id=user;Password=P;Database=db",
    "Data Source=host;Password=P",
    "{'host': 'host', 'password': 'P'}",
    '{"host": "host", "password": "P"}',
    "host=host pasword=P",
    "user=user P host=host",
    "host:5432:db:user:P",
    "user/P@host",
    "user/P@//host:5432/db",
    "postgresql://user:P@host/db\nP",
    "--password P",
    "-h host -U user -W P",
    "arn:aws:secretsmanager:eu-west-1:123456789012:secret:P",
    "${PASSWORD:-P}",
    "postgresql://user:P@host:5432/db?sslmode=require#P",
    "postgresql://user:P@host1:5432,host2:x/db",
    "postgresql://user:P@host/db/extra",
    "postgresql://user:a:P@host:port/db",
    "postgresql://user:P\\@host/db",
    "postgresql://:P@host:port/db",
    "postgresql://P:@host:port/db",
    "postgresql://user:P@host/db?options=-c password=P",
    "postgresql://user:P@host/db?host=/tmp&&x",
    "postgresql+asyncpg://user:P@host/db?ssl=require",
    "redis://:P@host:6379/0",
    "postgres:P@host",
    "pg://user:P@host/db",
    "POSTGRESQL:\t//user:P@host/db",
    "\ufeffpostgresql://user:P@host:x/db",
    "postgresql：//user:P@host/db",
    "postgresql://user:P＠host/db",
    "postgresql://user:P@host/db?password=P;sslmode=require",
    "DATABASE_URL: postgresql://user:P@host/db",
    "dbname=db host=host user=user password = 'a P",
    "service=x passfile=/x/P password",
    "postgresql://user:P@ssl@host:x/db",
    "op://vault/item/P",
    "postgresql://user%3AP@host/db?x",
]
LOOKS = [
    ["db", "ping", "--debug"],
    ["config"],
    ["config", "-o", "json", "--debug"],
    ["local", "env", "--debug", "-o", "json"],
    ["ddb", "seed", "-n", "--debug"],
    ["db", "ping", "--prod", "--debug", "-o", "json"],
]


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No server answers anywhere, and signal handlers are restored."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", NOWHERE)
    monkeypatch.setattr(aws_client, "TIMEOUTS", aws_client.Timeouts(unreachable=0.1))
    (tmp_path / "file").touch()
    monkeypatch.setenv("CRUDDUR_HOME", str(tmp_path / "file"))  # the embedded stack cannot be started
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_there_are_as_many_forms_as_promised() -> None:
    assert len(set(FORMS)) >= 56


@pytest.mark.parametrize("form", FORMS)
def test_a_connection_string_that_cannot_be_read_is_not_repeated(
    clean: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], form: str
) -> None:
    value = form.replace("P", PASSWORD) if "PASSWORD" not in form else form.replace("P}", f"{PASSWORD}}}")
    if form.startswith("PGP"):
        value = form.replace("=P ", f"={PASSWORD} ")
    for name in ("CONNECTION_URL", "PROD_CONNECTION_URL"):
        monkeypatch.setenv(name, value)
    for command in LOOKS:
        cli.run(command)
        out, err = capfd.readouterr()
        # A URL that libpq can read is what the application is to get.
        shown = err if command[:2] == ["local", "env"] and masking.is_readable(value) else out + err
        assert "hidden" not in shown, command


def hostile() -> dict[str, str]:
    url = f"postgresql://me:{PASSWORD}@127.0.0.1:9/cruddur"
    return {
        "CONNECTION_URL": url,
        "PROD_CONNECTION_URL": url,
        "DATABASE_URL": url,
        "PGPASSWORD": PASSWORD,
        "AWS_ACCESS_KEY_ID": "AKIAhidden7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalr/hidden/K7MDENG",
        "AWS_SESSION_TOKEN": "FwoGhidden9",
        "AWS_ENDPOINT_URL": f"http://me:{PASSWORD}@127.0.0.1:9",
        "AWS_ENDPOINT_URL_DYNAMODB": f"http://me:{PASSWORD}@127.0.0.1:9",
        "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": f"http://me:{PASSWORD}@127.0.0.1:9",
        "AWS_ENDPOINT_URL_EC2": f"http://me:{PASSWORD}@127.0.0.1:9",
        "AWS_ENDPOINT_URL_RDS": f"http://me:{PASSWORD}@127.0.0.1:9",
        "AWS_COGNITO_USER_POOL_ID": f"us-east-1_{PASSWORD}",
        "DB_SG_ID": f"sg:{PASSWORD}@x",
    }


# What a command cannot do without; every other argument is optional.
ARGUMENTS = {
    "send-message": ["hello"],
    "start-conversation": ["bayko", "hello"],
    "import": ["-"],
    "export": ["-"],
    "token": ["bayko"],
    "run": ["true"],
    "new-migration": ["x"],
    "add-user": ["x"],
    "copy": ["--from", "prod"],
    "restore": ["x"],
}
COMMANDS = [path for path in tree.paths() if path not in {("local", "up"), ("local", "reset"), ("local", "down")}]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_no_command_prints_a_password_of_the_environment(
    clean: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], path: tuple[str, ...]
) -> None:
    for name, value in hostile().items():
        monkeypatch.setenv(name, value)
    for flags in (["--debug"], ["--prod", "--debug"]):
        cli.run([*path, *ARGUMENTS.get(path[-1], []), *flags])
        shown = "".join(capfd.readouterr())
        for line in shown.splitlines():
            # The pool's id is no secret, but for the letters of this test.
            assert "hidden" not in line.replace(f"us-east-1_{PASSWORD}", "POOL"), line


@pytest.mark.parametrize("word", ["password", "cruddur", "config", "localhost", "PostgreSQL", "connection"])
def test_a_password_that_is_a_word_leaves_messages_and_hints_as_they_are(
    clean: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], word: str
) -> None:
    def failure(password: str) -> str:
        monkeypatch.setenv("CONNECTION_URL", f"postgresql://me:{password}@127.0.0.1:9/cruddur")
        monkeypatch.setenv("PGPASSWORD", password)
        cli.run(["db", "ping", "-o", "json"])
        error = json.loads(capfd.readouterr().err.splitlines()[-1])["error"]
        return f"{error['message']} {error['hint']}"

    assert failure(word) == failure("Other7!word")
    assert "***" not in failure(word)
