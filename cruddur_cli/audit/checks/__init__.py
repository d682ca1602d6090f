"""Lists every check of the audit, in order. A function with ``@check`` in a module of this folder is found here."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from ..model import Check
from .registry import registered

# The modules whose findings come first; other modules come last.
_ORDER = ["table", "network", "trail", "organisation", "alarms", "database", "security_group", "user_pool"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")


def _order(check: Check) -> int:
    name = check.decide.__module__.rpartition(".")[2]
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


CHECKS = tuple(sorted(registered, key=_order))
