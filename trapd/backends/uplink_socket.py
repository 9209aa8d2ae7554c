"""The socket under a link: whether it has something for us, how it is closed. On the link owner's thread."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import time
from typing import Protocol

_LINGER_S = 1.0
_CORK = getattr(socket, "TCP_CORK", None)  # Linux's, both
_QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)


class Line(Protocol):
    """An open connection, whoever holds it."""

    def fileno(self) -> int:
        """Its number in this process."""


def second_handle(line: Line) -> socket.socket:
    """Another handle on the same connection, for `hang_up`: it outlives the first one's close."""
    return socket.socket(fileno=os.dup(line.fileno()))


def no_delay(line: socket.socket) -> None:
    """What is written leaves at once: an alert does not wait for the answer to what went before it."""
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def cork(line: socket.socket, *, on: bool) -> None:
    """While `on`, many small writes gather in the kernel; then they leave together, in few packets."""
    if _CORK is not None:
        line.setsockopt(socket.IPPROTO_TCP, _CORK, int(on))


def confirm(line: socket.socket) -> None:
    """Tell the other end at once what has arrived: until then it may hold back its next answers."""
    if _QUICK_ACK is not None:
        line.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)


def readable(line: Line, timeout_s: float, *, writing: bool) -> bool:
    """Whether something came within `timeout_s`. `writing`: room to write ends the wait too."""
    # TLS may hold bytes that the socket no longer shows.
    held = line.pending() if isinstance(line, ssl.SSLSocket) else 0
    look = select.poll()
    look.register(line, select.POLLIN | (select.POLLOUT if writing else 0))
    return held > 0 or any(what & ~select.POLLOUT for _, what in look.poll(timeout_s * 1000))


def hang_up(line: socket.socket, *, orderly: bool) -> None:
    """Close the connection. `orderly`: DISCONNECT was written; let the broker read it, at most 1 s.

    A socket closed on unread answers resets the connection, and the broker may lose what it has not read:
    the last messages, and the DISCONNECT that holds back the will.
    """
    if orderly:
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_WR)
            until_s = time.monotonic() + _LINGER_S
            while (left_s := until_s - time.monotonic()) > 0:
                line.settimeout(left_s)
                if not line.recv(65536):
                    break
    line.close()
