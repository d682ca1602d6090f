"""The entry point: usage errors, exit codes of commands, and that no secret is printed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from tests.commands.conftest import Here
from tests.conftest import Engines, Ran, Run
from tests.terminals import LINES

PASSWORDS = ["plain-Secret1", "!@/%#: with space", "p%40ss%2Fw%C3%B6rd", "12/34@56", "/cruddur@%"]


def error_of(ran: Ran) -> dict[str, str]:
    """The error object that ``-o json`` leaves as the last line on stderr."""
    error: dict[str, str] = json.loads(ran.err.splitlines()[-1])["error"]
    assert {"code", "message", "hint"} <= error.keys()
    return error


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ddb scan --limit many", "'many' is not a whole number"),
        ("ddb scan --limit 0", "0 is not in the range"),
        ("ddb scan --nonsense", "No such option: --nonsense"),
        ("ddb scan --limit", "requires an argument"),
        ("ddb scan extra", "Not expected: (extra)"),
        ("ddb scan -o xml", "'table', 'json', 'jsonl', 'csv'"),
        ("ddb list-conversations --year 1 --since 2026", "--year cannot be used with"),
        ("nonsense", "No such command 'nonsense'"),
    ],
)
def test_a_usage_error_is_one_sentence_and_exit_code_2(here: Here, line: str, message: str) -> None:
    ran = here(*line.split())
    assert (ran.code, ran.out) == (2, "")
    first, *rest = ran.err.splitlines()
    assert first.startswith("cruddur")
    assert message in first
    assert len(rest) <= 1


def test_a_usage_error_is_an_object_with_output_json(here: Here) -> None:
    for line in ("ddb scan -o json --nonsense", "ddb scan --nonsense -ojson", "ddb scan --output=json --nonsense"):
        ran = here(*line.split())
        assert ran.code == 2
        assert error_of(ran)["code"] == "usage"
        assert error_of(ran)["hint"] == "cruddur ddb scan --help"


@pytest.mark.parametrize(
    "line",
    [
        "ddb seed prod",
        "db setup prod",
        "setup production",
        "prod",
        "ddb drop --debug prod",
        "ddb list-conversations PROD",
        "db ping prod -o json",
        "ddb scan prod -o json",
    ],
)
def test_a_trailing_word_prod_is_refused_and_the_hint_has_the_flag(here: Here, line: str) -> None:
    ran = here(*line.split())
    assert ran.code == 2
    assert "--prod" in ran.err


@pytest.mark.parametrize(
    "line",
    [
        "ddb copy --from prod prod",
        "ddb copy prod",
        "ddb copy prod --from prod",
        "ddb copy --from prod -o json PRODUCTION",
        "ddb copy --from prod --verbatim prod",
    ],
)
def test_the_hint_for_copy_is_from_prod(here: Here, line: str) -> None:
    ran = here(*line.split())
    assert ran.code == 2
    hint = error_of(ran)["hint"] if "json" in line else ran.err.partition("next: ")[2].rstrip()
    assert hint == "cruddur ddb copy --from prod"


def test_the_word_prod_before_an_option_is_not_a_table(here: Here) -> None:
    ran = here("ddb", "seed", "prod", "-n")
    assert ran.code == 2
    assert ran.err.endswith("next: cruddur ddb seed --prod\n")


def test_the_table_prod_is_refused_and_the_hint_has_the_flag(cruddur: Run) -> None:
    typed, set_before = (
        cruddur("ddb", "seed", "--table", "prod"),
        cruddur("ddb", "drop", env={"DDB_MESSAGE_TABLE": "prod"}),
    )
    for ran, code in ((typed, 2), (set_before, 3)):
        assert ran.code == code
        assert "--prod" in ran.err


@pytest.mark.parametrize("seconds", ["nan", "inf", "1e308"])
@pytest.mark.parametrize(
    "words",
    [("db", "sessions", "--watch", "--interval"), ("db", "diff", "--statement-timeout"), ("db", "sessions", "--idle")],
)
def test_seconds_out_of_range_are_refused(cruddur: Run, words: tuple[str, ...], seconds: str) -> None:
    ran = cruddur(*words, seconds)
    assert (ran.code, ran.out) == (2, "")
    assert f"{words[-1]} {float(seconds):g} is not a number of seconds" in ran.err


@pytest.mark.parametrize("option", ["--install-completion", "--show-completion"])
def test_install_completion_takes_no_shell_name(cruddur: Run, option: str) -> None:
    ran = cruddur(option, "bash")
    assert (ran.code, ran.out) == (2, "")
    assert f"{option} takes no value" in ran.err


def test_no_color_may_stand_before_the_group(cruddur: Run) -> None:
    assert cruddur("--no-color", "ddb", "--help").code == 0


def test_an_error_of_a_store_is_an_object_and_stdout_stays_empty(here: Here) -> None:
    ran = here("ddb", "get-conversation", "-o", "json")
    assert (ran.code, ran.out) == (5, "")
    assert error_of(ran)["code"] == "table_not_found"
    assert error_of(ran)["hint"].startswith("cruddur ddb schema-load --table ")


def test_an_unknown_handle_lists_the_handles(here: Here) -> None:
    ran = here("ddb", "list-conversations", "bajko", "-o", "json")
    assert ran.code == 5
    assert json.loads(ran.err.splitlines()[-1])["error"]["handles"] == ["altbrown", "andrewbrown", "bayko", "londo"]
    assert "Did you mean 'bayko'?" in error_of(ran)["message"]


@pytest.mark.parametrize("password", PASSWORDS)
def test_no_password_and_no_key_is_printed_by_a_failure(
    environment: dict[str, str], password: str, tmp_path: Path
) -> None:
    url = f"postgresql://somebody:{password}@127.0.0.1:9/cruddur"
    (tmp_path / "home" / "cruddur.toml").write_text(f'[prod]\nconnection_url = "{url}"\n')
    environment |= {
        "CONNECTION_URL": url.replace(":9/", ":nine/"),
        "DATABASE_URL": url,
        "AWS_ACCESS_KEY_ID": "AKIAHIDDENKEY",
        "AWS_SECRET_ACCESS_KEY": "wJalrHIDDEN",
        "AWS_SESSION_TOKEN": "tokHIDDEN",
    }
    lines = ["db ping --debug", "config", "config -o json", "db ping --prod --debug", "ddb scan --debug -o json"]
    done = subprocess.run(
        [sys.executable, "-c", LINES, *lines], env=environment, cwd=tmp_path / "home", capture_output=True, check=False
    )
    shown = (done.stdout + done.stderr).decode()
    assert "is not a valid PostgreSQL URL" in shown
    assert "connection refused" in shown
    assert shown.count("most recent call last") >= 3
    for secret in (password, unquote(password), quote(password, safe=""), "HIDDEN"):
        assert secret not in shown


def test_debug_shows_the_traceback_and_the_requests(here: Here) -> None:
    ran = here("ddb", "list-tables", "--debug")
    assert "debug: ListTables" in ran.err
    assert "Traceback" not in ran.err
    ran = here("ddb", "get-conversation", "--debug")
    assert "Traceback" in ran.err
    assert "Traceback" not in here("ddb", "get-conversation").err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_waiting_command_with_one_line_and_its_code(
    environment: dict[str, str], number: signal.Signals, code: int
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        environment["CONNECTION_URL"] = f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/d?connect_timeout=60"
        process = subprocess.Popen(
            [sys.executable, "-m", "cruddur_cli", "db", "ping"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        silent.settimeout(30)
        connection, _ = silent.accept()  # now it waits for an answer that never comes
        os.kill(process.pid, number)
        out, err = process.communicate(timeout=30)
        connection.close()
    assert (process.returncode, out) == (code, "")
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err


def test_a_command_under_nohup_ignores_hangups(environment: dict[str, str]) -> None:
    code = (
        "import signal, os, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.executable, sys.argv[1:])"
    )
    probe = (
        "import os, signal; from cruddur_cli.cli import main; main.run(['--version']); "
        "os.kill(os.getpid(), signal.SIGHUP)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, sys.executable, "-c", probe], env=environment, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    "line",
    [
        [b"ddb", b"seed", b"--my-handle", b"\xff"],
        [b"db", b"add-user", b"caf\xe9"],
        [b"\xff"],
        [b"ddb", b"list-conversations", b"--", b"\xff"],
        [b"ddb", b"send-message", b"--", b"- caf\xe9"],
    ],
)
def test_an_argument_that_is_not_utf_8_is_refused_in_one_line(environment: dict[str, str], line: list[bytes]) -> None:
    command = [sys.executable.encode(), b"-m", b"cruddur_cli", *line]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert f"Argument {len(line)} is not valid UTF-8.".encode() in done.stderr
    assert len(done.stderr.splitlines()) == 2, "and where to look"


def test_a_handle_of_100_000_characters_is_shortened_in_an_error(here: Here) -> None:
    for line in (["ddb", "list-conversations", "h" * 100_000], ["ddb", "get-conversation", "--with", "h" * 100_000]):
        ran = here(*line)
        assert ran.code != 0
        assert len(ran.err) < 2_000
        assert "(100," in ran.err


def test_hints_of_a_command_for_production_have_prod(
    here: Here, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROD_CONNECTION_URL", engines.database_url("not_there"))
    ran = here("db", "ping", "--prod", "-o", "json")
    assert (ran.code, error_of(ran)["hint"]) == (5, "cruddur db setup --prod")


def test_a_deleted_current_folder_is_reported(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    ran = here("setup")
    assert (ran.code, "The current folder does not exist any more." in ran.err) == (1, True), ran.err


def test_a_damaged_module_file_is_an_unexpected_error_and_no_interrupt(
    environment: dict[str, str], tmp_path: Path
) -> None:
    environment |= {"PYTHONPYCACHEPREFIX": str(tmp_path / "cache")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "cruddur_cli", "config"]
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
    (cached,) = (path for path in (tmp_path / "cache").rglob("stack.*.pyc") if path.parent.name == "local")
    cached.write_bytes(cached.read_bytes()[:40])
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "unexpected EOFError: marshal data too short" in ran.stderr
    assert "interrupted" not in ran.stderr
