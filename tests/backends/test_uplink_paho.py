"""What paho and real brokers do wrong, and what the uplink makes of it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client

from tests.backends.uplink_rig import CONNACK, WILL, RawServer, connected, first, lost, outcome, uplink_to
from tests.brokers import WITHIN_S, Listener, make_mosquitto
from tests.wires import Wire
from trapd.backends.uplink_paho import PahoLink
from trapd.demo.broker import EmbeddedBroker, MosquittoBroker
from trapd.errors import LinkUnavailable
from trapd.ports import Acknowledged, Connected, Lost, Received, Subscribed


@pytest.mark.rig
@pytest.mark.parametrize(("protocol", "reason"), [("5", 0x87), ("3.1.1", 0x00)])
def test_what_the_acl_forbids(tmp_path: Path, protocol: str, reason: int) -> None:
    """On 3.1.1 a refusal cannot be seen: that is why `check` warns."""
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite t/unit/#\n")
    acl.chmod(0o600)
    with make_mosquitto(tmp_path, "allow_anonymous true", f"acl_file {acl}") as broker:
        link = connected(uplink_to(broker.port, username=None, protocol=protocol))
        try:
            token = link.publish("t/other/event", b"x", retain=True)
            assert first(link) == Acknowledged(token, reason)
            token = link.publish("t/unit/event", b"x", retain=True)
            assert isinstance(answer := first(link), Acknowledged)
            assert answer.reason < 0x80
        finally:
            link.close()


@pytest.mark.rig
def test_nobody_subscribed_is_told(mosquitto: MosquittoBroker) -> None:
    link = connected(uplink_to(mosquitto.port))
    try:
        token = link.publish("t/unit/event", b"x", retain=False)
        assert first(link) == Acknowledged(token, 0x10)
    finally:
        link.close()


def test_a_refused_subscription_is_named(raw: Callable[..., RawServer]) -> None:
    def speak(taken: socket.socket) -> None:
        taken.sendall(CONNACK)
        taken.recv(65536)
        taken.sendall(b"\x90\x05\x00\x01\x00\x01\x87")
        taken.recv(65536)

    link = connected(uplink_to(raw(speak).port))
    try:
        link.subscribe(("t/unit/cmd/+", "t/_group/a/cmd/+"))
        assert first(link) == Subscribed(("t/_group/a/cmd/+",))
    finally:
        link.close()


# --- what comes from the broker -----------------------------------------------------------------------------


def test_what_connack_tells_is_passed_on(raw: Callable[..., RawServer]) -> None:
    def speak(taken: socket.socket) -> None:
        taken.sendall(b"\x20\x0b\x01\x00\x08" + b"\x21\x00\x07" + b"\x27\x00\x00\x10\x00")
        taken.recv(65536)

    server = raw(speak)
    assert outcome(uplink_to(server.port)) == Connected(True, 7, 4096)
    assert b"\x04MQTT\x05\xec\x00\x1e" in server.connect  # will kept, QoS 1; no clean start; keep-alive 30 s
    assert b"\x11\x00\x09\x3a\x80" in server.connect  # session expiry: seven days


def test_a_command_carries_where_to_answer(embedded: EmbeddedBroker) -> None:
    operator = Listener(embedded.port, "t/_reply/me")
    link = connected(uplink_to(embedded.port))
    try:
        link.subscribe(("t/unit/cmd/+",))
        assert first(link) == Subscribed(())
        operator.say("t/unit/cmd/ping", b"{}", response_topic="t/_reply/me", correlation=b"\x01\x02")
        assert first(link) == Received("t/unit/cmd/ping", b"{}", False, "t/_reply/me", b"\x01\x02")
    finally:
        link.close()
        operator.close()


@pytest.mark.parametrize(
    ("packet", "code", "words"),
    [
        (b"\xe0\x01\x8e", 0x8E, "another client"),
        (b"\xe0\x01\x8b", 0x8B, "shutting down"),
        (b"\xe0\x01\x95", 0x95, "chunk_bytes"),
        (b"\xe0\x00", 0x00, "ended the connection"),
    ],
)
def test_a_disconnect_from_the_broker(
    raw: Callable[..., RawServer], packet: bytes, code: int, words: str
) -> None:
    def speak(taken: socket.socket) -> None:
        taken.sendall(CONNACK + packet)
        taken.recv(65536)

    link = connected(uplink_to(raw(speak).port))
    event = first(link)
    link.close()
    assert isinstance(event, Lost)
    assert event.code == code
    assert words in event.reason


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize(
    "answer",
    [
        b"",  # closes at once
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x20\x02\x00\x01",  # 3.1.1: unacceptable protocol version
        b"\x20\x03\x00\x84\x00",
        b"\x20\xff\xff\xff\xff\x7f",
        b"\x00" * 64,
        b"\xff" * 64,
        b"\x30\x05\x00\x09t",
    ],
)
def test_whatever_it_answers_the_link_is_lost_and_says_so(
    raw: Callable[..., RawServer], answer: bytes, protocol: str
) -> None:
    event = lost(uplink_to(raw(lambda taken: taken.sendall(answer)).port, protocol=protocol))
    assert event.reason


def test_a_topic_that_is_none_is_passed_over_and_does_not_come_again(
    raw: Callable[..., RawServer], caplog: pytest.LogCaptureFixture
) -> None:
    acknowledged: list[bytes] = []

    def speak(taken: socket.socket) -> None:
        taken.sendall(CONNACK + b"\x32\x07\x00\x01\xff\x00\x07\x00x")  # no UTF-8, of QoS 1, its number 7
        taken.settimeout(WITHIN_S)
        acknowledged.append(taken.recv(65536))
        taken.sendall(b"\x30\x05\x00\x01t\x00x")
        taken.recv(65536)

    link = connected(uplink_to(raw(speak).port))
    try:
        assert first(link) == Received("t", b"x", retained=False)
    finally:
        link.close()
    assert acknowledged == [b"\x40\x02\x00\x07"]
    assert "impossible topic" in caplog.text


def test_an_error_in_a_callback_is_a_lost_link(
    raw: Callable[..., RawServer], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise UnicodeDecodeError("utf-8", b"", 0, 1, "made")

    def speak(taken: socket.socket) -> None:
        taken.sendall(CONNACK + b"\x30\x05\x00\x01t\x00x")
        taken.recv(65536)

    monkeypatch.setattr(PahoLink, "_on_message", fail)
    link = connected(uplink_to(raw(speak).port))
    event = first(link)
    link.close()
    assert isinstance(event, Lost)
    assert "an error within: UnicodeDecodeError" in event.reason
    assert "the link failed" in caplog.text
    with pytest.raises(LinkUnavailable):
        link.publish("t/unit/event", b"x", retain=False)


def test_a_server_that_never_answers_is_given_up(raw: Callable[..., RawServer]) -> None:
    ended = threading.Event()
    server = raw(lambda taken: (ended.wait(WITHIN_S), None)[1])
    event = lost(uplink_to(server.port, connect_timeout_s=0.2))
    ended.set()
    assert "does not answer" in event.reason


def test_what_is_not_taken_is_not_read_and_nothing_is_dropped(raw: Callable[..., RawServer]) -> None:
    packets, size = 3000, 10_000
    blocked = threading.Event()

    def speak(taken: socket.socket) -> None:
        taken.sendall(CONNACK)
        for number in range(packets):
            payload = number.to_bytes(4, "big") + bytes(size - 4)
            left = memoryview(
                b"\x30" + bytes([(size + 4) % 128 + 128, (size + 4) // 128]) + b"\x00\x01t\x00" + payload
            )
            while left:
                taken.settimeout(WITHIN_S if blocked.is_set() else 0.5)
                try:
                    left = left[taken.send(left) :]
                except TimeoutError:
                    if blocked.is_set():
                        raise
                    blocked.set()
        taken.recv(65536)

    link = connected(uplink_to(raw(speak).port))
    try:
        assert blocked.wait(WITHIN_S), "30 MB went into a link that nobody read"
        for number in range(packets):
            event = first(link)
            assert isinstance(event, Received)
            assert event.payload[:4] == number.to_bytes(4, "big")
    finally:
        link.close()


# --- a bad network ------------------------------------------------------------------------------------------


def test_a_name_that_does_not_exist() -> None:
    assert "mqtt.host" in lost(uplink_to(1883, host="broker.invalid")).reason


def test_a_resolver_that_hangs_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hang(*_: object, **__: object) -> list[Any]:
        released.wait(WITHIN_S)
        raise socket.gaierror("no")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    uplink = uplink_to(1883, host="broker.example", connect_timeout_s=0.01)
    links = [uplink.connect(WILL) for _ in range(4)]
    try:
        begin_s = time.monotonic()
        refused = links[3].next(0.0)
        assert isinstance(refused, Lost)
        assert "3 earlier attempts" in refused.reason
        while (event := links[0].next(0.05)) is None:
            assert time.monotonic() - begin_s < WITHIN_S
        assert isinstance(event, Lost)
    finally:
        released.set()
        for link in links:
            link.close()
    assert isinstance(lost(uplink), Lost)  # the stuck ones are gone: it is tried again


@pytest.mark.slow
def test_a_link_gone_silent_is_lost(embedded: EmbeddedBroker) -> None:
    wire = Wire(embedded.port)
    link = connected(uplink_to(wire.port, keepalive_s=6))
    try:
        wire.freeze()
        began_s = time.monotonic()
        event = first(link)
        assert isinstance(event, Lost)
        assert "silent" in event.reason
        assert time.monotonic() - began_s < 1.6 * 6
    finally:
        link.close()
        wire.close()


@pytest.mark.slow
def test_close_is_bounded_on_a_dead_link(embedded: EmbeddedBroker) -> None:
    wire = Wire(embedded.port)
    link = connected(uplink_to(wire.port))
    try:
        wire.freeze()
        for _ in range(8):
            link.publish("t/unit/media/1/c/0", bytes(2_000_000), retain=False)  # more than the kernel holds
        begin_s = time.monotonic()
        link.close()
        assert time.monotonic() - begin_s < 5.0
    finally:
        wire.close()


def test_only_the_owners_thread_writes_to_the_socket_of_a_link(
    embedded: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads would write packets into the middle of each other's."""
    writers: set[str] = set()
    send = Client._sock_send

    def spy(client: Client, data: bytes) -> int:
        writers.add(threading.current_thread().name)
        return send(client, data)

    monkeypatch.setattr(Client, "_sock_send", spy)
    listener = Listener(embedded.port, "t/#")
    link = connected(uplink_to(embedded.port))
    writers.clear()
    payloads = [bytes([number]) * (200_000 if number % 2 else 7) for number in range(60)]
    try:
        for payload in payloads:
            link.publish("t/unit/thumb/1", payload, retain=False)
        link.subscribe(("t/unit/cmd/+",))
        for _ in range(len(payloads) + 1):
            assert isinstance(first(link), Acknowledged | Subscribed)
        assert [listener.messages.get(timeout=WITHIN_S).payload for _ in payloads] == payloads
    finally:
        link.close()
        listener.close()
    assert {name for name in writers if "paho-mqtt-client" not in name} == {threading.current_thread().name}


def test_close_lets_the_broker_read_to_the_end(raw: Callable[..., RawServer]) -> None:
    """A broker that still answers when we close must not be reset before it has read our DISCONNECT."""
    broken: list[OSError] = []

    def speak(taken: socket.socket) -> None:
        taken.sendall(CONNACK)
        while taken.recv(65536):
            pass  # to the end of what the unit had to say
        try:
            for _ in range(3):
                taken.sendall(b"\xd0\x00")
        except OSError as error:
            broken.append(error)

    server = raw(speak)
    link = connected(uplink_to(server.port))
    link.close()
    server.close()
    assert broken == []


@pytest.mark.parametrize(("protocol", "lines"), [("5", 0), ("3.1.1", 2)])
def test_what_the_protocol_lacks_is_said_in_the_log(
    caplog: pytest.LogCaptureFixture, protocol: str, lines: int
) -> None:
    uplink_to(1, protocol=protocol)
    assert len(caplog.messages) == lines
    if lines:
        assert "delivery: receipt" in caplog.text
        assert "retained" in caplog.text
