"""Owns the kinds of error that a user can meet, each with its exit code.

The command line prints an error as one sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final, Self


class Exit(IntEnum):
    """The exit codes of ``cruddur``."""

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
    """The command line that failed, with other options: an error has it in place of a hint.

    The command line makes the hint. ``add`` are the words to add (``-o``, ``jsonl``). ``without`` are options to leave
    out, each with its value.
    """

    add: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


class CruddurError(Exception):
    """An error that the user can act on.

    ``message`` is one sentence: what failed, and on which store. ``hint`` is the next command to run, or advice; with
    ``again`` the command line makes the hint out of its own arguments.
    ``code`` is for programs, in snake case. ``details`` is printed below the message (a list of handles, a caret).
    ``fields`` are values for programs, such as counts; they are keys of the error in JSON.

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
        """Set an attribute once; only the attributes that Python itself keeps in an exception may change."""
        if name in self.__dict__ and not name.startswith("__"):
            raise AttributeError(f"an error never changes: raise error.changed({name}=…) from error")
        super().__setattr__(name, value)

    def changed(self, **parts: object) -> Self:
        """A copy of this error with other parts. ``fields`` are added to the fields of this error.

        Raises TypeError for a part that an error does not have.
        """
        unknown = parts.keys() - self.__dict__.keys()
        if unknown:
            raise TypeError(f"an error has no {', '.join(sorted(unknown))}")
        if "fields" in parts:
            added: Any = parts["fields"]
            parts["fields"] = MappingProxyType({**self.fields, **added})
        copy = type(self).__new__(type(self), parts.get("message", self.message))
        copy.__dict__.update(self.__dict__)
        copy.__dict__.update(parts)
        return copy

    def adding(self, sentence: str) -> Self:
        """A copy of this error whose message has one more sentence."""
        return self.changed(message=f"{self.message} {sentence}")


class Incomplete(CruddurError):
    """The command ran, but part of the work failed or the answer is no."""

    code = "incomplete"


class BadInput(CruddurError):
    """An option, an argument or an input file cannot be used; nothing was changed."""

    exit_code = Exit.USAGE
    code = "usage"


class Interrupted(CruddurError):
    """The user pressed Ctrl-C; the message says which work is not done."""

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
    """A store was reached and refused the request."""

    exit_code = Exit.REFUSED
    code = "refused"


class NotFound(Refused):
    """A store does not have the table, database, handle or other thing that the command named."""

    code = "not_found"


class Protected(CruddurError):
    """``cruddur`` refused to start: the change is not confirmed, or its target is protected."""

    exit_code = Exit.PROTECTED
    code = "not_confirmed"
