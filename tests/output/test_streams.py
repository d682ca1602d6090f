"""The streams of a process: no escape sequence without a terminal, no control character, no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.align import Align
from rich.padding import Padding
from rich.text import Text

from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.output import streams, tables

from ..conftest import Run
from ..terminals import LINES, in_shell, in_terminal

PIPES = [
    {"NO_COLOR": "1", "GITHUB_ACTIONS": "true"},
    {"GITHUB_ACTIONS": "true", "TERM": "xterm"},
    {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "PY_COLORS": "1", "TTY_COMPATIBLE": "1"},
    {"LANG": "C", "LC_ALL": "C", "COLUMNS": "40"},
    {"PYTHONIOENCODING": "ascii"},
]
SHOWN = [
    "--help",
    "ddb seed --help",
    "config",
    "nonsense",
    "db ping",
    "ddb scan --limit 5",
    "ddb get-conversation",
    "ddb list-conversations",
    "ddb describe-table",
    "ddb seed",
]
# A message that would colour, move and retitle a terminal, in 7 and in 8 bits, turn text around and hide it.
HOSTILE = (
    "\x1b[31mred\x1b]0;title\x07 \x9b31m \x90q\x9c \u202egnp.exe\u202c \u2066x\u2069 \u061c\u200f"
    " [bold]b[/] [/x] :smile: \r\b"
)


@pytest.fixture
def seeded(cruddur: Run) -> None:
    assert cruddur("ddb", "setup", "-q").code == 0


@pytest.mark.parametrize("env", PIPES, ids="+".join)
def test_no_escape_byte_goes_into_a_pipe(seeded: None, environment: dict[str, str], env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LINES, *SHOWN], env={**environment, **env}, capture_output=True, check=False
    )
    assert done.returncode == 2, done.stderr  # for the nonsense
    for said in ("Usage: cruddur", "No such command", "andrewbrown", "consumed capacity"):
        assert said in (done.stdout + done.stderr).decode()
    assert b"\x1b" not in done.stdout + done.stderr
    if "PYTHONIOENCODING" in env:
        assert (done.stdout + done.stderr).isascii()


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}], ids=["NO_COLOR", "dumb", "--no-color"])
def test_no_escape_byte_goes_to_a_terminal_that_wants_none(
    seeded: None, environment: dict[str, str], env: dict[str, str], tmp_path: Path
) -> None:
    lines = SHOWN if env else [f"{line} --no-color" for line in SHOWN]
    ran = in_terminal(environment, *lines, cwd=tmp_path / "home", env={"GITHUB_ACTIONS": "true", **env}, lines=True)
    assert ran.code == 2
    assert "Usage: cruddur" in ran.out
    assert "\x1b" not in ran.out


def test_a_terminal_that_wants_colour_gets_it(seeded: None, environment: dict[str, str], tmp_path: Path) -> None:
    for line in (["--help"], ["ddb", "get-conversation"]):
        assert "\x1b[" in in_terminal(environment, *line, cwd=tmp_path / "home").out


def test_in_forty_columns_no_line_is_longer(seeded: None, environment: dict[str, str], tmp_path: Path) -> None:
    lines = [line for line in SHOWN if line not in {"nonsense", "ddb seed"}]  # a terminal wraps sentences itself
    ran = in_terminal(environment, *lines, cwd=tmp_path / "home", columns=40, env={"NO_COLOR": "1"}, lines=True)
    assert ran.code == 0
    assert not [text for text in ran.out.splitlines() if len(text.rstrip()) > 40]


def test_a_terminal_obeys_no_control_character_of_a_message(
    seeded: None, cruddur: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    client = aws_client.open_client(
        aws_client.Endpoint("dynamodb", environment["AWS_ENDPOINT_URL_DYNAMODB"], None, "the engine")
    )
    text = {"S": HOSTILE}
    client.put_item(
        TableName=environment["DDB_MESSAGE_TABLE"],
        Item={
            "pk": {"S": "MSG#hostile\x1b[2J"}, "sk": {"S": "2026-01-01T00:00:00.000000+00:00"}, "message": text,
            "message_uuid": text, "user_uuid": text, "user_handle": text, "user_display_name": text,
        },
    )  # fmt: skip
    obeyed = set("\x1b\x07\x9b\x90\x9c\u202e\u202c\u2066\u2069\u061c\u200f\b")
    group = "hostile\x1b[2J"
    for line in (["ddb", "get-conversation", group], ["ddb", "scan"]):
        seen = [in_terminal(environment, *line, cwd=tmp_path / "home", env={"NO_COLOR": "1"}, columns=200).out]
        for form in ("table", "json", "jsonl", "csv"):
            ran = cruddur(*line, "-o", form)
            assert ran.code == 0, ran.err
            seen.append(ran.out + ran.err)
        for shown in seen:
            assert not set(shown) & obeyed, line
        assert "[bold]b[/] [/x] :smile:" in seen[0]
    exact = json.loads(cruddur("ddb", "get-conversation", group, "-o", "json").out)["items"][0]["message"]
    assert exact == HOSTILE


def test_a_reader_that_ends_early_is_no_error(seeded: None, environment: dict[str, str], tmp_path: Path) -> None:
    for command in ("ddb scan -o jsonl", "ddb scan", "ddb get-conversation", "--help", "config -o csv"):
        ran = in_shell(environment, f"set -o pipefail; cruddur {command} | head -1", cwd=tmp_path / "home")
        assert len(ran.out.splitlines()) == 1
        assert ran.code == 0, command
        assert "Traceback" not in ran.err
        assert "rror" not in ran.err


def test_closed_and_full_streams_leave_no_traceback(seeded: None, environment: dict[str, str], tmp_path: Path) -> None:
    for command, redirection, code in (
        ("ddb get-conversation -o json", ">&-", 1),
        ("ddb get-conversation", ">&- 2>&- <&-", 1),
        ("ddb get-conversation --with londo", ">&-", 0),
        ("ddb get-conversation", "2>&-", 0),
        ("ddb get-conversation", "2>/dev/full", 0),
        ("ddb get-conversation", ">/dev/full", 1),
        ("ddb scan -o jsonl", ">/dev/full", 1),
        ("config", ">/dev/full", 1),
        ("--help", ">/dev/full", 1),
        ("--help", ">&-", 1),
    ):
        ran = in_shell(environment, f"cruddur {command} {redirection}", cwd=tmp_path / "home")
        assert ran.code == code, (command, redirection, ran.err)
        assert "Traceback" not in ran.err
        assert "Exception" not in ran.err
        assert ("No space left" in ran.err) == (code == 1 and "full" in redirection)
        assert ("Standard output is closed" in ran.err) == (code == 1 and redirection == ">&-")


def test_without_a_terminal_no_command_waits_for_an_answer(
    environment: dict[str, str], cruddur: Run, tmp_path: Path
) -> None:
    cruddur("ddb", "schema-load")
    for command in ("db schema-load <&-", "ddb drop <&-", "ddb drop </dev/null", "db drop <&-"):
        ran = in_shell(environment, f"cruddur {command}", cwd=tmp_path / "home")
        assert ran.code == 6, ran.err
        assert "--yes" in ran.err


def test_lines_wrap_between_words_on_a_terminal_and_json_does_not_wrap(
    seeded: None, environment: dict[str, str], tmp_path: Path
) -> None:
    line = "ddb list-conversations --since 2001-01-01 --until 2001-02-01"
    ran = in_terminal(environment, *line.split(), cwd=tmp_path / "home", columns=40, env={"NO_COLOR": "1"})
    told = [text for text in ran.out.splitlines() if text]
    assert "no conversation in that time" in " ".join(ran.out.split())
    assert not [text for text in told if len(text.rstrip()) > 40]
    line = "ddb get-conversation -o json --year 0"
    ran = in_terminal(environment, *line.split(), cwd=tmp_path / "home", columns=40)
    assert json.loads(ran.out)["error"]


def test_no_line_of_a_console_ends_with_spaces(capsys: pytest.CaptureFixture[str]) -> None:
    out = streams.console(sys.stdout)
    out.print(Align("left  ", "left"))
    out.print(Padding("x", 1))
    tables.table(out, [{"name": "a", "other": "b"}, {"name": "long name", "other": "long value"}])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "left"
    assert not [line for line in lines if line.endswith(" ")]


def test_colours_before_the_end_of_a_line_stay_when_its_spaces_go(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    streams.console(sys.stdout).print(Text("dim  ", "dim"))
    assert capsys.readouterr().out == "\x1b[2mdim\x1b[0m\n"
