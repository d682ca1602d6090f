"""Help costs no SDK, no database driver and no engine: what a fresh interpreter has imported afterwards."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from cruddur_cli.cli import tree

from .conftest import Run

HEAVY = {"boto3", "botocore", "psycopg", "pydantic", "ministack", "hypercorn", "moto", "dateutil", "s3transfer"}
_PROBE = """
import json, sys
from cruddur_cli.cli import main as cli
code = cli.run(sys.argv[1:])
sys.stderr.write("\\n" + json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def imported(*arguments: str) -> set[str]:
    """The top-level modules that one command line has imported when it is done."""
    done = subprocess.run([sys.executable, "-c", _PROBE, *arguments], capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr
    return set(modules)


STORES = ("dynamodb", "postgres", "aws", "aws_client", "local", "audit", "integrity", "stream_lambda")
# The formats of files are an option.
LIGHT = "cruddur_cli.dynamodb.transfer"


@pytest.mark.parametrize("line", ["--version", "", "cognito", "config -o json"])
def test_neither_version_nor_config_imports_a_store(line: str) -> None:
    assert imported(*line.split()) & HEAVY == set()


def test_no_page_of_help_of_any_command_imports_a_store() -> None:
    """In one fresh interpreter, since what a page has imported stays."""
    pages = [[*words, "--help"] for words in (*tree.paths(), *(name.split() for name in tree.GROUPS), ())]
    code = (
        "import contextlib, io, json, sys\n"
        "from cruddur_cli.cli import main as cli\n"
        f"import {LIGHT}\n"
        "light = set(sys.modules)\n"
        "for line in json.loads(sys.argv[1]):\n"
        "    with contextlib.redirect_stdout(io.StringIO()):\n"
        "        assert cli.run(line) == 0, line\n"
        "    print(json.dumps([line, sorted(set(sys.modules) - light)]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, json.dumps(pages)], capture_output=True, text=True, check=True)
    seen = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(seen) == len(pages)
    for line, modules in seen:
        found = {name for name in modules if name.partition(".")[0] in HEAVY}
        found |= {name for name in modules if name.startswith("cruddur_cli.") and name.split(".")[1] in STORES}
        assert not found, line


def test_help_is_drawn_without_a_reader_of_markdown() -> None:
    for line in ("--help", "db --help", "ddb seed --help"):
        modules = imported(*line.split())
        assert "rich" in modules
        assert "markdown_it" not in modules


def test_version_and_machine_formats_import_no_rich() -> None:
    assert "rich" not in imported("--version")
    assert "rich" not in imported("config", "-o", "json")


def test_a_conversation_as_json_imports_neither_rich_nor_psycopg_nor_boto3(
    environment: dict[str, str], cruddur: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cruddur("ddb", "setup").code == 0
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    modules = imported("ddb", "get-conversation", "-o", "json")
    assert modules & {"rich", "psycopg", "boto3", "pydantic", "ministack", "s3transfer"} == set()
    assert "botocore" in modules


def test_a_store_that_is_named_costs_nothing_of_the_embedded_stack() -> None:
    code = "import sys, cruddur_cli.commands.shared.connections; print('cruddur_cli.local.stack' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


_AS_ON_WINDOWS = """
import os, signal, sys
import rich.console, subprocess, tempfile, typer
for name in ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"):
    sys.modules[name] = None
for name in ("SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGCONT", "SIGWINCH", "pthread_sigmask"):
    delattr(signal, name)
for name in ("fork", "geteuid", "getuid", "getgid", "killpg", "O_CLOEXEC", "O_NONBLOCK", "fdatasync", "WNOHANG"):
    delattr(os, name)
from cruddur_cli.cli import main as cli, tree
codes = {words: cli.run([*words, "--help"]) for words in [(), *tree.paths()]}
codes[("--version",)] = cli.run(["--version"])
sys.exit(", ".join(" ".join(words) for words, code in codes.items() if code) or 0)
"""


def test_help_of_every_command_works_without_what_windows_lacks() -> None:
    done = subprocess.run([sys.executable, "-c", _AS_ON_WINDOWS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "list-conversations" in done.stdout


_LONG = """
import gc, sys
usual = gc.get_threshold()
from cruddur_cli.cli import main as cli
try:
    cli.main()
except SystemExit:
    short = gc.get_threshold()
objects = [[] for _ in range(200_000)]
sys.exit(0 if short[0] > usual[0] == gc.get_threshold()[0] else f"{usual} {short} {gc.get_threshold()}")
"""


def test_only_a_long_command_collects_garbage() -> None:
    done = subprocess.run([sys.executable, "-c", _LONG, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
