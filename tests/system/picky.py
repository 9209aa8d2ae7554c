"""A broker that takes everything but one thing, over which it ends the link each time.

As little of MQTT 5 as that needs, on the loopback: it answers what it takes, and passes nothing on.
"""

from __future__ import annotations

import contextlib
import socket
import struct

from tests.system.one_by_one import OneByOne
from tests.system.rogue import CONNACK, packet

_TIMEOUT_S = 5.0


class PickyBroker(OneByOne):
    """`ends_over`: what a topic or payload must not hold. `word`: the reason of its DISCONNECT; None: none.

    `taken`: topic and payload of all that it has answered. `ended`: how many links it has ended.
    """

    def __init__(self, ends_over: bytes, word: int | None) -> None:
        self.ends_over = ends_over
        self.word = word
        self.taken: list[tuple[str, bytes]] = []
        self.ended = 0
        super().__init__(_TIMEOUT_S)

    def serve(self, line: socket.socket) -> None:
        with contextlib.suppress(EOFError):
            self._answer(line)

    def _answer(self, line: socket.socket) -> None:
        stream = line.makefile("rb")
        while True:
            first, body = _read(stream.read)
            match first >> 4:
                case 1:
                    line.sendall(CONNACK)
                case 3 if not self._takes(line, body):
                    return
                case 8:
                    line.sendall(packet(0x90, body[:2] + b"\x00" + b"\x01" * body.count(b"trapd/")))
                case 12:
                    line.sendall(b"\xd0\x00")
                case 14:
                    return

    def _takes(self, line: socket.socket, body: bytes) -> bool:
        """Answer a publish; False where the link is ended over it."""
        if self.ends_over and self.ends_over in body:
            self.ended += 1
            if self.word is not None:
                line.sendall(packet(0xE0, bytes([self.word, 0])))
            return False
        (length,) = struct.unpack(">H", body[:2])
        topic, number = body[2 : 2 + length].decode(), body[2 + length : 4 + length]
        self.taken.append((topic, body[5 + length :]))  # no properties: one byte says so
        line.sendall(packet(0x40, number))
        return True


def _read(read: object) -> tuple[int, bytes]:
    """The next packet. Raises EOFError at the end."""
    assert callable(read)
    first = read(1)
    length, shift = 0, 0
    while True:
        byte = read(1)
        if not first or not byte:
            raise EOFError
        length |= (byte[0] & 127) << shift
        shift += 7
        if not byte[0] & 128:
            break
    body: bytes = read(length)
    if len(body) < length:
        raise EOFError
    return first[0], body
