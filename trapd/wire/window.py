"""What is in flight, and when to try again: pure, for one thread (Deliver's). Times come from the caller.

Seconds are of any one clock that does not go back.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from trapd.frozen import Frozen, Slotted, field, replace

_FIXED_HEADER_BYTES = 1
_TOPIC_LENGTH_BYTES = 2
_PACKET_ID_BYTES = 2
_NO_PROPERTIES_BYTES = 1
PROPERTY_BYTES = 3
"""What a property of MQTT 5 takes beside its value, about."""
_TELLING_S = 0.1  # a difference smaller than that is chance
PUBACK_BYTES = 6
"""A PUBACK at its longest: 4 bytes for success, 6 with a reason and no properties (MQTT 5.0, section 3.4)."""
PING_BYTES = 4
"""PINGREQ and PINGRESP (MQTT 5.0, sections 3.12 and 3.13)."""
_CONNECT_BYTES = 256  # with names, password and will, their answer and DISCONNECT: about that
_FILTER_BYTES = 3  # the length of a filter, and its options


def publish_bytes(topic: str, payload_bytes: int) -> int:
    """Size on the wire of a QoS 1 PUBLISH without properties, TCP and TLS not counted.

    MQTT 5.0, section 3.3; one byte less on 3.1.1.
    """
    topic_bytes = len(topic) if topic.isascii() else len(topic.encode())
    rest = _TOPIC_LENGTH_BYTES + topic_bytes + _PACKET_ID_BYTES + _NO_PROPERTIES_BYTES + payload_bytes
    return _FIXED_HEADER_BYTES + _length_bytes(rest) + rest


def link_bytes(filters: Iterable[str]) -> int:
    """About what opening a link and subscribing cost (MQTT 5.0, sections 3.1 and 3.8), counted as above."""
    return _CONNECT_BYTES + sum(len(one.encode()) + _FILTER_BYTES for one in filters)


def _length_bytes(length: int) -> int:
    """How many bytes MQTT takes to write this length, seven bits in each."""
    return 1 if length < 1 << 7 else 2 if length < 1 << 14 else 3 if length < 1 << 21 else 4


class Limit(Frozen):
    """How much may be in flight at once. Whatever the limit, one message may."""

    messages: int
    bytes: int

    def within(self, receive_maximum: int) -> Limit:
        """This limit, but never more messages than the broker takes."""
        return replace(self, messages=max(1, min(self.messages, receive_maximum)))


class Sent(Frozen):
    """A message in flight. `behind_bytes`: what was in flight when it was sent, itself included."""

    size_bytes: int
    at_s: float
    behind_bytes: int


class Pace(Slotted):
    """How many bytes may be in flight so that answers come soon, learnt from how long they took.

    Grows while the window is used and answers come within `quick_s`, or did not wait behind others for long:
    by what was answered until the first slow answer, by one step for each window after it; never so far that
    answers must be expected later than `late_s`. Halves when what was sent under the present room took more
    than `slow_s`. So what an alert has to wait behind stays a second's worth or so, however far the broker
    is.
    """

    room_bytes: float = 4096.0
    quick_s: float = 1.0
    slow_s: float = 4.8
    late_s: float = 4.8
    step_bytes: int = 8192
    most_bytes: int = 2**31
    pressed: bool = False  # something had to wait for room
    _cautious: bool = False
    _changed_s: float = float("-inf")
    _fastest_s: float = float("inf")
    _fastest_bytes: int = 0
    _largest_bytes: int = 0

    def answered(self, sent: Sent, now_s: float) -> None:
        """A message was answered."""
        age_s = now_s - sent.at_s
        self._largest_bytes = max(self._largest_bytes, sent.size_bytes)
        if age_s < self._fastest_s:
            self._fastest_s, self._fastest_bytes = age_s, sent.behind_bytes
        if age_s > self.slow_s:
            if sent.at_s >= self._changed_s:
                self.room_bytes = max(1.0, self.room_bytes / 2)
                self._changed_s = now_s
                self._cautious = True
        elif self.pressed:
            self._grow(sent, age_s)

    def _grow(self, sent: Sent, age_s: float) -> None:
        grown = self.room_bytes
        if sent.size_bytes == sent.behind_bytes:
            # It did not wait behind anything: its own size is what took so long, and a second may follow.
            grown = max(grown, sent.size_bytes + 1.0)
        rate = self._rate(sent, age_s)
        waited_s = age_s - self._fastest_s - sent.size_bytes / rate
        if age_s <= self.quick_s or waited_s <= self.quick_s / 2:
            grown += (
                self.step_bytes * sent.size_bytes / self.room_bytes if self._cautious else sent.size_bytes
            )
        # At the rate that this answer tells, with one more message on top, the next still comes in time:
        # that one may be as large as any before it.
        most = min(
            self.most_bytes,
            sent.behind_bytes + rate * (self.late_s - age_s) - self._largest_bytes,
        )
        self.room_bytes = max(self.room_bytes, min(grown, most))

    def _rate(self, sent: Sent, age_s: float) -> float:
        """Bytes a second, by what more of them cost than the fastest answer: distance is not transmission."""
        at_least = sent.behind_bytes / max(age_s, 1e-6)
        more_bytes, more_s = sent.behind_bytes - self._fastest_bytes, age_s - self._fastest_s
        return max(at_least, more_bytes / more_s) if more_s > _TELLING_S else at_least


class Window(Slotted):
    """The publishes of one connection that are not answered yet. `limit` may be changed at any time.

    A message larger than the byte limit goes alone: held back it would hold back everything.
    """

    limit: Limit
    pace: Pace = field(default_factory=Pace)
    _sent: dict[int, Sent] = field(default_factory=dict)
    _bytes: int = 0
    largest_answered_bytes: int = 0

    def fits(self, size_bytes: int, *, urgent: bool = False) -> bool:
        """Whether a message of this size may be sent now. What is urgent does not wait for the pace."""
        if not self._sent:
            return True
        if len(self._sent) >= self.limit.messages or self._bytes + size_bytes > self.limit.bytes:
            self.pace.pressed = True
            return False
        if urgent or self._bytes < self.pace.room_bytes:
            return True
        self.pace.pressed = True
        return False

    def sent(self, token: int, size_bytes: int, now_s: float) -> None:
        """A message was handed over under `token`."""
        earlier = self._sent.pop(token, None)
        self._bytes += size_bytes - (earlier.size_bytes if earlier else 0)
        self._sent[token] = Sent(size_bytes, now_s, self._bytes)

    def answered(self, token: int, now_s: float) -> bool:
        """The broker answered `token`; False where nothing of that token is in flight."""
        known = self._sent.pop(token, None)
        if known is None:
            return False
        self._bytes -= known.size_bytes
        self.largest_answered_bytes = max(self.largest_answered_bytes, known.size_bytes)
        self.pace.most_bytes = self.limit.bytes
        self.pace.answered(known, now_s)
        if self._bytes < self.pace.room_bytes / 2:
            self.pace.pressed = False
        return True

    def oldest_age_s(self, now_s: float) -> float:
        """How long the longest-waiting message has waited; 0 when nothing is in flight."""
        oldest = next(iter(self._sent.values()), None)  # they stand in the order of sending
        return 0.0 if oldest is None else now_s - oldest.at_s

    def under_way(self) -> Mapping[int, Sent]:
        """What is in flight, by token, in the order of sending."""
        return self._sent

    @property
    def messages(self) -> int:
        """How many are in flight."""
        return len(self._sent)

    @property
    def largest_bytes(self) -> int:
        """Of the message of most bytes that is in flight."""
        return max((sent.size_bytes for sent in self._sent.values()), default=0)

    @property
    def bytes(self) -> int:
        """How many bytes are in flight."""
        return self._bytes

    def clear(self) -> None:
        """The connection is gone: nothing is in flight any more, and the next one has its own pace."""
        self._sent.clear()
        self._bytes = 0
        self.pace = Pace()


class Backoff(Slotted):
    """How long to wait before the next attempt to connect: full jitter under a ceiling that grows.

    The ceiling doubles from `first_s` to `soon_s`; once the outage has lasted `soon_for_s` it goes on to
    double, up to `most_s`. An outage of seconds is over in seconds; a hundred units that lost one broker do
    not come back as one. Source of the method: M. Brooker, "Exponential Backoff And Jitter" (2015).
    """

    draw: random.Random
    first_s: float = 1.0
    soon_s: float = 5.0
    soon_for_s: float = 120.0
    most_s: float = 120.0
    _since_s: float | None = None
    _ceiling_s: float = 0.0

    def failed(self, now_s: float) -> float:
        """The link was lost, or never came to be: seconds to wait before the next attempt."""
        if self._since_s is None:
            self._since_s = now_s
            self._ceiling_s = self.first_s
        delay_s = self.draw.uniform(0.0, self._ceiling_s)
        soon = now_s - self._since_s < self.soon_for_s
        self._ceiling_s = min(self._ceiling_s * 2, self.soon_s if soon else self.most_s)
        return delay_s

    def proved(self) -> None:
        """The outage is over. Call it once the link has answered a publish, not when it connects.

        A broker that takes us and drops us at once would otherwise be called again without a pause.
        """
        self._since_s = None
