"""What comes in and is too large: the link ends before it is kept, and tells on which topic it was."""

from __future__ import annotations

import socket
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.backends.uplink_rig import CONNACK, WILL, RawServer, connected, first, uplink_to
from tests.brokers import Listener, make_mosquitto
from tests.system.rogue import packet, string
from trapd.backends.uplink_client import LARGEST_INBOUND_BYTES
from trapd.demo.broker import MosquittoBroker
from trapd.ports import Connected, Link, Lost, Received, Subscribed, TooLarge

TOPIC = "t/unit/cmd/ping"
MOST_PEAK_BYTES = 1_000_000


def length(of: int) -> bytes:
    """A length as MQTT writes it."""
    said = b""
    while True:
        of, low = divmod(of, 128)
        said += bytes([low | (0x80 if of else 0)])
        if not of:
            return said


def announced(first_byte: int, size_bytes: int) -> bytes:
    return bytes([first_byte]) + length(size_bytes)


@pytest.fixture
def peak() -> Iterator[Callable[[], int]]:
    """The most that was taken up since the test began, in bytes."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


def link_that_hears(raw: Callable[..., RawServer], *said: bytes) -> Link:
    def speak(taken: socket.socket) -> None:
        taken.sendall(CONNACK)
        for part in said:
            taken.sendall(part)
        while taken.recv(65536):
            pass

    return connected(uplink_to(raw(speak).port))


@pytest.mark.parametrize("first_byte", [0x30, 0x32, 0x33, 0x35])
def test_a_packet_that_is_announced_as_too_large_ends_the_link(
    raw: Callable[..., RawServer], first_byte: int
) -> None:
    link = link_that_hears(raw, announced(first_byte, 200_000_000) + string(TOPIC.encode()) + bytes(5000))
    lost = first(link)
    link.close()
    assert isinstance(lost, Lost)
    assert lost.too_large == TooLarge(200_000_000, TOPIC)
    assert TOPIC in lost.reason
    assert "clear it" in lost.reason
    assert not lost.ended


def test_its_topic_is_known_also_where_it_comes_in_pieces(raw: Callable[..., RawServer]) -> None:
    topic = f"t/unit/cmd/{'x' * 5000}"
    whole = string(topic.encode())
    pieces = [announced(0x32, LARGEST_INBOUND_BYTES + 1), whole[:1], whole[1:700], whole[700:]]
    link = link_that_hears(raw, *pieces)
    lost = first(link)
    link.close()
    assert isinstance(lost, Lost)
    assert lost.too_large == TooLarge(LARGEST_INBOUND_BYTES + 1, topic)


@pytest.mark.parametrize(
    "said",
    [
        announced(0x30, 200_000_000) + struct.pack(">H", 2) + b"\xff\xfe" + bytes(50),
        announced(0x20, 200_000_000) + string(b"t/unit/cmd/ping"),
        announced(0x40, 200_000_000) + b"\x00",
        announced(0x30, 200_000_000) + struct.pack(">H", 0) + bytes(50),
    ],
    ids=["topic of no text", "no message", "no message, little of it", "topic of no length"],
)
def test_a_topic_that_cannot_be_known_is_none(raw: Callable[..., RawServer], said: bytes) -> None:
    link = link_that_hears(raw, said)
    lost = first(link)
    link.close()
    assert isinstance(lost, Lost)
    assert lost.too_large == TooLarge(200_000_000, None)


def test_one_that_is_just_not_too_large_arrives(raw: Callable[..., RawServer]) -> None:
    body = string(TOPIC.encode()) + b"\x00\x01" + b"\x00"
    body += bytes(LARGEST_INBOUND_BYTES - len(body))
    link = link_that_hears(raw, packet(0x32, body))
    event = first(link)
    link.close()
    assert isinstance(event, Received)
    assert len(event.payload) > LARGEST_INBOUND_BYTES - 100


# --- Mosquitto, MQTT 3.1.1 -----------------------------------------------------------------------------


def old_link(broker: MosquittoBroker, *, fresh: bool = False) -> tuple[Link, Connected]:
    link = uplink_to(broker.port, username=None, protocol="3.1.1").connect(WILL, fresh=fresh)
    event = first(link)
    assert isinstance(event, Connected)
    return link, event


@pytest.mark.rig
def test_sixty_megabytes_take_up_next_to_nothing(tmp_path: Path, peak: Callable[[], int]) -> None:
    with make_mosquitto(tmp_path) as broker:
        operator = Listener(broker.port, "t/nothing")
        operator.say(TOPIC, bytes(60_000_000), retain=True)
        operator.close()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        link, _ = old_link(broker)
        link.subscribe((TOPIC,))
        event = first(link)
        while isinstance(event, Subscribed):
            event = first(link)
        link.close()
        assert isinstance(event, Lost)
        assert event.too_large is not None
        assert event.too_large.topic == TOPIC
        assert event.too_large.size_bytes > 60_000_000
        assert peak() - before < MOST_PEAK_BYTES


@pytest.mark.rig
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_fresh_link_finds_nothing_that_waited_and_keeps_what_comes_later(
    tmp_path: Path, protocol: str
) -> None:
    with make_mosquitto(tmp_path) as broker:
        operator = Listener(broker.port, "t/nothing")
        uplink = uplink_to(broker.port, username=None, protocol=protocol)
        link = connected(uplink)
        link.subscribe((TOPIC,))
        assert first(link) == Subscribed(())
        link.close()
        operator.say(TOPIC, b"waits")
        link = uplink.connect(WILL, fresh=True)
        event = first(link)
        assert isinstance(event, Connected)
        assert not event.session_present
        link.subscribe((TOPIC,))
        assert first(link) == Subscribed(())
        operator.say(TOPIC, b"live")
        heard = first(link)
        assert isinstance(heard, Received)
        assert heard.payload == b"live"
        link.acknowledge(heard)
        link.close()
        operator.say(TOPIC, b"waits again")
        link = uplink.connect(WILL)
        event = first(link)
        assert isinstance(event, Connected)
        assert event.session_present
        heard = first(link)
        assert isinstance(heard, Received)
        assert heard.payload == b"waits again"
        link.close()
        operator.close()
