"""Shared options: every command has those that belong to it, with the same meaning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from cruddur_cli.cli import tree


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command with the name that a user types."""
    children = getattr(command, "commands", None)
    if children is None:
        yield " ".join(path), command
        return
    for name, child in children.items():
        yield from leaves(child, (*path, name))


COMMANDS = dict(leaves(typer.main.get_command(tree.tree())))


def options_of(command: Any) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts if name.startswith("-")}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_the_common_options_and_explains_itself(name: str) -> None:
    assert {"--prod", "--quiet", "-q", "--debug", "--no-color"} <= options_of(COMMANDS[name])
    assert COMMANDS[name].help
    for parameter in COMMANDS[name].params:
        if parameter.opts[0].startswith("-"):
            assert parameter.help, parameter.opts


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_with_yes_has_dry_run(name: str) -> None:
    options = options_of(COMMANDS[name])
    if name != "doctor" and options & {"--yes", "--confirm"}:  # which changes nothing without --fix
        assert {"--yes", "-y", "--confirm", "--dry-run", "-n"} <= options
    if "--output" in options:
        assert "-o" in options


def test_no_command_has_an_underscore_in_its_name() -> None:
    assert not [name for name in COMMANDS if "_" in name]


def test_the_scripts_names_are_all_there() -> None:
    scripts = {
        "ddb": "drop list-tables scan schema-load seed list-conversations get-conversation",
        "db": "connect create drop schema-load seed sessions setup update-cognito-user-ids",
        "cognito": "list-users",
    }
    for group, names in scripts.items():
        assert {f"{group} {name}" for name in names.split()} <= COMMANDS.keys()
