"""Runs a program in the foreground: passes signals on to it, and returns its exit code."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from ...errors import BadInput

# Signals that are passed on. Those from the terminal are not: it sends them to the whole foreground group.
_PASSED_ON = [
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
    signal.SIGWINCH,
]
_PR_SET_PDEATHSIG = 1  # prctl(2)


def run(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a program and return its exit code, or 128 + n where signal n ended it.

    Raises BadInput for a program that does not exist or cannot be run.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if it is ignored, the exit code is lost
    old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, [*_PASSED_ON, signal.SIGCHLD])
    try:
        set_death_signal = _death_signal()

        def ready() -> None:
            set_death_signal()
            signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)

        program = shutil.which(command[0], path=environ.get("PATH", os.defpath))
        if program is None:
            raise BadInput(f"There is no program {command[0]!r} on the PATH.", code="no_program")
        try:
            # preexec_fn is safe here, because this process has no other thread.
            process = subprocess.Popen(command, executable=program, env=environ, preexec_fn=ready)  # noqa: PLW1509
        except OSError as error:
            raise BadInput(f"{command[0]} cannot be run: {error.strerror}.", code="no_program") from error
        code = _wait(process)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
    return code if code >= 0 else 128 - code


def _wait(process: subprocess.Popen[bytes]) -> int:
    while (code := process.poll()) is None:
        number, from_terminal = _next_signal()
        if number != signal.SIGCHLD and not from_terminal:
            process.send_signal(number)
    return code


def _next_signal() -> tuple[int, bool]:
    """The next signal for this process, and whether it came from the terminal, which also sent it to the program."""
    signals = [*_PASSED_ON, signal.SIGCHLD]
    if sys.platform == "darwin":  # macOS has no sigwaitinfo, so the sender is unknown
        number = signal.sigwait(signals)
        is_typed = number in {signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH} and os.isatty(0)
        return number, is_typed and os.tcgetpgrp(0) == os.getpgrp()
    info = signal.sigwaitinfo(signals)
    return info.si_signo, info.si_code > 0


def _death_signal() -> Callable[[], None]:
    """A function that makes the kernel end the program when this process is killed.

    On Linux only; else it does nothing.
    """
    if sys.platform != "linux":
        return lambda: None
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
