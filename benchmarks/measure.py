"""What a command takes, as the system accounts for whole processes, and how two of them compare."""

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
    """What one process took: CPU is user and system time; peak memory is its resident set."""

    cpu_ms: float
    wall_ms: float
    peak_mb: float


@dataclass(frozen=True)
class Target:
    """Where commands run: an environment without anybody's settings, and a folder."""

    env: Mapping[str, str]
    folder: str

    def having(self, **variables: str) -> Target:
        """The same with more variables."""
        return Target({**self.env, **variables}, self.folder)

    def run(self, *command: str, terminal: bool = False) -> Cost:
        """Run a command, which has to succeed; its output goes nowhere, or to a terminal that nobody reads."""
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
        """``run`` for cruddur."""
        return self.run(*CRUDDUR, *arguments, terminal=terminal)

    def printed(self, *command: str) -> str:
        """What a command prints, which has to succeed."""
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
        except OSError:  # the other side is closed
            pass
        os.close(master)

    reader = threading.Thread(target=drain)
    reader.start()
    return slave, reader


def middle(costs: Sequence[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(
        median(each.cpu_ms for each in costs),
        median(each.wall_ms for each in costs),
        median(each.peak_mb for each in costs),
    )


def alternate(*commands: Callable[[], Cost], runs: int) -> list[Cost]:
    """The medians of commands that take turns, so that whatever else the machine does hits all of them. One run of
    each comes first and does not count."""
    rounds = [[command() for command in commands] for _ in range(runs + 1)][1:]
    return [middle(costs) for costs in zip(*rounds, strict=True)]
