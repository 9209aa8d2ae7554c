"""Where the Uplink's contract is tried: a broker, the way to it, and subscribers that are not trapd's."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Protocol

from tests.brokers import Listener, make_certificates, make_mosquitto, make_tls_mosquitto
from tests.canary import PASSWORD
from tests.fakes.uplink import FakeBroker, FakeUplink
from tests.wires import Wire
from trapd.backends.uplink_paho import Account, PahoUplink, Tls
from trapd.demo.broker import EmbeddedBroker, MosquittoBroker, free_port
from trapd.ports import Received, Uplink


class Hearing(Protocol):
    """A subscriber that is not trapd's."""

    messages: queue.SimpleQueue[Received]

    def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None: ...

    def close(self) -> None: ...


class Site(Protocol):
    """A broker, the way to it, and what it can do."""

    tells_retained: bool  # a live message says whether it was published as retained

    def uplink(self) -> Uplink: ...

    def unreachable(self) -> Uplink: ...

    def listen(self, pattern: str) -> Hearing: ...

    def cut(self) -> None: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...


class FakeHearing:
    def __init__(self, broker: FakeBroker, pattern: str) -> None:
        self.messages = broker.watch(pattern)
        self._broker = broker

    def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self._broker.say(topic, payload, retain=retain)

    def close(self) -> None:
        pass


class FakeSite:
    tells_retained = True

    def __init__(self) -> None:
        self.broker = FakeBroker()
        self.broker.receive_maximum = 20
        self.cut = self.broker.drop
        self.stop = self.broker.stop

    def uplink(self) -> Uplink:
        return FakeUplink(self.broker)

    def unreachable(self) -> Uplink:
        broker = FakeBroker()
        broker.stop()
        return FakeUplink(broker)

    def listen(self, pattern: str) -> Hearing:
        return FakeHearing(self.broker, pattern)

    def close(self) -> None:
        pass


class PahoSite:
    def __init__(
        self,
        broker: EmbeddedBroker | MosquittoBroker,
        *,
        protocol: str = "5",
        tls: Tls | None = None,
    ) -> None:
        self.tells_retained = isinstance(broker, MosquittoBroker) and protocol == "5"
        self._broker = broker
        self._protocol = protocol
        self._tls = tls
        broker.start()
        self._wire = Wire(broker.port)
        self.cut = self._wire.cut
        self.stop = broker.stop
        self._listeners: list[Listener] = []

    def uplink(self, port: int | None = None) -> Uplink:
        account = Account(
            "localhost" if self._tls else "127.0.0.1",
            port or self._wire.port,
            client_id="trapd-unit",
            username="unit",
            password=lambda: PASSWORD if self._tls else None,
            tls=self._tls,
            protocol="5" if self._protocol == "5" else "3.1.1",
            keepalive_s=30,
            connect_timeout_s=5.0,
        )
        return PahoUplink(account)

    def unreachable(self) -> Uplink:
        return self.uplink(free_port())

    def listen(self, pattern: str) -> Hearing:
        listener = Listener(
            self._broker.port,
            pattern,
            user=("unit", PASSWORD) if self._tls else None,
            ca_file=self._tls.ca_file if self._tls else None,
        )
        self._listeners.append(listener)
        return listener

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._wire.close()
        self._broker.stop()


def make_site(backend: str, folder: Path) -> Site:
    match backend:
        case "fake":
            return FakeSite()
        case "paho-embedded":
            return PahoSite(EmbeddedBroker(free_port(), folder))
        case "paho-mosquitto":
            return PahoSite(make_mosquitto(folder))
        case "paho-mosquitto-3.1.1":
            return PahoSite(make_mosquitto(folder), protocol="3.1.1")
    certificates = make_certificates(folder)
    return PahoSite(make_tls_mosquitto(folder, certificates), tls=Tls(certificates.ca))
