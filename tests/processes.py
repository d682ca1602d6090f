"""Runs the command in a process of its own that needs no start: a copy of this one, in which all is imported.

Starting Python and importing botocore and psycopg is nine tenths of the processor time that a command takes.
"""

from __future__ import annotations

import gc
import io
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from cruddur_cli.cli import main as cli

# What an interpreter looks at once, as it starts: with these in its environment a command needs one of its own.
_AT_ITS_START = ("PYTHON", "LANG", "LC_", "TZ", "LD_", "DYLD_")


class Command:
    """A command that runs: what of ``subprocess.Popen`` tests use, without its pipes."""

    def __init__(self, process: int, out: IO[bytes], err: IO[bytes]) -> None:
        self.pid = process
        self.returncode: int | None = None
        self._out, self._err = out, err

    def poll(self) -> int | None:
        """Its exit code, minus the signal that ended it, or None while it runs."""
        if self.returncode is None:
            process, status = os.waitpid(self.pid, os.WNOHANG)
            if process:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended. Raises TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause_s = 0.001
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("cruddur", timeout or 0)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.02)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[bytes, bytes]:
        """What it wrote to both streams, once it has ended. Raises TimeoutExpired."""
        self.wait(timeout)
        return _content(self._out), _content(self._err)


def needs_a_start(environment: Mapping[str, str]) -> bool:
    """Whether a command with this environment needs an interpreter of its own."""
    return sys.platform != "linux" or any(
        os.environ.get(name) != environment.get(name)
        for name in {*os.environ, *environment}
        if name.startswith(_AT_ITS_START)
    )


def start_in_terminal(
    lines: Sequence[Sequence[str]], *, environment: Mapping[str, str], cwd: Path, terminal: int
) -> Command:
    """``cruddur`` with each of these lines of arguments, in a session of its own, with a terminal as all streams."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process == 0:
        os.setsid()
        _become(lines, environment, cwd, [terminal] * 3)
    return Command(process, io.BytesIO(), io.BytesIO())


def start(
    arguments: Sequence[str], *, environment: Mapping[str, str], cwd: Path, stdin: bytes = b"", merged: bool = False
) -> Command | subprocess.Popen[bytes]:
    """``cruddur`` with these arguments; with ``merged`` what it says on stderr goes where its data go."""
    if needs_a_start(environment):
        with tempfile.TemporaryFile() as said:
            said.write(stdin)
            said.seek(0)
            return subprocess.Popen(
                [sys.executable, "-m", "cruddur_cli", *arguments],
                env=environment,
                cwd=cwd,
                stdin=said,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            )
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115  # they live as long as the command
    with tempfile.TemporaryFile() as said:
        said.write(stdin)
        said.seek(0)
        with warnings.catch_warnings():
            # Other threads of this process (proxies, pytest-xdist) hold no lock that the copy asks for.
            warnings.simplefilter("ignore", DeprecationWarning)
            process = os.fork()
        if process == 0:
            streams = (said, out, out if merged else err)
            _become([arguments], environment, cwd, [stream.fileno() for stream in streams])
    return Command(process, out, err)


def run(
    arguments: Sequence[str], *, environment: Mapping[str, str], cwd: Path, stdin: bytes, timeout_s: float
) -> subprocess.CompletedProcess[bytes]:
    """What ``cruddur`` with these arguments leaves, as ``subprocess.run`` has it."""
    command = start(arguments, environment=environment, cwd=cwd, stdin=stdin)
    try:
        out, err = command.communicate(timeout=timeout_s)
    except BaseException:
        command.kill()
        command.wait()
        raise
    assert command.returncode is not None
    return subprocess.CompletedProcess(["cruddur", *arguments], command.returncode, out, err)


def apart(do: Callable[[], object]) -> str | None:
    """Does it in a copy of this process, which alone is changed by it; the traceback of what it raised, or None."""
    with tempfile.TemporaryFile() as raised:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            process = os.fork()
        if process == 0:
            try:
                gc.freeze()
                do()
            except BaseException:  # noqa: BLE001  # an assertion that failed, above all
                raised.write(traceback.format_exc().encode("utf-8", "backslashreplace"))
                raised.flush()
            finally:
                os._exit(0)
        _, status = os.waitpid(process, 0)
        raised.seek(0)
        text = raised.read().decode()
    return text or (f"it ended with status {status}" if status else None)


def _content(file: IO[bytes]) -> bytes:
    with file:
        file.seek(0)
        return file.read()


def _become(lines: Sequence[Sequence[str]], environment: Mapping[str, str], cwd: Path, streams: Sequence[int]) -> None:
    """Never comes back: this is the command from here on; of several lines, all of them with the largest exit code."""
    code = 1
    try:
        # What the tests have open stays theirs: nothing of it is collected, and so nothing closed, in here.
        gc.freeze()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8")
        written = io.BufferedWriter(io.FileIO(1, "w", closefd=False))
        sys.stdout = io.TextIOWrapper(written, "utf-8", line_buffering=os.isatty(1))
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), "utf-8", "backslashreplace", write_through=True)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        logging.getLogger().handlers.clear()
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(cwd)
        if len(lines) > 1:
            sys.exit(max(cli.run(list(arguments)) for arguments in lines))
        sys.argv = ["cruddur", *lines[0]]
        cli.main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001  # what would end an interpreter of its own
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
