"""Reads the SQL of the application's Python migrations, without the application's modules."""

from __future__ import annotations

import ast
import contextlib
import importlib.machinery
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from ... import trust
from ...errors import BadInput
from . import own_runners
from .stand_ins import Application, NotAvailable, Reason, StandIn

_MODULE = "cruddur_migration"
_VARIABLE, _SUFFIX = "migration", "Migration"
# Packages that connect to stores: they are never imported, even if they are installed.
_CLIENTS = {"psycopg", "psycopg2", "psycopg_pool", "asyncpg", "pg8000", "sqlalchemy", "boto3", "botocore", "requests"}
_SHAPE_HINT = (
    "a migration needs a class with migrate_sql() and rollback_sql(), named in `migration = <the class>` or with a "
    "name that ends in Migration"
)
_APPLY = "or apply it with the application's own script, then: cruddur db migrate --mark-applied {}"
_VALUE_HINT = "write the value itself into migrate_sql() and rollback_sql(), " + _APPLY
_WORK_HINT = "only the SQL of migrate_sql() and rollback_sql() is run: put all of it there, " + _APPLY


class _NoMigration(Exception):
    """The file has no migration, or one without the function."""


def sql(path: Path, function: str) -> str:
    """The SQL that ``migrate_sql()`` or ``rollback_sql()`` of a file returns, on the lines where the file has it.

    The file is executed. It imports Python's own modules; stand-ins replace all others, unless an installed package
    makes a part of the SQL. What the file prints goes to stderr. ``%%`` becomes ``%``, because the application passes
    its SQL to psycopg with parameters.

    Raises BadInput with file and line for a file that does not load, that has no SQL, whose SQL needs a value of the
    application, or that does other work than running its SQL.
    """
    try:
        content = path.read_bytes()
        tree = ast.parse(content, str(path))
        source = content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.", code="file_not_readable") from error
    except SyntaxError as error:
        raise _bad(path, error.lineno, f"{type(error).__name__}: {error.msg}", None) from error
    except ValueError as error:
        raise _bad(path, None, str(error), None) from error
    real: frozenset[str] = frozenset()
    while True:
        returned, reason = _run(path, tree, function, real)
        if reason is None:
            break
        if reason.is_work or reason.module in real or not _is_installed(reason.module):
            hint = _WORK_HINT if reason.is_work else _VALUE_HINT
            raise _bad(path, reason.line, reason.text, hint.format(path.name.partition("_")[0]))
        real |= {reason.module}
    if isinstance(returned, list | tuple) and all(isinstance(part, str) for part in returned):
        returned = ";\n".join(returned)
    if not isinstance(returned, str):
        raise _bad(path, None, f"{function}() returns {type(returned).__name__}, not SQL")
    above = ""
    if returned.strip() and returned in source:
        above, _, _ = source.partition(returned)
    return "\n" * above.count("\n") + returned.replace("%%", "%")


def _run(path: Path, tree: ast.Module, function: str, real: frozenset[str]) -> tuple[object, Reason | None]:
    """What ``function`` returns, and None; or None, and the reason why this file cannot run here. Raises BadInput."""
    application = Application(path, tree, module=_MODULE, real=real)
    with _alone(path, application) as module, contextlib.redirect_stdout(sys.stderr):
        trust.check(path)
        try:
            exec(compile(tree, str(path), "exec", dont_inherit=True), module.__dict__)
            owner, migration = _migration(module)
            returned = _call(owner, migration, function)
        except NotAvailable as error:
            return None, error.reason
        except _NoMigration as error:
            raise _bad(path, None, str(error)) from error
        except (Exception, SystemExit) as error:
            if application.reasons:
                return None, application.reasons[0]
            raise _bad(path, _line(error, path), f"{type(error).__name__}: {error}", None) from error
    if application.reasons:
        return None, application.reasons[0]
    if isinstance(returned, StandIn):
        return None, application.reason_for(returned, _first_line(owner, function))
    runner = function.removesuffix("_sql")
    other = own_runners.find_other_work(owner, runner, tree)
    if other is not None:
        text = f"its own {runner}() does more than run the SQL of {function}(), and cruddur does not run {runner}()"
        return None, Reason(other, text, "", is_work=True)
    return returned, None


def _is_installed(name: str) -> bool:
    """Whether a package is installed with this program; a module in the current folder does not count."""
    if name in _CLIENTS or not name.isidentifier():
        return False
    spec = importlib.machinery.PathFinder.find_spec(
        name, [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    )
    return bool(spec and spec.origin)


@contextmanager
def _alone(path: Path, application: Application) -> Iterator[ModuleType]:
    """A module to run the file in; afterwards sys.modules, sys.path, the folder and the environment are restored."""
    module = ModuleType(_MODULE)
    module.__file__ = str(path)
    module.__dict__["__builtins__"] = application.builtins()
    modules, import_path, environment = dict(sys.modules), list(sys.path), dict(os.environ)
    folder = os.open(".", os.O_RDONLY)
    sys.modules[_MODULE] = module  # dataclasses look up their module
    try:
        yield module
    finally:
        del sys.modules[_MODULE]
        for name in [name for name, one in modules.items() if sys.modules.get(name) is not one]:
            sys.modules[name] = modules[name]
        sys.path[:] = import_path
        os.chdir(folder)
        os.close(folder)
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)


def _migration(module: ModuleType) -> tuple[type, object]:
    """The class of the migration, and the value of ``migration``: the class, or an instance of it."""
    migration = getattr(module, _VARIABLE, None)
    if isinstance(migration, StandIn):
        raise _NoMigration(f"`{_VARIABLE}` is not a class of this file")
    if migration is None:
        migration = _only(module)
    return migration if isinstance(migration, type) else type(migration), migration


def _only(module: ModuleType) -> type:
    """The only class of the file whose name ends in Migration, without its base classes. Raises _NoMigration.

    Some of the application's own runners choose it so.
    """
    classes = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == _MODULE]
    named = list(dict.fromkeys(one for one in classes if one.__name__.endswith(_SUFFIX)))
    chosen = [one for one in named if not any(one in other.__mro__[1:] for other in named)]
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        names = ", ".join(one.__name__ for one in chosen)
        raise _NoMigration(f"there is no variable `{_VARIABLE}`, and several classes: {names}")
    raise _NoMigration(f"there is no variable `{_VARIABLE}` and no class whose name ends in {_SUFFIX}")


def _call(owner: type, migration: object, function: str) -> object:
    """What a function of the class or instance returns; it may be static, a class method, or lack ``self``."""
    try:
        raw = inspect.getattr_static(owner, function)
    except AttributeError:
        raise _NoMigration(f"{owner.__name__} has no {function}()") from None
    if isinstance(raw, StandIn):
        return raw
    if inspect.isfunction(raw) and not inspect.signature(raw).parameters:
        return raw()
    if inspect.isfunction(raw) and isinstance(migration, type):
        return getattr(migration(), function)()
    return getattr(migration, function)()


def _first_line(owner: type, function: str) -> int | None:
    raw: Any = inspect.getattr_static(owner, function, None)
    raw = getattr(raw, "__func__", raw) if not isinstance(raw, StandIn) else None
    return raw.__code__.co_firstlineno if inspect.isfunction(raw) else None


def _line(error: BaseException, path: Path) -> int | None:
    """The line of the file that was running when the error was raised; None if none was."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return lines[-1] if lines else None


def _bad(path: Path, line: int | None, reason: str, hint: str | None = _SHAPE_HINT) -> BadInput:
    place = f"{path}, line {line}" if line else str(path)
    return BadInput(f"{place}: {reason}.", hint=hint, code="bad_migration", fields={"file": str(path), "line": line})
