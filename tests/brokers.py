"""Brokers and listeners for tests: all real, all on the loopback, all gone when the test ends."""

from __future__ import annotations

import functools
import queue
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests import canary
from trapd.demo.broker import HOST, EmbeddedBroker, MosquittoBroker, free_port, mosquitto_program
from trapd.ports import Received

WITHIN_S = 60.0  # only so that nothing hangs: another machine may be slow, and have other work
_CURVE = "-algorithm EC -pkeyopt ec_paramgen_curve:prime256v1"


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """The embedded broker, running."""
    with EmbeddedBroker(free_port(), tmp_path) as broker:
        yield broker


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[MosquittoBroker]:
    """An open Mosquitto, running."""
    with make_mosquitto(tmp_path) as broker:
        yield broker


def make_mosquitto(folder: Path, *lines: str) -> MosquittoBroker:
    """A Mosquitto that is not running yet; skips the test where there is none."""
    if mosquitto_program() is None:
        pytest.skip("Mosquitto is not installed")
    return MosquittoBroker(free_port(), folder, lines or ("allow_anonymous true",))


@dataclass(frozen=True, slots=True)
class Certificates:
    """A small authority, and what it signed. `other_ca` has signed nothing."""

    ca: Path
    other_ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


def make_certificates(folder: Path, name: str = "localhost", client: str = "unit") -> Certificates:
    """Certificates for a broker called `name` and a client called `client`."""
    for ca in ("ca", "other-ca"):
        _openssl(
            f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={ca} "
            f"-keyout {ca}.key -out {ca}.pem",
            folder,
        )
    _openssl(f"genpkey {_CURVE} -out server.key", folder)
    (folder / "client.key").write_text(_clients_key())
    for who, subject, more in (("server", name, f"subjectAltName=DNS:{name}"), ("client", client, "")):
        extensions = folder / f"{who}.ext"
        extensions.write_text(f"{more}\n")
        _openssl(f"req -new -key {who}.key -subj /CN={subject} -out {who}.csr", folder)
        _openssl(
            f"x509 -req -in {who}.csr -CA ca.pem -CAkey ca.key -set_serial 7 -days 2 "
            f"-extfile {extensions.name} -out {who}.pem",
            folder,
        )
    return Certificates(
        ca=folder / "ca.pem",
        other_ca=folder / "other-ca.pem",
        server_cert=folder / "server.pem",
        server_key=folder / "server.key",
        client_cert=folder / "client.pem",
        client_key=folder / "client.key",
    )


def make_tls_mosquitto(folder: Path, certificates: Certificates, *lines: str) -> MosquittoBroker:
    """A Mosquitto with TLS that knows the user `unit` with the password of the canary."""
    passwords = folder / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run(
        ["mosquitto_passwd", "-b", str(passwords), "unit", canary.PASSWORD], check=True, capture_output=True
    )
    return make_mosquitto(
        folder,
        f"certfile {certificates.server_cert}",
        f"keyfile {certificates.server_key}",
        f"cafile {certificates.ca}",
        "allow_anonymous false",
        f"password_file {passwords}",
        *lines,
    )


class Listener:
    """A plain subscriber of its own connection; what it heard stands in `messages`.

    `pair`: the client's certificate and its key.
    """

    def __init__(
        self,
        port: int,
        pattern: str,
        *,
        user: tuple[str, str] | None = None,
        ca_file: Path | None = None,
        pair: tuple[Path, Path] | None = None,
    ) -> None:
        self.messages: queue.SimpleQueue[Received] = queue.SimpleQueue()
        self._ready = threading.Event()
        self._pattern = pattern
        self._client: Client | None = Client(
            CallbackAPIVersion.VERSION2, "", protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False
        )
        self._client.on_connect = self._subscribe
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._heard
        if user is not None:
            self._client.username_pw_set(*user)
        if ca_file is not None:
            self._client.tls_set(str(ca_file), *(map(str, pair) if pair is not None else ()))
        self._client.connect("localhost" if ca_file else HOST, port, clean_start=True)
        self._client.loop_start()
        assert self._ready.wait(WITHIN_S), "the listener's subscription was not confirmed"

    def say(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> None:
        """Publish, and wait until the broker has it."""
        assert self._client is not None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho has none there
        if response_topic is not None:
            properties.ResponseTopic = response_topic
        if correlation is not None:
            properties.CorrelationData = correlation
        sent = self._client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        sent.wait_for_publish(WITHIN_S)

    def close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        client.disconnect()
        client.loop_stop()
        # It refers to us and we to it: only without callbacks is it gone, with its sockets, right here.
        client.on_connect = client.on_subscribe = client.on_message = None

    def _subscribe(self, client: Client, *_: object) -> None:
        client.subscribe(self._pattern, options=SubscribeOptions(qos=1, retainAsPublished=True))

    def _heard(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        canary.listen_to_topic(message.topic, bytes(message.payload))
        self.messages.put(Received(message.topic, bytes(message.payload), bool(message.retain)))


@functools.cache
def _clients_key() -> str:
    """One for all units of a run, and a canary."""
    made = _openssl(f"genpkey {_CURVE}", Path())
    canary.keep(canary.forms_of_key("key", made))
    return made.decode()


def _openssl(arguments: str, folder: Path) -> bytes:
    command = ["openssl", *arguments.split()]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout
