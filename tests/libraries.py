"""What libraries read and work out anew for each command of one process, kept for the next: half of a short command."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import botocore
import typer
from botocore import hooks, loaders


def keep() -> None:
    """Have botocore read each of its own files once, and Typer look at each function once."""
    typer.main.get_params_from_function = cache(typer.main.get_params_from_function)  # type: ignore[attr-defined]
    _keep_files()
    _keep_names()
    # moto makes 1,300 images of machines otherwise, in each account.
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"


def _keep_files() -> None:
    """What describes a service is up to 3 MB of JSON; a loader keeps it, and each session has a loader of its own."""
    own = str(Path(botocore.__file__).parent)
    read = loaders.JSONFileLoader.load_file
    kept: dict[str, Any] = {}

    def load_file(self: Any, file_path: str) -> Any:
        if not file_path.startswith(own):
            return read(self, file_path)
        if file_path not in kept and (found := read(self, file_path)) is not None:
            kept[file_path] = found
        return kept.get(file_path)

    loaders.JSONFileLoader.load_file = load_file  # type: ignore[method-assign]


def _keep_names() -> None:
    """What the events of old names are called now: a hundred in each session, and a hundred comparisons for each."""
    begin = hooks.EventAliaser.__init__
    kept: dict[str, str] = {}

    def __init__(self: Any, event_emitter: Any, event_aliases: Any = None) -> None:
        begin(self, event_emitter, event_aliases)
        if event_aliases is None:
            self._alias_name_cache = kept

    hooks.EventAliaser.__init__ = __init__  # type: ignore[method-assign]
