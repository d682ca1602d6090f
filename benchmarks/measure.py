"""Runs commands, and measures the CPU time, wall time and peak memory of their processes."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

CRUDDUR = (sys.executable, "-m", "cruddur_cli")


@dataclass(frozen=True)
class Cost:
    """The cost of one process: CPU time is user and system time; peak memory is that of its resident set."""

    cpu_ms: float
    wall_ms: float
    peak_mb: float


@dataclass(frozen=True)
class Target:
    """The environment and the folder in which commands run, without a person's settings."""

    env: Mapping[str, str]
    folder: str

    def having(self, **variables: str) -> Target:
        """A target with more variables, in the same folder."""
        return Target({**self.env, **variables}, self.folder)

    def run(self, *command: str, terminal: bool = False) -> Cost:
        """Run a command and discard its output, or send it to a terminal; its cost. Raises SystemExit if it fails."""
        out, reader = _terminal() if terminal else (subprocess.DEVNULL, None)
        began = time.perf_counter()
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                command, env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=errors
            )
            _, status, usage = os.wait4(process.pid, 0)
            wall_ms = (time.perf_counter() - began) * 1000
            process.returncode = os.waitstatus_to_exitcode(status)
            if reader is not None:
                os.close(out)
                reader.join()
            if process.returncode:
                errors.seek(0)
                raise SystemExit(f"exit code {process.returncode} from {' '.join(command)}\n{errors.read().decode()}")
        return Cost((usage.ru_utime + usage.ru_stime) * 1000, wall_ms, usage.ru_maxrss / 1024)

    def cruddur(self, *arguments: str, terminal: bool = False) -> Cost:
        """Run a cruddur command; its cost."""
        return self.run(*CRUDDUR, *arguments, terminal=terminal)

    def printed(self, *command: str) -> str:
        """What a command prints. Raises CalledProcessError if it fails."""
        done = subprocess.run(
            command, env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
        )
        return done.stdout


def _terminal() -> tuple[int, threading.Thread]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))

    def drain() -> None:
        try:
            while os.read(master, 65536):
                pass
        except OSError:  # the command has closed the terminal
            pass
        os.close(master)

    reader = threading.Thread(target=drain)
    reader.start()
    return slave, reader


def median_cost(costs: Sequence[Cost]) -> Cost:
    """The median of each figure of the costs."""
    return Cost(
        median(each.cpu_ms for each in costs),
        median(each.wall_ms for each in costs),
        median(each.peak_mb for each in costs),
    )


def alternate(*commands: Callable[[], Cost], runs: int) -> list[Cost]:
    """The median costs of commands that take turns, so that other work of the machine slows all of them.

    The first run of each does not count.
    """
    rounds = [[command() for command in commands] for _ in range(runs + 1)][1:]
    return [median_cost(costs) for costs in zip(*rounds, strict=True)]
