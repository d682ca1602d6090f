"""Owns the entry point: runs the command line, and turns each error into a message and an exit code."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import shlex
import signal
import sys
from types import FrameType
from typing import Any

from .. import __version__, output, settings
from ..errors import BadInput, CruddurError, Exit, Interrupted
from ..output import history

PROGRAM = "cruddur"
# More container objects than any command creates while its modules load.
_SHORT_OBJECTS = 120_000
_FREE_TEXT = {"start-conversation", "send-message"}


def main() -> None:
    """Run the command line and exit with its exit code."""
    _collect_late()
    code = run(sys.argv[1:])
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:  # stderr cannot be written; Python would flush it again at exit, and change the exit code
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    gc.freeze()  # else Python collects garbage once more at exit, a fifth of the time of a short command
    sys.exit(code)


def _collect_late() -> None:
    """Delay garbage collection until ``_SHORT_OBJECTS`` objects exist: it takes a tenth of the time of a short command.

    From then on Python collects as usual, or a long command would use more and more memory.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(_SHORT_OBJECTS, *thresholds[1:])

    def collect_usually(*_: object) -> None:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(collect_usually)

    gc.callbacks.append(collect_usually)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code. Everything that is printed goes through ``output``."""
    history.forget()
    code = _run(arguments)
    try:
        problem = history.end(arguments, code, secrets=settings.secrets)
    except (KeyboardInterrupt, _EndedBySignal):
        problem = "it was interrupted."
    if problem is not None:
        output.warn(f"{history.NOT_WRITTEN} {problem}")
    return code


def _run(arguments: list[str]) -> int:
    debug, output_format = "--debug" in arguments[: _end(arguments)], "table"
    try:
        _fill_closed_streams()
        settings.keep_environment()
        arguments = _set_up_colours(arguments)
        _handle_signals()
        output_format = _output_format(arguments[: _end(arguments)])
        code = _dispatch(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except Interrupted as error:
        output.interrupted(error.message)
        return error.exit_code
    except CruddurError as error:
        history.failed(error)
        if debug:
            output.tell_traceback(error)
        _print_error(error, arguments, output_format)
        return error.exit_code
    except KeyboardInterrupt:
        output.interrupted()
        return Exit.INTERRUPTED
    except _EndedBySignal as ended:
        output.tell(f"ended by {signal.Signals(ended.number).name}")
        return 128 + ended.number
    except BrokenPipeError:
        _silence_stdout()
        return Exit.DONE
    except Exception as error:  # noqa: BLE001 - the last resort: one line, a traceback with --debug
        if debug:
            output.tell_traceback(error)
        if isinstance(error, OSError):
            _silence_stdout()  # on a full disk, Python would print a second error when it flushes stdout
        _print_error(_unexpected(error), arguments, output_format)
        return Exit.NO


def _dispatch(arguments: list[str]) -> int:
    _refuse_broken_text(arguments[: _end(arguments)] if arguments[:2] == ["local", "run"] else arguments)
    _refuse_trailing_prod(arguments)
    if arguments[:1] == ["--version"]:
        sys.stdout.write(f"{PROGRAM} {__version__}\n")
        return Exit.DONE
    _refuse_early_options(arguments)
    import typer

    from . import tree

    if arguments[:1] in (["--install-completion"], ["--show-completion"]):
        from . import completion_scripts

        completion_scripts.complete_first_tab()
    # A shell that completes sets this variable.
    is_completion = f"_{PROGRAM.upper()}_COMPLETE" in os.environ
    command_words = tree.completed() if is_completion else arguments[:3] or ["--help"]
    try:
        code = tree.tree(*command_words)(args=arguments, prog_name=PROGRAM, standalone_mode=False)
    except typer.Abort as error:
        if isinstance(error.__cause__, EOFError):  # Typer takes every EOFError for Ctrl-D, also a damaged module file's
            raise error.__cause__ from None
        raise KeyboardInterrupt from error
    except SystemExit as error:  # rich and typer exit by themselves when the reader of a pipe has ended
        raise BrokenPipeError from error
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else _program(arguments)
        message, hint = _suggest(context, error.format_message(), arguments)
        raise BadInput(_sentence(message), hint=hint or f"{command} --help") from error
    if code == Exit.INTERRUPTED:  # typer catches the interrupt and prints nothing
        raise KeyboardInterrupt
    return int(code) if isinstance(code, int) else Exit.DONE


def _suggest(context: Any, message: str, arguments: list[str]) -> tuple[str, str | None]:
    """Typer's message and a hint: the command that the user probably meant, or None."""
    from . import suggestions

    if context is not None and message.startswith("No such command"):
        word, line = suggestions.command(context, arguments)
        return f"{message.rstrip('.')}. Did you mean {word!r}?" if word else message, line
    if context is not None and "unexpected extra argument" in message:
        return suggestions.extra_argument(context, message)
    return message, None


def _sentence(text: str) -> str:
    """Typer's message in words that need no knowledge of Python, with a full stop."""
    text = text.replace("a valid int range", "a whole number").replace("a valid integer", "a whole number")
    text = text.replace("a valid float range", "a number").replace("Got unexpected extra argument(s)", "Not expected:")
    return text if text.endswith((".", "?", ")")) else f"{text}."


def _program(arguments: list[str]) -> str:
    """The command that the arguments name: the program, the group, the group inside it, and the command."""
    words: list[str] = []
    for word in arguments:
        if word.startswith("-") or len(words) == (3 if words[1:] == ["stream"] else 2):
            break
        words.append(word)
    return " ".join([PROGRAM, *words])


def _end(arguments: list[str]) -> int:
    """The number of arguments that belong to this program.

    The arguments behind ``--`` do not, and neither do the command line that ``local run`` starts and its arguments.
    """
    if arguments[:2] == ["local", "run"]:
        words = (number for number, word in enumerate(arguments) if number > 1 and (word == "--" or word[:1] != "-"))
        return next(words, len(arguments))
    return arguments.index("--") if "--" in arguments else len(arguments)


def _refuse_broken_text(arguments: list[str]) -> None:
    """Raise BadInput for an argument that is not UTF-8: Python makes surrogates of it, which no store accepts."""
    for number, word in enumerate(arguments, 1):
        if any("\ud800" <= char <= "\udfff" for char in word):
            raise BadInput(f"Argument {number} is not valid UTF-8.", hint="run `locale` to see the terminal's encoding")


def _refuse_trailing_prod(arguments: list[str]) -> None:
    """Raise BadInput for a last word ``prod``: the scripts took it, but here only ``--prod`` names production."""
    if not arguments or arguments[-1].lower() not in {"prod", "production"} or _FREE_TEXT & set(arguments):
        return
    if arguments[:2] == ["local", "run"]:
        return
    from . import suggestions, tree

    previous = arguments[-2] if len(arguments) > 1 else ""
    if previous.startswith("-") and previous not in tree.flags():  # the value of an option
        return

    hint = suggestions.production(_program(arguments[:-1]))
    raise BadInput(f"{arguments[-1]!r} is not an argument of this command.", hint=hint)


def _refuse_early_options(arguments: list[str]) -> None:
    """Raise BadInput for an option that stands before its command; the hint has the options in the right place."""
    from . import tree

    if len(arguments) > 1 and arguments[0] in {"--install-completion", "--show-completion"}:
        raise BadInput(
            f"{arguments[0]} takes no value. It is for the shell in which you run it.",
            hint=f"{PROGRAM} {arguments[0]}",
        )
    place = 0
    while " ".join(arguments[: place + 1]) in tree.GROUPS and place < len(arguments):
        place += 1
    rest, moved = list(arguments), list[str]()
    # An option alone, such as --help, stands before no command. tree.flags() loads every command, so it comes last.
    is_early = len(rest) > place + 1 and rest[place].startswith("-") and rest[place] not in {"-h", "--help"}
    flags = tree.flags() if is_early else set()
    valued = tree.valued() if flags else set()
    while rest[place : place + 1] and rest[place].startswith("-"):
        name, is_joined, _ = rest[place].partition("=")
        size = 1 if name in flags or (is_joined and name in valued) else 2 if name in valued else 0
        if not size or len(rest) <= place + size:
            break
        moved += rest[place : place + size]
        del rest[place : place + size]
        while " ".join(rest[: place + 1]) in tree.GROUPS and place < len(rest):
            place += 1
    if moved:
        raise BadInput(f"{moved[0]} goes after the command.", hint=shlex.join([PROGRAM, *rest, *moved]))


def _output_format(arguments: list[str]) -> str:
    """The output format in the arguments. It is read here because errors of the command line are printed in it too."""
    for number, word in enumerate(arguments):
        if word in {"-o", "--output"} and number + 1 < len(arguments):
            return arguments[number + 1]
        for prefix in ("--output=", "-o"):
            if word.startswith(prefix) and word.removeprefix(prefix) in {"json", "jsonl", "csv", "markdown", "table"}:
                return word.removeprefix(prefix)
    return "table"


def _print_error(error: CruddurError, arguments: list[str], output_format: str) -> None:
    if error.again is not None:
        from . import suggestions

        error = error.changed(hint=suggestions.same_command(arguments, error.again, end=_end(arguments)))
    if "--prod" in arguments[: _end(arguments)]:
        from ..output.text import in_production

        error = error.changed(
            hint=in_production(error.hint) if error.hint else None,
            details=in_production(error.details) if error.details else None,
        )
    error = output.masked(error)
    # Where Typer could not read the command line, its hint names the part that it could read.
    command, is_help, _ = (error.hint or "").partition(" --help")
    program = command if is_help else _program(arguments)
    if "file" in error.fields:
        from ..output import github

        github.annotate_error(error, program)
    output.fail(error, program, output_format)


def _unexpected(error: Exception) -> CruddurError:
    if isinstance(error, OSError):
        if error.errno == errno.EBADF and not error.filename:
            return CruddurError("Standard output is closed, so nothing could be printed.", code="os_error")
        if error.errno == errno.ENOENT and not error.filename:
            return CruddurError(
                "The current folder does not exist any more.",
                hint="cd to another folder, and run it again",
                code="os_error",
            )
        place = error.filename or "the output"
        return CruddurError(f"{place} cannot be read or written: {error.strerror or error}.", code="os_error")
    text = " ".join(str(error).split())
    return CruddurError(
        f"unexpected {type(error).__name__}: {text}", hint="run it again with --debug", code="unexpected"
    )


class _EndedBySignal(BaseException):
    """A signal ended the process. It is raised, so that open files and connections are closed."""

    def __init__(self, number: int) -> None:
        self.number = number


def _handle_signals() -> None:
    def end(number: int, _: FrameType | None) -> None:
        raise _EndedBySignal(number)

    # Windows has no SIGHUP.
    for number in {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}:
        with contextlib.suppress(ValueError):  # only the main thread may set a handler
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
                signal.signal(number, end)


def _fill_closed_streams() -> None:
    """Open the null device for each standard stream that is closed (``>&-``), so that no socket gets its number.

    Standard output is opened for reading only: a command that has data to print then fails.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8"))  # noqa: PTH123, SIM115


def _set_up_colours(arguments: list[str]) -> list[str]:
    """Keep escape sequences out of streams that are not terminals; returns the arguments without ``--no-color``.

    Typer forces colour where GITHUB_ACTIONS is set and rich where FORCE_COLOR is, even into a pipe. NO_COLOR leaves
    bold and dim text, and only TERM=dumb turns off every escape sequence. Help and errors obey the same rules.
    """
    end = _end(arguments)
    if "--no-color" in arguments[:end]:
        os.environ["NO_COLOR"] = "1"
        # Removed here, so that it may stand anywhere, even before the group.
        arguments = [word for number, word in enumerate(arguments) if word != "--no-color" or number >= end]
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not output.is_terminal(sys.stdout):
        for name in (
            "GITHUB_ACTIONS",
            "FORCE_COLOR",
            "PY_COLORS",
            "CLICOLOR_FORCE",
            "TTY_COMPATIBLE",
            "TTY_INTERACTIVE",
        ):
            os.environ.pop(name, None)
    if os.environ.get("NO_COLOR"):
        import shutil

        size = shutil.get_terminal_size()
        os.environ |= {"TERM": "dumb", "COLUMNS": str(size.columns), "LINES": str(size.lines)}
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    return arguments


def _silence_stdout() -> None:
    """Send standard output to the null device, so that Python drops the buffered text without an error."""
    null_device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, 1)
