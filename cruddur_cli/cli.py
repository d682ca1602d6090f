"""The front door: mounts the groups, and is the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from types import FrameType
from typing import Any

from . import output
from .errors import BadInput, CruddurError, Exit, Interrupted

PROGRAM = "cruddur"
_FREE_TEXT = {"start-conversation", "send-message"}
_FLAGS = {
    "--prod", "--quiet", "-q", "--debug", "--no-color", "--dry-run", "-n", "--yes", "-y",
    "--if-exists", "--on-demand", "--typed", "--discover", "--anywhere", "--stream", "--once",
    "--follow", "--explain", "--no-compare", "--restart", "--verbatim", "--cancel", "--create-missing",
}  # fmt: skip


def main() -> None:
    """Run the command line and leave with its exit code."""
    # Most commands end within a moment, and looking for cycles while modules load is a tenth of it.
    gc.set_threshold(100_000, 20, 20)
    code = run(sys.argv[1:])
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:  # nowhere to tell anything; Python would try again at its end, and make it the exit code
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line; comes back with the exit code. Everything a person sees goes through ``output``."""
    debug, wanted = "--debug" in arguments, "table"
    try:
        _fill_closed_streams()
        arguments = _calm(arguments)
        _answer_signals()
        wanted = _wanted_output(arguments)
        code = _dispatch(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except Interrupted as error:
        output.tell(f"interrupted: {error.message}")
        return error.exit_code
    except CruddurError as error:
        _trace(debug)
        _say(error, arguments, wanted)
        return error.exit_code
    except KeyboardInterrupt:
        output.tell("interrupted")
        return Exit.INTERRUPTED
    except _Ended as ended:
        output.tell(f"ended by {signal.Signals(ended.number).name}")
        return 128 + ended.number
    except BrokenPipeError:
        _silence_stdout()
        return Exit.DONE
    except Exception as error:  # noqa: BLE001 - the last resort: one line, a traceback with --debug
        _trace(debug)
        if isinstance(error, OSError):
            _silence_stdout()  # a full disk would be told again when Python empties its buffers
        _say(_unexpected(error), arguments, wanted)
        return Exit.NO


def _dispatch(arguments: list[str]) -> int:
    _refuse_trailing_prod(arguments)
    _refuse_early_options(arguments)
    if arguments[:1] == ["--version"]:
        from importlib import metadata

        sys.stdout.write(f"{PROGRAM} {metadata.version(PROGRAM)}\n")
        return Exit.DONE
    import typer

    from .commands import front

    # Completion asks about the whole tree, and says so in a variable of its own.
    wanted = [] if f"_{PROGRAM.upper()}_COMPLETE" in os.environ else arguments[:2]
    try:
        code = front.tree(*wanted)(args=arguments, prog_name=PROGRAM, standalone_mode=False)
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    except SystemExit as error:  # rich and typer leave by themselves when the reader of a pipe is gone
        raise BrokenPipeError from error
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else _program(arguments)
        message = error.format_message()
        hint = _meant(context, message, arguments) or f"{command} --help"
        raise BadInput(_sentence(message), hint=hint) from error
    if code == Exit.INTERRUPTED:  # typer keeps the interrupt to itself, and says nothing
        raise KeyboardInterrupt
    return int(code) if isinstance(code, int) else Exit.DONE


def _meant(context: Any, message: str, arguments: list[str]) -> str | None:
    """The command line that was meant, where Typer found no such command, or a word too many."""
    from .commands import meant

    if context is None:
        return None
    if message.startswith("No such command") and "Did you mean" not in message:
        return meant.command(context, arguments)
    return meant.table_option(context, message) if "unexpected extra argument" in message else None


def _sentence(text: str) -> str:
    """Typer's message in the words of people who do not write Python."""
    text = text.replace("a valid int range", "a whole number").replace("a valid integer", "a whole number")
    text = text.replace("a valid float range", "a number").replace("Got unexpected extra argument(s)", "Not expected:")
    return text if text.endswith((".", "?", ")")) else f"{text}."


def _program(arguments: list[str]) -> str:
    """The command that the arguments name: the program, its group, the group in it, the command."""
    words: list[str] = []
    for word in arguments:
        if word.startswith("-") or len(words) == (3 if words[1:] == ["stream"] else 2):
            break
        words.append(word)
    return " ".join([PROGRAM, *words])


def _refuse_trailing_prod(arguments: list[str]) -> None:
    """The scripts took a last word ``prod``, each in its own way; here it is never an argument."""
    if not arguments or arguments[-1].lower() not in {"prod", "production"} or _FREE_TEXT & set(arguments):
        return
    before = arguments[-2] if len(arguments) > 1 else ""
    if before.startswith("-") and before not in _FLAGS:  # the value of an option
        return
    from .commands import meant

    hint = meant.production(_program(arguments[:-1]))
    raise BadInput(f"The word {arguments[-1]!r} is not how production is named.", hint=hint)


def _refuse_early_options(arguments: list[str]) -> None:
    """An option that every command takes, put before the command: say where it goes."""
    if arguments and arguments[0] in _FLAGS and len(arguments) > 1:
        rest = " ".join([*arguments[1:], arguments[0]])
        raise BadInput(f"{arguments[0]} goes after the command.", hint=f"{PROGRAM} {rest}")


def _wanted_output(arguments: list[str]) -> str:
    """The output format, read by hand: an error in the command line itself has to be told in it too."""
    for number, word in enumerate(arguments):
        if word in {"-o", "--output"} and number + 1 < len(arguments):
            return arguments[number + 1]
        for prefix in ("--output=", "-o"):
            if word.startswith(prefix) and word.removeprefix(prefix) in {"json", "jsonl", "csv", "table"}:
                return word.removeprefix(prefix)
    return "table"


def _say(error: CruddurError, arguments: list[str], wanted: str) -> None:
    from . import settings

    secrets = settings.secrets()
    error.message = settings.mask(error.message, secrets)
    error.details = settings.mask(error.details, secrets) if error.details else None
    error.hint = settings.mask(error.hint, secrets) if error.hint else None
    # Where Typer could not read the command line, its hint names the part that it could.
    known, is_help, _ = (error.hint or "").partition(" --help")
    output.fail(error, known if is_help else _program(arguments), wanted)


def _unexpected(error: Exception) -> CruddurError:
    if isinstance(error, OSError):
        place = error.filename or "the output"
        return CruddurError(f"{place} cannot be read or written: {error.strerror or error}.", code="os_error")
    text = " ".join(str(error).split())
    return CruddurError(
        f"unexpected {type(error).__name__}: {text}", hint="run it again with --debug", code="unexpected"
    )


def _trace(debug: bool) -> None:
    """The traceback on stderr, without locals (they hold connection URLs) and with every known secret masked."""
    if debug:
        import traceback

        from . import settings

        output.tell(settings.mask(traceback.format_exc(), settings.secrets()).rstrip())


class _Ended(BaseException):
    """A signal that ends the process, raised so that everything open is closed on the way out."""

    def __init__(self, number: int) -> None:
        self.number = number


def _answer_signals() -> None:
    def end(number: int, _: FrameType | None) -> None:
        raise _Ended(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(ValueError):  # not the main thread: somebody runs this as a library
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, end)


def _fill_closed_streams() -> None:
    """Put the null device where a standard stream is closed (``>&-``), before a socket gets its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8"))  # noqa: PTH123, SIM115


def _calm(arguments: list[str]) -> list[str]:
    """Keep escape bytes out of streams that are no terminal, in --help and errors too; the arguments that are left.

    Typer forces colour where GITHUB_ACTIONS is set and rich where FORCE_COLOR is, even into a pipe; NO_COLOR leaves
    them bold and dim, and only TERM=dumb turns off every escape.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    if "--no-color" in arguments[:end]:
        os.environ["NO_COLOR"] = "1"
        # Taken here, so that it may stand anywhere, before the group as well.
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
    """The reader is gone (``| head -1``): whatever is still buffered goes nowhere, without a word."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
