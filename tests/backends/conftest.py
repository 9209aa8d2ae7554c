"""Brokers and servers for the tests of the uplink."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.backends.uplink_rig import RawServer
from tests.brokers import embedded, mosquitto

__all__ = ["embedded", "mosquitto"]


@pytest.fixture
def raw() -> Iterator[Callable[[Callable[[socket.socket], None]], RawServer]]:
    servers: list[RawServer] = []

    def make(speak: Callable[[socket.socket], None]) -> RawServer:
        servers.append(RawServer(speak))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "uplink"]
