"""A gate on loopback between the unit and the broker. Opened and shut by the demo's thread.

While it is shut the unit's port refuses connections, whatever the broker does behind it. So the demo can let
its subscriber subscribe again, on the broker's own port, before the unit may come back and publish: a broker
without sessions drops what nobody subscribes to.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from trapd.errors import UsageError

LOOPBACK = "127.0.0.1"
_TURN_S = 0.1
_CONNECT_S = 5.0
_PIECE_BYTES = 65536


class Gate:
    """Forwards connections to `target_port` while open. The port is taken at once and kept until close()."""

    def __init__(self, port: int, target_port: int) -> None:
        """`port` 0 takes a free one. Raises UsageError where the port is taken."""
        self._target_port = target_port
        self._listener = _bound(port)
        self.port: int = self._listener.getsockname()[1]
        self._shutting = threading.Event()
        self._acceptor: threading.Thread | None = None
        self._connections: list[_Connection] = []

    def open(self) -> None:
        """Let connections through."""
        self._shutting.clear()
        self._listener.settimeout(_TURN_S)
        self._listener.listen()
        self._acceptor = threading.Thread(target=self._accept, name="demo-gate", daemon=True)
        self._acceptor.start()

    def shut(self) -> None:
        """Cut what is connected and refuse what comes; may be called twice."""
        if self._acceptor is None:
            return
        self._end()
        self._listener = _bound(self.port)

    def close(self) -> None:
        """Shut, and give the port back; may be called twice."""
        self._end()

    def _end(self) -> None:
        self._shutting.set()
        if self._acceptor is not None:
            self._acceptor.join()
            self._acceptor = None
        self._listener.close()
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def _accept(self) -> None:
        while not self._shutting.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            try:
                broker = socket.create_connection((LOOPBACK, self._target_port), timeout=_CONNECT_S)
            except OSError:
                client.close()  # no broker behind the gate: the caller sees the connection end
                continue
            self._connections.append(_Connection(client, broker))


class _Connection:
    """Two sockets and the two threads that copy between them."""

    def __init__(self, client: socket.socket, broker: socket.socket) -> None:
        self._ends = (client, broker)
        for end in self._ends:
            end.settimeout(None)  # ended by close(), which cuts both
        self._copiers = [
            threading.Thread(target=_copy, args=pair, name="demo-gate-copy", daemon=True)
            for pair in ((client, broker), (broker, client))
        ]
        for copier in self._copiers:
            copier.start()

    def close(self) -> None:
        _cut(*self._ends)
        for copier in self._copiers:
            copier.join()
        for end in self._ends:
            end.close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    """Until either end has gone; then the other one goes too."""
    with suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            sink.sendall(piece)
    _cut(source, sink)


def _cut(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):  # already cut by its peer
            end.shutdown(socket.SHUT_RDWR)


def _bound(port: int) -> socket.socket:
    """A socket that holds the port; it refuses connections until it listens."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as error:
        listener.close()
        raise UsageError(
            f"port {port} cannot be used: {error.strerror}", "name another --port, or none"
        ) from error
    return listener
