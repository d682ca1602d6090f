"""The names that a package offers, each imported when it is used for the first time (PEP 562).

So ``import cruddur_cli`` loads neither a store nor an SDK, and no command pays for what only programs use.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def lazily(package: str, places: Mapping[str, str]) -> Callable[[str], object]:
    """The ``__getattr__`` of a package; ``places`` has each name's module below it, or ``module:name in it``."""

    def found(name: str) -> object:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, inner = places[name].partition(":")
        value = import_module(f"{package}.{module}")
        value = getattr(value, inner) if inner else value
        setattr(sys.modules[package], name, value)
        return value

    return found
