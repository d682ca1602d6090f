"""Completion in real shells: installed with its own command, and used through a terminal."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Run

SHELLS = {
    "bash": ["bash", "-i"],
    "zsh": ["zsh", "-i"],
    "fish": ["fish", "-i"],
}
PATIENCE_S = 90.0


@pytest.fixture(params=sorted(SHELLS))
def shell(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


def installed(shell: str, environment: dict[str, str], tmp_path: Path) -> tuple[dict[str, str], Path]:
    """The variables and the home of a user who has run --install-completion in this shell."""
    programs = tmp_path / "programs"
    programs.mkdir()
    program = programs / "cruddur"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cruddur_cli "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    home = tmp_path / "person"
    home.mkdir()
    variables = {
        **environment,
        "HOME": str(home),
        "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
        "TERM": "xterm",
        "PS1": "$ ",
        "SHELL": shutil.which(shell) or "",
    }
    # The shell that is to be set up is the one that starts the command.
    done = subprocess.run(
        [shell, "-c", "cruddur --install-completion; true"],
        env=variables, cwd=home, capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    assert f"{shell} completion installed" in done.stdout
    return variables, home


def test_values_are_completed_after_the_installation(
    shell: str, cruddur: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    variables, home = installed(shell, environment, tmp_path)
    assert cruddur("db", "setup", env={"HOME": str(home)}).code == 0
    with Typing(SHELLS[shell], variables, home) as terminal:
        terminal.types("cruddur ddb list-conversations --with and")
        # The first Tab is enough; a busy machine may be late. fish may draw only what is new in the line.
        terminal.sees("rewbrown", pressing="\t")


def test_zsh_completes_at_the_first_tab(cruddur: Run, environment: dict[str, str], tmp_path: Path) -> None:
    """Typer's own script only loads itself then. No store is asked, so that one Tab has to do."""
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    variables, home = installed("zsh", environment, tmp_path)
    with Typing(SHELLS["zsh"], variables, home) as terminal:
        terminal.types("cruddur ddb list-conv\t")
        terminal.sees("ersations")


class Typing:
    """A shell in a terminal of its own."""

    def __init__(self, command: list[str], env: dict[str, str], cwd: Path) -> None:
        self._command, self._env, self._cwd = command, env, cwd
        self.shown = b""

    def __enter__(self) -> Typing:
        self._process, self._terminal = pty.fork()
        if self._process == 0:
            os.chdir(self._cwd)
            os.execvpe(self._command[0], self._command, self._env)
        self.types("echo re''ady\n")
        self.sees("ready")
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process, signal.SIGKILL)
        os.close(self._terminal)
        os.waitpid(self._process, 0)

    def types(self, text: str) -> None:
        self.shown = b""
        os.write(self._terminal, text.encode())

    def sees(self, text: str, *, pressing: str = "") -> None:
        """Read until the text is shown. The key is pressed at once, and again after a pause without output."""
        deadline = time.monotonic() + PATIENCE_S
        os.write(self._terminal, pressing.encode())
        while text.encode() not in self.shown:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} is not in {self.shown!r}"
            if not select.select([self._terminal], [], [], 3 if pressing else left)[0]:
                os.write(self._terminal, pressing.encode())
            else:
                self.shown += os.read(self._terminal, 65536)
                if b"\x1b[c" in self.shown or b"\x1b[0c" in self.shown:  # fish asks what the terminal is
                    os.write(self._terminal, b"\x1b[?1;2c")
                    self.shown = self.shown.replace(b"\x1b[c", b"").replace(b"\x1b[0c", b"")
