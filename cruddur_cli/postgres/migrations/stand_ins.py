"""Provides stand-ins for the modules that a Python migration imports, other than Python's own.

A migration needs the application only to run its SQL, which ``cruddur`` runs itself. So a stand-in has every name, but
no value: a migration that needs a text, a number or a decision from one is refused.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, FunctionType, ModuleType
from typing import Any, NoReturn

# Calls that would run SQL, or change rows, while the file loads.
_RUNS = re.compile(r"(query|execute|exec|insert|delete|drop|truncate|migrate|rollback|commit|run_|load_sql)")
# A call whose result is not used has an effect. The effects of these calls do not change the database.
_HARMLESS = re.compile(
    r"load_(dot)?env|load_(config|settings)|(init|initialize|set_?up|configure)(_app|_?\w*(log|trac|sentry|rollbar|xray|db"
    r"|pool|env|config)\w*)?|config|register\w*|connect|instrument\w*|add_\w*(processor|handler|middleware)|append"
    r"|set_\w*(level|provider|tracer|config)|start|capture_\w+|close|dispose|shutdown"
)
_PRINTS = {"print", "debug", "info", "warning", "warn", "error", "exception", "critical", "log", "write"}
_SQL = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:(?:ALTER|CREATE|DROP|COMMENT|REINDEX|REFRESH)\s+\w+\s|INSERT\s+INTO\s|DELETE\s+FROM\s"
    r"|UPDATE\s+\S+\s.*?SET\s|(?:SELECT|TRUNCATE|GRANT|REVOKE|COPY|CALL)\s|VACUUM\b|DO\s+\$|WITH\s.*?\sAS\b"
    r"|SET\s+\w+\s*(?:=|TO\s))",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Reason:
    """Why a file cannot run here: the line, the reason, and the module that it needs.

    ``is_work`` is true if the file does other work than returning its SQL.
    """

    line: int | None
    text: str
    module: str
    is_work: bool


class NotAvailable(BaseException):
    """A file needs a value of the application. A BaseException, so that the file's ``except Exception`` misses it."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.text)
        self.reason = reason


class Application:
    """Imports stand-ins into one file, and finds out why the file cannot run.

    ``module`` is the file's name as a module while it runs. ``real`` are packages that are really imported. ``reasons``
    has every reason that was raised, because a bare ``except:`` in the file may hide one.
    """

    def __init__(self, path: Path, tree: ast.Module, *, module: str, real: frozenset[str]) -> None:
        self.reasons: list[Reason] = []
        self.path, self.module, self._real = str(path), module, real
        nodes = list(ast.walk(tree))
        self._calls = [node for node in nodes if isinstance(node, ast.Expr) and called(node.value)]
        # The arguments of a call to a stand-in stay in it: their texts do not get into the SQL.
        names = {name for node in nodes for name in self._imported(node)}
        self._stand_in_calls = [
            node for node in nodes if isinstance(node, ast.Assign | ast.Expr) and _root(node.value) in names
        ]
        self._has_star = False

    def _imported(self, node: ast.AST) -> set[str]:
        """The names that a statement imports from stand-ins."""
        if isinstance(node, ast.ImportFrom) and (node.level or not self.is_real(node.module or "")):
            return {one.asname or one.name for one in node.names}
        if isinstance(node, ast.Import):
            return {(one.asname or one.name).partition(".")[0] for one in node.names if not self.is_real(one.name)}
        return set()

    def builtins(self) -> dict[str, Any]:
        """The ``__builtins__`` for the file, which import stand-ins and know the names of an ``import *``."""
        return _Builtins(self, {**vars(builtins), "__import__": self._import})

    def is_real(self, name: str) -> bool:
        """Whether a module is really imported: one of Python's own, or of ``real``."""
        top = name.partition(".")[0]
        return top in sys.stdlib_module_names or top in self._real

    def missing(self, name: str) -> StandIn | None:
        """The stand-in for an undefined name, if the file has imported ``*`` from a stand-in; else None."""
        return StandIn(self, name) if self._has_star and not name.startswith("__") else None

    def _import(
        self, name: str, names: Any = None, local: Any = None, fromlist: Any = (), level: int = 0
    ) -> StandIn | ModuleType:
        if level == 0 and self.is_real(name):
            module = builtins.__import__(name, names, local, fromlist, 0)
            return self._importlib() if module is importlib else module
        self._has_star |= bool(fromlist) and "*" in fromlist
        whole = "." * level + name
        return StandIn(self, whole if fromlist or not name else whole.partition(".")[0])

    def _importlib(self) -> ModuleType:
        def import_module(name: str, package: str | None = None) -> Any:
            real = self.is_real(name) and not name.startswith(".")
            return importlib.import_module(name, package) if real else StandIn(self, name)

        module = ModuleType("importlib")
        vars(module).update({**vars(importlib), "import_module": import_module})
        return module

    def refuse(self, what: StandIn, text: str, *, is_work: bool = False) -> NoReturn:
        """Raise NotAvailable with the line of the file that is running."""
        frame = self._frame()
        reason = Reason(frame.f_lineno if frame else None, text, _name_of(what).partition(".")[0], is_work)
        self.reasons.append(reason)
        raise NotAvailable(reason)

    @staticmethod
    def reason_for(what: StandIn, line: int | None) -> Reason:
        """The reason why SQL that is a stand-in cannot run."""
        return Reason(line, _VALUE.format(_name_of(what)), _name_of(what).partition(".")[0], is_work=False)

    def is_running(self) -> bool:
        """Whether code of the file is running, not only this program's."""
        return self._frame() is not None

    def statement(self) -> str | None:
        """The name that the running statement calls, if it is a call whose result is not used; else None."""
        running = [node for node in self._calls if self._runs(node)]
        return called(running[-1].value) if running else None

    def is_argument(self) -> bool:
        """Whether the running statement only prints its texts, or passes them to a stand-in."""
        return self.statement() in _PRINTS or any(map(self._runs, self._stand_in_calls))

    def _runs(self, node: ast.stmt) -> bool:
        frame = self._frame()
        return frame is not None and node.lineno <= frame.f_lineno <= (node.end_lineno or node.lineno)

    def _frame(self) -> FrameType | None:
        frame: FrameType | None = sys._getframe()
        while frame is not None and frame.f_code.co_filename != self.path:
            frame = frame.f_back
        return frame


class _Builtins(dict[str, Any]):
    def __init__(self, application: Application, names: dict[str, Any]) -> None:
        super().__init__(names)
        self._application = application

    def __missing__(self, name: str) -> Any:
        stand_in = self._application.missing(name)
        if stand_in is None:
            raise KeyError(name)
        return stand_in


def called(node: ast.expr | None) -> str | None:
    """The last name of a call: ``query_commit`` for ``db.query_commit(…)``; None for other expressions."""
    if not isinstance(node, ast.Call):
        return None
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else None


def _root(node: ast.expr) -> str | None:
    """The first name of a call: ``db`` for ``db.pool.connect(…)``; None for other expressions."""
    if not isinstance(node, ast.Call):
        return None
    inner: ast.expr = node
    while isinstance(inner, ast.Call | ast.Attribute):
        inner = inner.func if isinstance(inner, ast.Call) else inner.value
    return inner.id if isinstance(inner, ast.Name) else None


def _name_of(what: StandIn) -> str:
    """The dotted name of the object that a stand-in replaces."""
    name: str = object.__getattribute__(what, "_StandIn__name")
    return name


def _refused(text: str) -> Any:
    def refuse(self: StandIn, *_: object) -> Any:
        application: Application = object.__getattribute__(self, "_StandIn__application")
        application.refuse(self, text.format(_name_of(self)))

    return refuse


_VALUE = "its SQL would come from {}, which is not available here"
_CHOICE = "it decides by the value of {}, which is not available here"


class StandIn:
    """Replaces one name of the application. It has every attribute, each a stand-in, but no value."""

    __slots__ = ("__application", "__name")
    __all__ = ()
    __application: Application
    __name: str

    def __init__(self, application: Application, name: str) -> None:
        object.__setattr__(self, "_StandIn__application", application)
        object.__setattr__(self, "_StandIn__name", name)

    def __getattr__(self, name: str) -> StandIn:
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn(self.__application, f"{self.__name}.{name}")

    def __setattr__(self, name: str, value: object) -> None:
        pass

    def __getitem__(self, key: object) -> StandIn:
        return StandIn(self.__application, f"{self.__name}[{key!r}]")

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        what = self.__name.rpartition(".")[2]
        statement = self.__application.statement()
        holds_sql = any(isinstance(value, str) and _SQL.match(value) for value in (*arguments, *keywords.values()))
        is_effect = statement == what and not _HARMLESS.fullmatch(what)
        if what not in _PRINTS and (_RUNS.match(what) or holds_sql or is_effect):
            self.__application.refuse(self, f"it calls {self.__name}() itself, which is not run here", is_work=True)
        first = arguments[0] if len(arguments) == 1 and not keywords else None
        if isinstance(first, type) and first.__module__ == self.__application.module:
            return first  # a decorator of the class, which may only register it
        function = getattr(first, "__func__", first)
        decorates = isinstance(function, FunctionType) and function.__code__.co_filename == self.__application.path
        return StandIn(self.__application, self.__name if decorates else f"{self.__name}()")

    def __mro_entries__(self, bases: object) -> tuple[type, ...]:
        application, name = self.__application, self.__name

        class Base:
            def __init__(self, *_: object, **__: object) -> None:
                pass

            def __init_subclass__(cls, **_: object) -> None:
                pass

            def __getattr__(self, attribute: str) -> StandIn:
                if attribute.startswith("__"):
                    raise AttributeError(attribute)
                return StandIn(application, f"{name}.{attribute}")

        return (Base,)

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __or__(self, other: object) -> StandIn:  # a type such as Db | None
        return self

    __ror__ = __or__

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not self.__application.is_running():
            return False
        return bool(_refused(_CHOICE)(self))

    def __str__(self) -> str:
        application = self.__application
        if application.is_running() and not application.is_argument():
            application.refuse(self, _VALUE.format(self.__name))
        return f"<{self.__name}>"

    __repr__ = __str__

    def __format__(self, form: str) -> str:
        return str(self)

    __bool__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = _refused(_CHOICE)
    __len__ = __iter__ = __int__ = __float__ = __index__ = __bytes__ = __fspath__ = _refused(_VALUE)
    __add__ = __radd__ = __mod__ = __rmod__ = __mul__ = __rmul__ = _refused(_VALUE)
