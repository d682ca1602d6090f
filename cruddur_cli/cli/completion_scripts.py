"""Changes Typer's completion script for zsh, so that it completes from the first Tab of a shell."""

from __future__ import annotations

# zsh loads the script as the function `_cruddur` at the first Tab, and expects the values from that very call.
_FIRST_TAB = """
if [[ $funcstack[1] == _%(prog_name)s ]]; then
  %(complete_func)s "$@"
fi
"""


def complete_first_tab() -> None:
    """Add to the script that ``--install-completion`` writes for zsh, so that it completes from the first Tab.

    The script is a private part of Typer. If a version of Typer has another script, that script is not changed.
    """
    from typer import _completion_shared

    scripts = getattr(_completion_shared, "_completion_scripts", {})
    if "%(complete_func)s()" in scripts.get("zsh", "") and "funcstack" not in scripts["zsh"]:
        scripts["zsh"] += _FIRST_TAB
