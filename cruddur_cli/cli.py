"""The front door: mounts the groups, and is the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from importlib import metadata
from types import FrameType

from . import output
from .errors import BadInput, CruddurError, Exit
from .settings import mask, mask_url

PROGRAM = "cruddur"
_FREE_TEXT = {"start-conversation", "send-message"}


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line; comes back with the exit code. Everything a person sees goes through ``output``."""
    debug = "--debug" in arguments
    _calm(arguments)
    _answer_signals()
    wanted = _wanted_output(arguments)
    try:
        code = _dispatch(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
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
        _say(_unexpected(error), arguments, wanted)
        return Exit.REFUSED if isinstance(error, OSError) else Exit.NO


def _dispatch(arguments: list[str]) -> int:
    _refuse_trailing_prod(arguments)
    import typer

    from .commands import front

    try:
        code = front.app(args=arguments, prog_name=PROGRAM, standalone_mode=False)
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else PROGRAM
        raise BadInput(error.format_message(), hint=f"{command} --help") from error
    return int(code) if isinstance(code, int) else Exit.DONE


def _refuse_trailing_prod(arguments: list[str]) -> None:
    """The scripts took a last word ``prod``, each in its own way; here it is never an argument."""
    if len(arguments) > 1 and arguments[-1].lower() in {"prod", "production"} and not _FREE_TEXT & set(arguments):
        if arguments[-2].startswith("-") and arguments[-2] not in {"--prod", "-y", "--yes", "-q", "-n", "--dry-run"}:
            return
        command = " ".join(word for word in arguments[:-1] if word != "--prod")
        raise BadInput(
            f"The word {arguments[-1]!r} is not how production is named.",
            hint=f"{PROGRAM} {command} --prod",
            code="usage",
        )


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
    words: list[str] = []
    for word in arguments:
        if word.startswith("-") or len(words) == 2:
            break
        words.append(word)
    secrets = _secrets()
    error.message = mask(error.message, secrets)
    error.details = mask(error.details, secrets) if error.details else None
    output.fail(error, " ".join([PROGRAM, *words]), wanted)


def _unexpected(error: Exception) -> CruddurError:
    if isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        return CruddurError(f"{error.strerror or error}{place}.", code="os_error")
    text = " ".join(str(error).split())
    return CruddurError(
        f"unexpected {type(error).__name__}: {text}", hint="run it again with --debug", code="unexpected"
    )


def _trace(debug: bool) -> None:
    """The traceback on stderr, without locals (they hold connection URLs) and with every known secret masked."""
    if debug:
        import traceback

        output.tell(mask(traceback.format_exc(), _secrets()).rstrip())


def _secrets() -> tuple[str, ...]:
    """Every password and key that this process knows of: none of them may stand in what it prints."""
    from urllib.parse import unquote

    found = set()
    for name, value in os.environ.items():
        if any(part in name for part in ("SECRET", "TOKEN", "PASSWORD")):
            found.add(value)
        elif "://" in value and mask_url(value) != value:
            password = value.partition("//")[2].rpartition("@")[0].partition(":")[2]
            found |= {password, unquote(password)}
    return tuple(secret for secret in found if len(secret) >= 3)


class _Ended(BaseException):
    """A signal that ends the process, raised so that everything open is closed on the way out."""

    def __init__(self, number: int) -> None:
        self.number = number


def _answer_signals() -> None:
    def end(number: int, _: FrameType | None) -> None:
        raise _Ended(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(ValueError):  # not the main thread: somebody runs this as a library
            signal.signal(number, end)


def _calm(arguments: list[str]) -> None:
    """Keep escape bytes out of streams that are no terminal, in --help and errors too.

    Typer forces colour where GITHUB_ACTIONS is set and rich where FORCE_COLOR is, even into a pipe; NO_COLOR leaves
    them bold and dim, and only TERM=dumb turns off every escape.
    """
    if "--no-color" in arguments:
        os.environ["NO_COLOR"] = "1"
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


def _silence_stdout() -> None:
    """The reader is gone (``| head -1``): whatever is still buffered goes nowhere, without a word."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


def version() -> str:
    """The installed version."""
    return metadata.version("cruddur")
