"""A listening port that serves one connection after another, on a thread of its own."""

from __future__ import annotations

import contextlib
import socket
import threading

from trapd.demo.broker import HOST, free_port


class OneByOne:
    """Listens on `port` from its making until `close`. `timeout_s`: of each call on a connection."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        # Of those that the kernel gives to no connection: who tries it again and again while nobody listens
        # would in the end be given this very port for its own end, and talk to itself.
        self.port = free_port()
        self._listening = socket.create_server((HOST, self.port))
        self._thread = threading.Thread(target=self._run, name=type(self).__name__)
        self._thread.start()

    def serve(self, line: socket.socket) -> None:
        """One connection, from its first byte; an OSError of it ends it alone."""
        raise NotImplementedError

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(2 * self._timeout_s)
        self._listening.close()

    def _run(self) -> None:
        while True:
            try:
                line, _ = self._listening.accept()
            except OSError:
                return
            with line, contextlib.suppress(OSError):
                line.settimeout(self._timeout_s)
                self.serve(line)
