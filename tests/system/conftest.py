"""A broker, photographs, a receiver and a daemon for the system tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers import Listener, embedded, mosquitto
from tests.system.daemon import BASE, Daemon, Heard
from tests.system.site import Kit, make_kit
from trapd.demo.broker import EmbeddedBroker, MosquittoBroker, mosquitto_program
from trapd.demo.photographs import make_bursts

__all__ = ["embedded", "mosquitto"]

Broker = EmbeddedBroker | MosquittoBroker


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's bursts: something, nothing, something, nothing."""
    folder = tmp_path_factory.mktemp("photographs")
    make_bursts(folder)
    return folder


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory, photographs: Path) -> Kit:
    """Certificates, passwords and photographs for sites."""
    if mosquitto_program() is None:
        pytest.skip("Mosquitto is not installed")
    return make_kit(tmp_path_factory.mktemp, photographs)


@pytest.fixture(params=["embedded", pytest.param("mosquitto", marks=pytest.mark.rig)])
def broker(request: pytest.FixtureRequest) -> Broker:
    found: Broker = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def heard(broker: Broker) -> Iterator[Heard]:
    listener = Listener(broker.port, f"{BASE}/#")
    yield Heard(listener)
    listener.close()


@pytest.fixture
def daemon(broker: Broker, tmp_path: Path, photographs: Path) -> Iterator[Daemon]:
    folder = tmp_path / "unit"
    folder.mkdir()
    made = Daemon(folder, photographs, broker.port)
    yield made
    made.close()
