"""A broker that misbehaves: each connection gets one of many kinds of nonsense, drawn from a seed.

It never says of a message that it has it: whatever it was given must go to the next broker.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable

from tests.system.one_by_one import OneByOne

_TIMEOUT_S = 2.0
_LISTEN_S = 0.015  # how long it waits for what a unit may have to say
_UNKNOWN = 40_000  # packet ids from here on nobody has used

CONNACK = b"\x20\x03\x00\x00\x00"


def packet(first: int, body: bytes) -> bytes:
    """A control packet with its length as MQTT writes it."""
    length, left = b"", len(body)
    while True:
        left, low = divmod(left, 128)
        length += bytes([low | (0x80 if left else 0)])
        if not left:
            return bytes([first]) + length + body


def string(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text


class RogueBroker(OneByOne):
    """`met`: how often each kind."""

    def __init__(self, seed: int, base: str) -> None:
        self.met: Counter[str] = Counter()
        self._draw = random.Random(seed)
        self._base = base.encode()
        self._kinds: list[Callable[[socket.socket], None]] = [
            self.closes_at_once,
            self.closes_after_connect,
            self.answers_noise,
            self.connacks_badly,
            self.cuts_a_packet,
            self.noise_after_connack,
            self.tells_huge_lengths,
            self.writes_endless_lengths,
            self.acknowledges_the_unknown,
            self.refuses_everything,
            self.hears_nobody_subscribing,
            self.speaks_out_of_turn,
            self.publishes_badly,
            self.answers_subscriptions_badly,
            self.connacks_again,
            self.disconnects,
            self.resets_in_the_middle,
            self.takes_little,
        ]
        super().__init__(_TIMEOUT_S)

    @property
    def connections(self) -> int:
        """How many it has dealt with."""
        return sum(self.met.values())

    def serve(self, line: socket.socket) -> None:
        kind = self._draw.choice(self._kinds)
        try:
            kind(line)
        finally:
            self.met[kind.__name__] += 1

    def _noise(self, most: int) -> bytes:
        return self._draw.randbytes(self._draw.randint(1, most))

    def _welcome(self, taken: socket.socket, properties: bytes = b"") -> None:
        taken.recv(4096)
        taken.sendall(packet(0x20, b"\x00\x00" + bytes([len(properties)]) + properties))

    def _listen(self, taken: socket.socket) -> bytes:
        """What comes for a moment."""
        taken.settimeout(_LISTEN_S)
        said = b""
        with contextlib.suppress(TimeoutError):
            while more := taken.recv(65536):
                said += more
        taken.settimeout(_TIMEOUT_S)
        return said

    # --- before it has taken anybody -----------------------------------------------------------------------

    def closes_at_once(self, taken: socket.socket) -> None:
        """Not a word."""

    def closes_after_connect(self, taken: socket.socket) -> None:
        taken.recv(4096)

    def answers_noise(self, taken: socket.socket) -> None:
        taken.recv(4096)
        taken.sendall(self._noise(300))

    def connacks_badly(self, taken: socket.socket) -> None:
        taken.recv(4096)
        bodies = [
            b"",
            b"\x00",
            b"\x00\x00",
            b"\x00\x84\x00",
            b"\xff\x00\x00",
            b"\x00\x00\x7f",
            b"\x00\x01\x00",
        ]
        bodies += [b"\x00\x00" + bytes([len(more)]) + more for more in (self._noise(20), self._noise(100))]
        bodies += [
            b"\x00\x00\x03\x21\x00\x00",
            b"\x00\x00\x05\x27\x00\x00\x00\x00",
            b"\x00\x00\x06\x21\x00\x05\x21\x00\x05",
        ]
        taken.sendall(packet(0x20, self._draw.choice(bodies)))
        self._listen(taken)

    def cuts_a_packet(self, taken: socket.socket) -> None:
        """Half a CONNACK, or half of what comes after it."""
        taken.recv(4096)
        whole = CONNACK + packet(0x32, string(self._base + b"cmd/ping") + b"\x00\x01\x00" + bytes(200))
        taken.sendall(whole[: self._draw.randrange(1, len(whole))])
        self._listen(taken)

    # --- after a sound welcome ------------------------------------------------------------------------------

    def noise_after_connack(self, taken: socket.socket) -> None:
        self._welcome(taken)
        self._listen(taken)
        taken.sendall(self._noise(2000))
        self._listen(taken)

    def tells_huge_lengths(self, taken: socket.socket) -> None:
        """A packet of 256 MB, of which little comes."""
        self._welcome(taken)
        taken.sendall(bytes([self._draw.choice([0x30, 0x40, 0x90, 0xD0, 0xE0])]) + b"\xff\xff\xff\x7f")
        taken.sendall(string(self._base + b"cmd/ping") + self._noise(5000))
        self._listen(taken)

    def writes_endless_lengths(self, taken: socket.socket) -> None:
        self._welcome(taken)
        taken.sendall(b"\x30" + b"\xff" * self._draw.randint(5, 500))
        self._listen(taken)

    def acknowledges_the_unknown(self, taken: socket.socket) -> None:
        self._welcome(taken)
        self._listen(taken)
        for _ in range(20):
            number = struct.pack(">H", self._draw.choice([0, self._draw.randint(_UNKNOWN, 65535)]))
            code = bytes([self._draw.choice([0x00, 0x10, 0x87, 0xFE])])
            first = self._draw.choice([0x40, 0x50, 0x62, 0x70])
            taken.sendall(packet(first, number + self._draw.choice([b"", code, code + b"\x00"])))
        self._listen(taken)

    def refuses_everything(self, taken: socket.socket) -> None:
        self._answer_publishes(taken, self._draw.choice([0x80, 0x83, 0x87, 0x90, 0x97, 0x99, 0xEE]))

    def hears_nobody_subscribing(self, taken: socket.socket) -> None:
        self._answer_publishes(taken, 0x10)

    def _answer_publishes(self, taken: socket.socket, code: int) -> None:
        """Of the first packet ids, whether or not they were used."""
        self._welcome(taken)
        self._listen(taken)
        for number in range(1, 30):
            taken.sendall(packet(0x40, struct.pack(">HB", number, code)))
        self._listen(taken)

    def speaks_out_of_turn(self, taken: socket.socket) -> None:
        """Packets that only a client sends, or that nobody asked for."""
        self._welcome(taken)
        for _ in range(5):
            first = self._draw.choice(
                [0x00, 0x10, 0x20, 0x62, 0x82, 0x90, 0xA2, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0]
            )
            taken.sendall(packet(first, self._draw.choice([b"", b"\x00\x01", self._noise(30)])))
        self._listen(taken)

    def publishes_badly(self, taken: socket.socket) -> None:
        """Commands and receipts that are none, topics that are none, and every QoS."""
        self._welcome(taken)
        self._listen(taken)
        leaves = [b"cmd/media_get", b"cmd/", b"receipt", b"cmd/reboot", b"event", b"\xff\xfe", b"#", b""]
        receipts = [
            b'{"ids":["x"]}',
            b'{"epoch":"ffff","upto":1e999}',
            b"[" * 5000,
            b'{"ids":[1,null]}',
            b"{}",
            b"",
        ]
        for _ in range(10):
            topic = self._draw.choice([self._base, b""]) + self._draw.choice(leaves)
            qos = self._draw.randrange(4)
            number = struct.pack(">H", self._draw.choice([0, 1, 65535])) if qos else b""
            payload = self._draw.choice([self._draw.choice(receipts), self._noise(200)])
            properties = self._draw.choice([b"\x00", b"\x00", b"\x03\x23\x00\x01", self._noise(5)])
            first = 0x30 | qos << 1 | self._draw.randrange(2)
            taken.sendall(packet(first, string(topic) + number + properties + payload))
        self._listen(taken)

    def answers_subscriptions_badly(self, taken: socket.socket) -> None:
        self._welcome(taken)
        self._listen(taken)
        for number in range(5):
            codes = self._draw.choice([b"", b"\x87", b"\x01" * 40, self._noise(5)])
            taken.sendall(packet(0x90, struct.pack(">H", number) + b"\x00" + codes))
        self._listen(taken)

    def connacks_again(self, taken: socket.socket) -> None:
        self._welcome(taken)
        self._listen(taken)
        taken.sendall(CONNACK)
        taken.sendall(self._draw.choice([CONNACK, b"\x20\x03\x00\x88\x00", b"\x20\x03\x01\x00\x00"]))
        self._listen(taken)

    def disconnects(self, taken: socket.socket) -> None:
        """With a reason or without; not for another's sake: that asks for a pause of a minute."""
        self._welcome(taken)
        if self._draw.randrange(2):
            self._listen(taken)
        body = self._draw.choice(
            [b"", b"\x00", b"\x81\x00", b"\x8b", b"\x93", b"\x95", b"\x97\x03\x1f\x00\x00", b"\xee"]
        )
        taken.sendall(packet(0xE0, body))
        self._listen(taken)

    def resets_in_the_middle(self, taken: socket.socket) -> None:
        """Takes a few bytes of what comes, and breaks the connection."""
        self._welcome(taken)
        taken.recv(self._draw.randint(1, 400))
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def takes_little(self, taken: socket.socket) -> None:
        """One message at a time, or packets of a few bytes; and answers none."""
        little = [b"\x21\x00\x01", b"\x27\x00\x00\x00\x10", b"\x27\x00\x00\x00\x01", b"\x24\x00", b"\x25\x00"]
        self._welcome(taken, self._draw.choice(little))
        self._listen(taken)
