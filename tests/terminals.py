"""Runs a command in a pseudo-terminal of its own, as a person would, or with streams that are closed or full."""

from __future__ import annotations

import fcntl
import os
import pty
import shlex
import struct
import subprocess
import sys
import termios
from pathlib import Path

from . import processes
from .conftest import Ran

# Several command lines in one process, because most of a command's time is Python's start.
LINES = (
    "import shlex, sys; from cruddur_cli.cli.main import run; "
    "sys.exit(max([run(shlex.split(x)) for x in sys.argv[1:]]))"
)


def in_terminal(
    environment: dict[str, str],
    *arguments: str,
    cwd: Path,
    typed: str = "",
    env: dict[str, str] | None = None,
    columns: int = 80,
    lines: bool = False,
) -> Ran:
    """One command whose three streams are one terminal; ``typed`` is what the person types, ``out`` what they see.

    With ``lines`` each argument is a command line of its own.
    """
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    os.write(leader, typed.encode())
    merged = {"TERM": "xterm-256color", **environment, **(env or {})}
    process: processes.Command | subprocess.Popen[bytes]
    if processes.needs_a_start(merged):
        process = subprocess.Popen(
            [sys.executable, *(["-c", LINES] if lines else ["-m", "cruddur_cli"]), *arguments],
            env=merged,
            cwd=cwd,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        )
    else:
        typed_lines = [shlex.split(line) for line in arguments] if lines else [arguments]
        process = processes.start_in_terminal(typed_lines, environment=merged, cwd=cwd, terminal=follower)
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # Linux says EIO where the last writer has gone
            break
        if not part:
            break
        shown += part
    os.close(leader)
    return Ran(process.wait(60), shown.decode("utf-8", "replace").replace("\r\n", "\n"), "")


def in_shell(environment: dict[str, str], script: str, *, cwd: Path) -> Ran:
    """A line of bash in which ``cruddur`` is the command under test."""
    function = f'cruddur() {{ "{sys.executable}" -m cruddur_cli "$@"; }}; '
    done = subprocess.run(
        ["bash", "-c", function + script], env=environment, cwd=cwd, capture_output=True, timeout=120, check=False
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
