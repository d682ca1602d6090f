"""Writes the emulator's log, and waits until changes are on the disk, so that they can be acknowledged."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import frames

# If the last sync took longer, the next one runs in a thread.
QUICK_S = 0.02


class Log:
    """One log that is being written. Requests that wait at the same time share a sync."""

    def __init__(self, path: Path, generation: int, size: int, mark: frames.Mark, *, after: Log | None = None) -> None:
        """Open the log to append at ``size``. Raises OSError.

        ``after`` is the log before this one. All of it is synced before the first byte of this one is written.
        """
        self.path = path
        self.generation = generation
        self.error: OSError | None = None
        self.end = self._written = self._synced = size
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self._mark = mark
        self._after = after
        # The bytes that may not be on the disk: after a failed sync, written bytes may be lost.
        self._tail = bytearray()
        self._sync_s = 0.0
        self._syncing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log")

    def append(self, payload: bytes) -> int:
        """Append a frame; the offset where it ends. It is on the disk once ``durable`` has returned for that offset."""
        content = frames.frame(payload)
        self._tail += content
        waiting = self._written < self.end or self._after is not None
        self.end += len(content)
        if not waiting:
            try:
                self._written += os.pwrite(self._descriptor, content, self._written)
            except OSError as error:
                # `durable` retries, and raises the error.
                self.error = error
        return self.end

    async def durable(self, position: int, *, alone: bool = False) -> None:
        """Wait until the log is on the disk up to ``position``.

        With ``alone`` no other request is running, so the sync needs no thread, which would double its time. Raises
        OSError if the log cannot be written; the appended frames stay in memory, and the next call retries.
        """
        while self._synced < position:
            if alone and self._syncing is None and self._after is None and self._sync_s < QUICK_S:
                start, target, rest = self._unsynced()
                try:
                    self._write(rest, start, target)
                except OSError as error:
                    self._fail(error)
                    raise
                self._settle(target)
                continue
            if self._syncing is None:
                self._syncing = asyncio.ensure_future(self._sync())
                # asyncio logs an exception that is not retrieved, which happens if all waiting requests were cancelled.
                self._syncing.add_done_callback(lambda task: task.cancelled() or task.exception())
            await asyncio.shield(self._syncing)

    def close(self) -> None:
        """Close the file."""
        self._thread.shutdown()
        os.close(self._descriptor)

    async def _sync(self) -> None:
        try:
            await self._sync_after()
            start, target, rest = self._unsynced()
            await asyncio.get_running_loop().run_in_executor(self._thread, self._write, rest, start, target)
            self._settle(target)
        except OSError as error:
            self._fail(error)
            raise
        finally:
            # Cleared here, because waiting requests read it as soon as this task ends.
            self._syncing = None

    def _unsynced(self) -> tuple[int, int, bytes]:
        """The offset up to which the file is written, the end of the log, and the bytes between them."""
        return self._written, self.end, bytes(self._tail[self._written - self._synced :])

    def _settle(self, target: int) -> None:
        self.error = None
        self._written = max(self._written, target)
        del self._tail[: target - self._synced]
        self._synced = target

    def _fail(self, error: OSError) -> None:
        self.error, self._written = error, self._synced

    async def _sync_after(self) -> None:
        if self._after is not None:
            await self._after.durable(self._after.end)
            self._after.close()
            self._after = None

    def _write(self, rest: bytes, start: int, target: int) -> None:
        began = time.monotonic()
        frames.write_all(self._descriptor, rest, start)
        frames.sync(self._descriptor)
        self._sync_s = time.monotonic() - began
        if not os.fstat(self._descriptor).st_nlink:
            raise OSError(errno.ENOENT, "its files were deleted", str(self.path))
        self._mark.write(self.generation, target)
