"""A program in the foreground gets each signal once, and its exit code is returned."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from cruddur_cli.commands.local import foreground
from cruddur_cli.errors import BadInput
from tests.local.engines import REPOSITORY

RUN = """
import os, sys
from cruddur_cli.commands.local import foreground
sys.exit(foreground.run(sys.argv[1:], os.environ))
"""
# Writes a line for each signal that it gets, and ends with 7 at the one that is last.
TOLD = """
import signal, sys
def told(number, _):
    print(signal.Signals(number).name, flush=True)
for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT):
    signal.signal(number, told)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("ready", flush=True)
while True:
    signal.pause()
"""


def start(*command: str, **more: int) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen([sys.executable, "-c", RUN, *command], env=env, **more)  # type: ignore[call-overload,no-any-return]


def test_every_signal_reaches_the_program_and_its_code_comes_back() -> None:
    with start(sys.executable, "-c", TOLD, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGINT, signal.SIGQUIT):
            process.send_signal(number)
            assert process.stdout.readline().decode().strip() == signal.Signals(number).name
        process.terminate()
        assert process.wait(60) == 7


def test_a_signal_of_the_terminal_arrives_once() -> None:
    ours, theirs = pty.openpty()

    def in_the_terminal() -> None:
        os.setsid()
        os.close(os.open(os.ttyname(theirs), os.O_RDWR))  # becomes the controlling terminal

    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", RUN, sys.executable, "-c", TOLD]
    with subprocess.Popen(
        command,
        env=env,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=in_the_terminal,  # noqa: PLW1509
    ) as process:
        os.close(theirs)
        shown = b""
        for sent, expected in ((b"", b"ready"), (b"\x03", b"SIGINT"), (b"\x1c", b"SIGQUIT")):
            if sent:
                os.write(ours, sent)
            while expected not in shown:
                shown += os.read(ours, 1024)
        process.send_signal(signal.SIGUSR1)
        process.terminate()
        with suppress(OSError):
            while part := os.read(ours, 1024):
                shown += part
        assert process.wait(60) == 7
    os.close(ours)
    assert (shown.count(b"SIGINT"), shown.count(b"SIGQUIT")) == (1, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a program that its parent was killed")
def test_a_program_does_not_outlive_a_kill(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    process = start("sh", "-c", f"echo $$ > {file}.new; mv {file}.new {file}; exec sleep 600")
    while not file.exists():
        time.sleep(0.01)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    stat = Path(f"/proc/{file.read_text().strip()}/stat")
    with suppress(OSError):  # the process is gone, or nobody has asked for its exit code yet
        while stat.read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize("command", ["/nonexistent/program", "no-such-program", "/", ""])
def test_a_file_that_cannot_be_run_is_named(command: str) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with pytest.raises(BadInput, match="no program"):
        foreground.run([command], os.environ)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
