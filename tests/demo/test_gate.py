"""The gate refuses while shut, forwards while open, and keeps its port throughout."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from trapd.demo.broker import free_port
from trapd.demo.gate import LOOPBACK, Gate
from trapd.errors import UsageError

WAIT_S = 60.0  # only so that nothing hangs


class Echo:
    """A server that sends back what it gets."""

    def __init__(self) -> None:
        self.listener = socket.create_server((LOOPBACK, 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with peer:
                while data := peer.recv(1000):
                    peer.sendall(data)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(WAIT_S)


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def gate(echo: Echo) -> Iterator[Gate]:
    made = Gate(0, echo.port)
    yield made
    made.close()
    made.close()


def call(port: int) -> socket.socket:
    return socket.create_connection((LOOPBACK, port), timeout=WAIT_S)


def answers(port: int, data: bytes = b"hello") -> bool:
    with call(port) as peer:
        peer.sendall(data)
        return peer.recv(1000) == data


def test_a_gate_not_yet_opened_refuses(gate: Gate) -> None:
    with pytest.raises(ConnectionRefusedError):
        call(gate.port)


def test_an_open_gate_forwards_both_ways(gate: Gate) -> None:
    gate.open()
    assert answers(gate.port)
    assert answers(gate.port)


def test_shutting_cuts_what_is_connected_and_refuses_what_comes(gate: Gate) -> None:
    gate.open()
    with call(gate.port) as peer:
        peer.sendall(b"x")
        assert peer.recv(10) == b"x"
        gate.shut()
        assert peer.recv(10) == b""
    with pytest.raises(ConnectionRefusedError):
        call(gate.port)


def test_it_opens_again_on_the_same_port(gate: Gate) -> None:
    for _ in range(3):
        gate.open()
        assert answers(gate.port)
        gate.shut()
        gate.shut()


def test_without_a_broker_behind_it_the_caller_sees_the_end(gate: Gate, echo: Echo) -> None:
    lone = Gate(0, free_port())
    try:
        lone.open()
        with call(lone.port) as peer:
            assert peer.recv(10) == b""
    finally:
        lone.close()


def test_a_port_in_use_is_said_at_once(echo: Echo) -> None:
    with pytest.raises(UsageError, match=f"port {echo.port} cannot be used"):
        Gate(echo.port, 1)
