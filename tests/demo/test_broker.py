"""A broker that really ends, really starts again, and never outlives its owner."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.brokers import WITHIN_S, Listener
from trapd.demo.broker import (
    HOST,
    EmbeddedBroker,
    MosquittoBroker,
    free_port,
    mosquitto_program,
)
from trapd.errors import Unavailable


@pytest.fixture(params=["embedded", pytest.param("mosquitto", marks=pytest.mark.rig)])
def kind(request: pytest.FixtureRequest) -> type[EmbeddedBroker] | type[MosquittoBroker]:
    if request.param == "embedded":
        return EmbeddedBroker
    if mosquitto_program() is None:
        pytest.skip("Mosquitto is not installed")
    return MosquittoBroker


def answers(port: int, host: str = HOST) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2.0):
            return True
    except OSError:
        return False


def wait_until(holds: Callable[[], bool]) -> bool:
    until_s = time.monotonic() + WITHIN_S
    while time.monotonic() < until_s:
        if holds():
            return True
        time.sleep(0.01)
    return False


def test_start_stop_and_start_again_at_once(kind: type[EmbeddedBroker], tmp_path: Path) -> None:
    broker = kind(free_port(), tmp_path)
    for _ in range(3):
        broker.start()
        assert broker.running
        listener = Listener(broker.port, "t/#")
        listener.say("t/1", b"x" * 300_000)
        assert len(listener.messages.get(timeout=WITHIN_S).payload) == 300_000
        broker.stop()  # with a client still connected: its port is free all the same
        listener.close()
        assert not broker.running
        assert not answers(broker.port)


def test_stop_and_start_may_be_called_twice(kind: type[EmbeddedBroker], tmp_path: Path) -> None:
    broker = kind(free_port(), tmp_path)
    broker.stop()
    with broker:
        pid = broker.pid
        broker.start()
        assert broker.pid == pid
    broker.stop()
    assert not broker.running


def test_it_listens_on_the_loopback_only(kind: type[EmbeddedBroker], tmp_path: Path) -> None:
    with kind(free_port(), tmp_path) as broker:
        wanted = f"{broker.port:04X}"
        listening = [
            line.split()[1]
            for table in ("/proc/net/tcp", "/proc/net/tcp6")
            for line in Path(table).read_text().splitlines()[1:]
            if line.split()[1].endswith(f":{wanted}") and line.split()[3] == "0A"
        ]
    assert listening == [f"0100007F:{wanted}"]


def test_a_broker_that_dies_is_not_running_and_starts_again(
    kind: type[EmbeddedBroker], tmp_path: Path
) -> None:
    with kind(free_port(), tmp_path) as broker:
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        assert wait_until(lambda: not broker.running)
        broker.start()
        assert broker.running


@pytest.mark.slow
def test_a_frozen_broker_is_ended_all_the_same(kind: type[EmbeddedBroker], tmp_path: Path) -> None:
    broker = kind(free_port(), tmp_path)
    broker.start()
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGSTOP)
    broker.stop()
    assert not answers(broker.port)


def test_a_taken_port_is_said(kind: type[EmbeddedBroker], tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        broker = kind(taken.getsockname()[1], tmp_path)
        with pytest.raises(Unavailable, match="taken"):
            broker.start()
        assert not broker.running


@pytest.mark.rig
def test_what_a_broker_said_before_it_gave_up_is_shown(tmp_path: Path) -> None:
    if mosquitto_program() is None:
        pytest.skip("Mosquitto is not installed")
    broker = MosquittoBroker(free_port(), tmp_path, ["no_such_option 1"])
    with pytest.raises(Unavailable, match="no_such_option"):
        broker.start()
    assert not broker.running


def test_a_killed_owner_leaves_no_broker(kind: type[EmbeddedBroker], tmp_path: Path) -> None:
    port = free_port()
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, pathlib\n"
            f"from trapd.demo.broker import {kind.__name__} as Kind\n"
            f"broker = Kind({port}, pathlib.Path({str(tmp_path)!r}))\n"
            "broker.start()\n"
            "print(broker.pid, flush=True)\n"
            "sys.stdin.read()\n",
        ],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with owner:
        assert owner.stdout is not None
        assert int(owner.stdout.readline()) > 0
        assert answers(port)
        owner.kill()
    assert wait_until(lambda: not answers(port))


def test_free_ports_are_free() -> None:
    with socket.create_server((HOST, free_port())):
        pass
