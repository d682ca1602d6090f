"""Owns the lazy import of a package's public names: each name is imported when it is used for the first time (PEP 562).

So ``import cruddur_cli`` loads no store and no SDK, and no command waits for imports that only programs use.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def lazily(package: str, places: Mapping[str, str]) -> Callable[[str], object]:
    """The ``__getattr__`` of ``package``.

    ``places`` has the place of each name: its module below the package, or ``module:attribute``.
    """

    def import_name(name: str) -> object:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, attribute = places[name].partition(":")
        value = import_module(f"{package}.{module}")
        value = getattr(value, attribute) if attribute else value
        setattr(sys.modules[package], name, value)
        return value

    return import_name
