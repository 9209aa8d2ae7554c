"""What a broker takes at most, where it does not say so: learnt from the links that end over it.

MQTT 3.1.1 has no word for it: Mosquitto ends the link over a packet beyond its max_packet_size, and would end
the next one over the same row, and so for ever. In MQTT 5 a broker may end it for that reason (0x95) without
having told a maximum. Deliver's thread; one object for the life of a process.
"""

from __future__ import annotations

import logging

from trapd.rules import NS_PER_S
from trapd.wire.window import Window

log = logging.getLogger("trapd.deliver")

_PACKET_TOO_LARGE = 0x95
_LINKS = 3  # in a row: one may end over anything
_LEAST_BYTES = 1024  # every broker takes an event
_HOLDS_NS = 6 * 3600 * NS_PER_S  # it was a bad link after all, or the broker has another limit now


class PacketLimit:
    """`most_bytes`: larger packets are not sent; None while nothing speaks against any.

    `taken_bytes`: the largest that was ever answered. `is_told`: the protocol has a word for the maximum.
    """

    def __init__(self, *, is_told: bool) -> None:
        self.most_bytes: int | None = None
        self.taken_bytes = _LEAST_BYTES
        self._is_told = is_told
        self._ended = 0  # links since then that ended with something larger under way
        self._since_ns = 0

    def link_ended(self, window: Window, code: int | None, now_ns: int) -> bool:
        """A link ended of its own accord; `window` is what was under way, and what was answered.

        True where that tells a new limit.
        """
        if window.largest_answered_bytes > self.taken_bytes:
            self.taken_bytes, self._ended = window.largest_answered_bytes, 0
        if window.largest_bytes <= self.taken_bytes or (self._is_told and code != _PACKET_TOO_LARGE):
            return False
        self._ended += 1
        if self._ended < _LINKS:
            return False
        self._ended, self._since_ns = 0, now_ns
        self.most_bytes = max(self.taken_bytes, window.largest_bytes // 2)
        log.warning(
            "%d links ended with a packet of %d bytes under way: none over %d bytes is sent for now",
            _LINKS,
            window.largest_bytes,
            self.most_bytes,
        )
        return True

    def link_begins(self, told_bytes: int | None, now_ns: int) -> int | None:
        """The limit of the link that begins, of which `told_bytes`; now and then more is tried again."""
        if self.most_bytes is not None and now_ns - self._since_ns > _HOLDS_NS:
            self._since_ns, self.most_bytes = now_ns, 2 * self.most_bytes
        return min((most for most in (told_bytes, self.most_bytes) if most is not None), default=None)
