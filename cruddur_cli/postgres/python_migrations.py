"""Reads the SQL out of the application's Python migrations, without the application."""

from __future__ import annotations

import ast
import contextlib
import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import BadInput
from . import template_form

_STUBS = ("lib", "lib.db")


_SHAPE_HINT = "a migration needs `migration = <its class>` with migrate_sql() and rollback_sql()"
_IMPORT_HINT = (
    "migrations are read without the application's packages, only its lib.db is stood in for: leave the import out, "
    "or install the package where cruddur is"
)
_OWN_HINT = (
    "only the SQL of migrate_sql() and rollback_sql() is run: put it all there, or apply this one with the "
    "application's own script"
)


class _NoMigration(Exception):
    """The file has no migration in it, or one without SQL."""


class _Absent:
    """Stands for whatever a migration takes from the application's ``lib.db``; only its SQL is wanted here."""

    def __getattr__(self, name: str) -> _Absent:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: object, **__: object) -> Any:
        raise RuntimeError("the application's database is not at hand: only migrate_sql() and rollback_sql() are asked")


def sql(path: Path, function: str) -> str:
    """What ``migration.migrate_sql()`` or ``migration.rollback_sql()`` of a file returns, as the server gets it.

    The file runs as it is, with ``lib`` and ``lib.db`` stood in for while it does and nothing of it left in
    ``sys.modules``; what it prints goes to stderr. The SQL comes on the lines where the file has it. A doubled percent
    sign is one, because the application hands its SQL to psycopg with parameters.

    Raises BadInput with file and line for a file that does not load, or that has no SQL to give.
    """
    try:
        content = path.read_bytes()
        code = compile(content, str(path), "exec", dont_inherit=True)
        source = _decoded(content)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.", code="file_not_readable") from error
    except SyntaxError as error:
        raise _bad(path, error.lineno, f"{type(error).__name__}: {error.msg}", None) from error
    except ValueError as error:
        raise _bad(path, None, str(error), None) from error
    with _stood_in(path) as module, contextlib.redirect_stdout(sys.stderr):
        try:
            exec(code, module.__dict__)
            found = _call(module, function)
            owner = module.migration if isinstance(module.migration, type) else type(module.migration)
        except ImportError as error:
            raise _bad(path, _line(error, path), f"{type(error).__name__}: {error}", _IMPORT_HINT) from error
        except _NoMigration as error:
            raise _bad(path, None, str(error)) from error
        except (Exception, SystemExit) as error:
            raise _bad(path, _line(error, path), f"{type(error).__name__}: {error}", None) from error
    runner = function.removesuffix("_sql")
    if not template_form.is_usual(owner, runner, ast.parse(content)):
        raise _bad(path, template_form.line(owner, runner), f"its own {runner}() would not be run here", _OWN_HINT)
    if not isinstance(found, str):
        raise _bad(path, None, f"{function}() returns {type(found).__name__}, not SQL")
    begins = source.find(found) if found.strip() else -1
    padding = "\n" * source.count("\n", 0, begins) if begins > 0 else ""
    return padding + found.replace("%%", "%")


def _decoded(content: bytes) -> str:
    return content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n")


@contextmanager
def _stood_in(path: Path) -> Iterator[ModuleType]:
    """A module to run the file in, with the stand-ins around it; afterwards ``sys.modules`` is what it was."""
    module, lib, db = ModuleType(f"_cruddur_{path.stem}"), ModuleType("lib"), ModuleType("lib.db")
    module.__file__ = str(path)
    lib.__path__ = []
    absent = _Absent()
    for stub in (lib, db):
        stub.__getattr__ = lambda name: getattr(absent, name)  # type: ignore[method-assign]
    lib.db = db  # type: ignore[attr-defined]
    kept = dict(sys.modules)
    sys.modules |= {"lib": lib, "lib.db": db, module.__name__: module}
    try:
        yield module
    finally:
        for name in (*_STUBS, module.__name__):
            sys.modules.pop(name, None)
            if name in kept:
                sys.modules[name] = kept[name]


def _call(module: ModuleType, function: str) -> object:
    """Ask a class or an instance; its functions may be static, of the class, bound, or written without ``self``."""
    if not hasattr(module, "migration"):
        raise _NoMigration("there is no variable `migration`")
    migration = module.migration
    owner = migration if isinstance(migration, type) else type(migration)
    try:
        raw = inspect.getattr_static(owner, function)
    except AttributeError:
        raise _NoMigration(f"`migration` has no {function}()") from None
    if inspect.isfunction(raw) and not inspect.signature(raw).parameters:
        return raw()
    if inspect.isfunction(raw) and isinstance(migration, type):
        return getattr(migration(), function)()
    return getattr(migration, function)()


def _line(error: BaseException, path: Path) -> int | None:
    """The last line of the file that was running when the error came."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return lines[-1] if lines else None


def _bad(path: Path, line: int | None, reason: str, hint: str | None = _SHAPE_HINT) -> BadInput:
    place = f"{path}, line {line}" if line else str(path)
    return BadInput(f"{place}: {reason}.", hint=hint, code="bad_migration", fields={"file": str(path), "line": line})
