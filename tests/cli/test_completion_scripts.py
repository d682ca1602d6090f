"""The script for zsh; tests/commands/shared/test_shells.py runs it."""

from __future__ import annotations

from typer import _completion_shared

from cruddur_cli.cli import completion_scripts


def test_typers_script_for_zsh_is_extended_once() -> None:
    """A private part of Typer's."""
    for _ in range(2):
        completion_scripts.complete_first_tab()
    assert _completion_shared._completion_scripts["zsh"].count("funcstack") == 1
