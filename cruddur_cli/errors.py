"""The few kinds of error a person meets, each with its exit code; the command line turns them into one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final, Self


class Exit(IntEnum):
    """What the shell sees."""

    DONE = 0
    NO = 1
    USAGE = 2
    NOT_CONFIGURED = 3
    UNREACHABLE = 4
    REFUSED = 5
    PROTECTED = 6
    INTERRUPTED = 130


@dataclass(frozen=True)
class Again:
    """The command line that failed, with other options. An error has it in the place of a hint, for the command line.

    ``add`` are options to add (``-o``, ``jsonl``); an option of ``without`` is left out, with its value.
    """

    add: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


class CruddurError(Exception):
    """Something that a person can act on.

    ``message`` is one sentence: what failed, and on which store. ``hint`` is the next command to run, or advice; with
    ``again`` the command line makes the hint out of its own arguments.
    ``code`` is for programs, in snake case. ``details`` is shown below the sentence (a list of handles, a caret).

    An error never changes: to add context, raise another one: ``raise error.changed(hint=…) from error``.
    """

    exit_code: Exit = Exit.NO
    code = "failed"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        again: Again | None = None,
        code: str | None = None,
        details: str | None = None,
        fields: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message: Final = message
        self.hint: Final = hint
        self.again: Final = again
        self.details: Final = details
        self.code = code or type(self).code
        self.fields: Final[Mapping[str, object]] = MappingProxyType(dict(fields or {}))

    def __setattr__(self, name: str, value: object) -> None:
        """Set what is not set yet, and what Python itself keeps in an exception."""
        if name in self.__dict__ and not name.startswith("__"):
            raise AttributeError(f"an error never changes: raise error.changed({name}=…) from error")
        super().__setattr__(name, value)

    def changed(self, **parts: object) -> Self:
        """An error of the same kind with these parts, and in everything else like this one. ``fields`` are added."""
        unknown = parts.keys() - self.__dict__.keys()
        if unknown:
            raise TypeError(f"an error has no {', '.join(sorted(unknown))}")
        if "fields" in parts:
            added: Any = parts["fields"]
            parts["fields"] = MappingProxyType({**self.fields, **added})
        new = type(self).__new__(type(self), parts.get("message", self.message))
        new.__dict__.update(self.__dict__)
        new.__dict__.update(parts)
        return new

    def adding(self, sentence: str) -> Self:
        """The same error with one more sentence."""
        return self.changed(message=f"{self.message} {sentence}")


class Incomplete(CruddurError):
    """It ran, and part of the work failed or the answer is no."""

    code = "incomplete"


class BadInput(CruddurError):
    """An option, an argument or a file that was given cannot be used; nothing was changed."""

    exit_code = Exit.USAGE
    code = "usage"


class Interrupted(CruddurError):
    """The user pressed Ctrl-C; the message says what is left of the work."""

    exit_code = Exit.INTERRUPTED
    code = "interrupted"


class NotConfigured(CruddurError):
    """A setting or a credential is missing or wrong."""

    exit_code = Exit.NOT_CONFIGURED
    code = "not_configured"


class CannotConnect(CruddurError):
    """A store cannot be reached, or did not answer in time."""

    exit_code = Exit.UNREACHABLE
    code = "cannot_connect"


class Refused(CruddurError):
    """A store was reached and said no."""

    exit_code = Exit.REFUSED
    code = "refused"


class NotFound(Refused):
    """What was asked for is not in the store: a table, a database, a handle."""

    code = "not_found"


class Protected(CruddurError):
    """Refused here: not confirmed, or protected."""

    exit_code = Exit.PROTECTED
    code = "not_confirmed"
