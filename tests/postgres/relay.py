"""A relay to a server that a test can cut: it then discards all bytes, and connections stay open."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Relay:
    """Forwards every connection to the server of a URL."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._cut: set[int] = set()
        self._takes_new = True
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The URL of the same database behind the relay."""
        login = self._parts.netloc.rpartition("@")[0]
        return self._parts._replace(netloc=f"{login}@127.0.0.1:{self._listener.getsockname()[1]}").geturl()

    def cut(self, *, new: bool = True) -> None:
        """Discard all bytes of the open connections from now on, and with ``new`` those of later ones too."""
        self._cut |= {id(one) for one in self._open}
        self._takes_new = not new

    def close(self) -> None:
        self._listener.close()
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._open.append(near)
                if not self._takes_new:
                    continue
                far = socket.create_connection(("127.0.0.1", self._parts.port or 5432))
                self._open.append(far)
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while part := source.recv(65536):
                if id(source) not in self._cut:
                    sink.sendall(part)
            if id(source) not in self._cut:
                sink.shutdown(socket.SHUT_WR)


@contextmanager
def relayed(url: str) -> Iterator[Relay]:
    """Start a relay to the server of that URL, until the block ends."""
    relay = Relay(url)
    try:
        yield relay
    finally:
        relay.close()
