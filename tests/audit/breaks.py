"""The changes that make one check fail and no other, from the tests of each module of checks."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from tests.audit import checks
from tests.audit.alone import Breaks

BY_MODULE: dict[str, Breaks] = {
    found.name.removeprefix("test_"): getattr(import_module(f"{checks.__name__}.{found.name}"), "BREAKS", {})
    for found in iter_modules(checks.__path__)
}
BREAKS: Breaks = {name: changes for breaks in BY_MODULE.values() for name, changes in breaks.items()}
