"""Runs a program in the foreground: signals reach it, and returns its exit code."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from ...errors import BadInput

# What ends, stops or tells a program something. What a terminal sends goes to its whole foreground group by itself.
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
    """The program's exit code, or 128 + n where signal n ended it.

    Raises BadInput for a program that is not there or cannot be run.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would take the exit code away
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [*_PASSED_ON, signal.SIGCHLD])
    try:
        die_with_us = _death_signal()

        def ready() -> None:
            die_with_us()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

        program = shutil.which(command[0], path=environ.get("PATH", os.defpath))
        if program is None:
            raise BadInput(f"There is no program {command[0]!r} on the PATH.", code="no_program")
        try:
            # Nothing else runs in this process that a fork could catch half-way.
            process = subprocess.Popen(command, executable=program, env=environ, preexec_fn=ready)  # noqa: PLW1509
        except OSError as error:
            raise BadInput(f"{command[0]} cannot be run: {error.strerror}.", code="no_program") from error
        code = _wait(process)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return code if code >= 0 else 128 - code


def _wait(process: subprocess.Popen[bytes]) -> int:
    while (code := process.poll()) is None:
        number, from_terminal = _next_signal()
        if number != signal.SIGCHLD and not from_terminal:
            process.send_signal(number)
    return code


def _next_signal() -> tuple[int, bool]:
    """The next signal for this process, and whether it came from the terminal, which has sent it to the program too."""
    signals = [*_PASSED_ON, signal.SIGCHLD]
    if sys.platform == "darwin":  # which does not say who sent it
        number = signal.sigwait(signals)
        typed = number in {signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH} and os.isatty(0)
        return number, typed and os.tcgetpgrp(0) == os.getpgrp()
    found = signal.sigwaitinfo(signals)
    return found.si_signo, found.si_code > 0


def _death_signal() -> Callable[[], None]:
    """What makes the kernel end the program when this process is killed; does nothing where the kernel cannot."""
    if sys.platform != "linux":
        return lambda: None
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
