"""Commands as processes that are killed near a chosen request; all use one address."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from tests import faults, processes

Running = processes.Command | subprocess.Popen[bytes]


def start(environment: dict[str, str], url: str, folder: Path, *arguments: str) -> Running:
    return processes.start(
        ["ddb", *arguments], environment={**environment, "AWS_ENDPOINT_URL_DYNAMODB": url}, cwd=folder, merged=True
    )


class Endpoint:
    """One loopback address for a command that runs twice: a new proxy would be another store."""

    def __init__(self, engine: str) -> None:
        self.before: Any = lambda _: None
        self._chance = random.Random(1)
        self._recorded = faults.recorded(engine, before=self._tell)

    def _tell(self, operation: str) -> None:
        self.before(operation)

    def __enter__(self) -> Endpoint:
        self.recording = self._recorded.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._recorded.__exit__(*error)

    def kill(self, environment: dict[str, str], folder: Path, operation: str, point: int, *arguments: str) -> bool:
        """Start a command and kill it near request number ``point`` of an operation; returns whether it was killed."""
        enough = threading.Event()
        left = [point]

        def count(asked: str) -> None:
            left[0] -= asked == operation
            if left[0] <= 0:
                enough.set()

        self.before = count
        process = start(environment, self.recording.url, folder, *arguments)
        while not enough.wait(0.02) and process.poll() is None:
            pass
        time.sleep(self._chance.uniform(0, 0.06))
        process.kill()
        process.communicate()
        self.before = lambda _: None
        return process.returncode == -9

    def run(self, environment: dict[str, str], folder: Path, *arguments: str) -> str:
        """Run a command to its end; returns its output."""
        process = start(environment, self.recording.url, folder, *arguments)
        said = process.communicate(timeout=60)[0].decode()
        assert process.returncode == 0, said
        return said
