"""docs/commands.md documents every command with the text of --help."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import Any

import pytest
import typer

from tests.docs import pages

docs = pages.generate()
COMMANDS: list[tuple[list[str], Any]] = list(docs.commands())
# What means the same on every command, and the setting that it is.
SHARED = {
    "--prod": "prod",
    "-o": "output",
    "--output": "output",
    "-n": "dry_run",
    "--dry-run": "dry_run",
    "-y": "yes",
    "--yes": "yes",
    "--confirm": "confirm",
    "--table": "table",
    "-q": "quiet",
    "--quiet": "quiet",
    "--debug": "debug",
    "--no-color": "no_color",
    "--wait": "wait_s",
    "--my-handle": "my_handle",
    "--other-handle": "other_handle",
}


def name(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else ""


def test_the_reference_is_what_help_says() -> None:
    assert pages.text(docs.COMMANDS) == docs.command_reference(), "python docs/generate.py"


@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=name)
def test_a_command_says_what_it_is_for_and_what_each_option_means(words: list[str], command: Any) -> None:
    assert command.help, "a command's docstring is its help"
    assert docs.first_sentence(command).endswith((".", "?")), "the first sentence stands alone in lists"
    assert [param.name for param in command.params if not getattr(param, "help", None)] == []
    assert len(words) == 1 or {"-h", "--help"} & set(command.get_help_option_names(typer.Context(command)))


@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=name)
def test_a_command_has_its_place_in_the_reference(words: list[str], command: Any) -> None:
    written = pages.text(docs.COMMANDS)
    assert f"# {' '.join(words)}\n" in written
    for param in command.params:
        assert all(option in written for option in param.opts if option.startswith("--"))


def test_options_mean_the_same_everywhere() -> None:
    for words, command in COMMANDS:
        for param in command.params:
            for option in set(param.opts) & SHARED.keys():
                # There it is for what AWS goes on with by itself.
                is_for_aws = option == "--wait" and words[-1] in {"backup", "restore", "snapshot"}
                assert param.name == SHARED[option] or is_for_aws


@pytest.mark.parametrize(
    "variables",
    [{"COLUMNS": "40", "TERM": "dumb"}, {"GITHUB_ACTIONS": "true", "FORCE_COLOR": "1", "LANG": "C"}],
    ids=["narrow", "colour"],
)
def test_the_reference_does_not_depend_on_the_environment(variables: dict[str, str]) -> None:
    print_it = (
        f"import runpy, sys; docs = runpy.run_path({str(pages.GENERATE)!r}); "
        "sys.stdout.buffer.write(docs['command_reference']().encode())"
    )
    done = subprocess.run(
        [sys.executable, "-c", print_it], env={**os.environ, **variables}, capture_output=True, check=True
    )
    assert done.stdout.decode() == docs.command_reference()


def test_the_examples_in_the_help_are_commands_there_are() -> None:
    known = {tuple(words) for words, _ in COMMANDS}
    options = {tuple(words): {o for p in command.params for o in p.opts} for words, command in COMMANDS}
    for example in docs.examples():
        words = shlex.split(example.partition(" | ")[0].partition(" -- ")[0])
        command = next(tuple(words[:size]) for size in (4, 3, 2) if tuple(words[:size]) in known)
        assert {word for word in words if word.startswith("--")} <= options[command], example
