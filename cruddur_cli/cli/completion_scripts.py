"""The script that makes zsh complete: Typer's, with what it lacks to complete from the first Tab of a shell on."""

from __future__ import annotations

# zsh loads the script as the function `_cruddur` at the first Tab, and expects the values from that very call.
_FIRST_TAB = """
if [[ $funcstack[1] == _%(prog_name)s ]]; then
  %(complete_func)s "$@"
fi
"""


def complete_first_tab() -> None:
    """Make the script that ``--install-completion`` writes for zsh complete from the first Tab on.

    It is a private part of Typer's; where it is another one, it stays as it is.
    """
    from typer import _completion_shared

    scripts = getattr(_completion_shared, "_completion_scripts", {})
    if "%(complete_func)s()" in scripts.get("zsh", "") and "funcstack" not in scripts["zsh"]:
        scripts["zsh"] += _FIRST_TAB
