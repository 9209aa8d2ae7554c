"""What the tests of the uplink share: how to reach a broker, and a server that says what it is told to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.brokers import WITHIN_S
from tests.canary import PASSWORD
from trapd.backends.uplink_paho import Account, PahoUplink
from trapd.demo.broker import HOST
from trapd.ports import Connected, Link, LinkEvent, Lost

WILL = ("t/unit/availability", b"offline")
CONNACK = b"\x20\x03\x00\x00\x00"


class RawServer:
    """Takes one connection, reads CONNECT, then does what `speak` does with the socket."""

    def __init__(self, speak: Callable[[socket.socket], None]) -> None:
        self._listening = socket.create_server((HOST, 0))
        self.port: int = self._listening.getsockname()[1]
        self._speak = speak
        self.connect = b""
        self._thread = threading.Thread(target=self._run, name="raw-server")
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(WITHIN_S)
        self._listening.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            taken, _ = self._listening.accept()
            with taken:
                taken.settimeout(WITHIN_S)
                self.connect = taken.recv(65536)
                self._speak(taken)


def uplink_to(port: int, **changes: Any) -> PahoUplink:
    settings: dict[str, Any] = {
        "client_id": "trapd-unit",
        "username": "unit",
        "password": lambda: PASSWORD,
        "tls": None,
        "protocol": "5",
        "keepalive_s": 30,
        "connect_timeout_s": 5.0,
    }
    host = changes.pop("host", HOST)
    return PahoUplink(Account(host, port, **(settings | changes)))


def first(link: Link) -> LinkEvent:
    event = link.next(WITHIN_S)
    assert event is not None, "nothing happened"
    return event


def outcome(uplink: PahoUplink) -> LinkEvent:
    link = uplink.connect(WILL)
    try:
        return first(link)
    finally:
        link.close()


def lost(uplink: PahoUplink) -> Lost:
    event = outcome(uplink)
    assert isinstance(event, Lost)
    return event


def connected(uplink: PahoUplink) -> Link:
    link = uplink.connect(WILL)
    event = first(link)
    if not isinstance(event, Connected):
        link.close()
        pytest.fail(f"not connected: {event}")
    return link
