"""What lies retained at the broker comes with each connection: that is a copy, and no attempt of its own.

What was refused of it is one record. So its content is noted with the record, and a copy of it is refused
without another one. Control's thread; one object for a process.
"""

from __future__ import annotations

from trapd.ports import Clock, Received
from trapd.rules import NS_PER_S
from trapd.stages.control.looking import name_of
from trapd.store import Session

_MOST_TOPICS = 500
_SOON_S = 10.0  # a session gives what it has kept, and the subscription the copy of it


def lying(message: Received) -> str:
    """What is noted of a message that is refused, and may lie at the broker."""
    return f"lies:{name_of(message)}"


class Copies:
    """A link gives each topic's copy once, before all that is said there while it lasts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._link = 0
        self._seen_ns: dict[str, int] = {}  # by topic, when the first of this link came

    def is_one(self, session: Session, message: Received) -> bool:
        """Whether this is the copy of something that was refused, and is recorded."""
        if not message.retained:
            return False
        if not message.again:
            if message.link != self._link:
                self._link, self._seen_ns = message.link, {}
            now_ns = self._clock.boot_ns()
            if len(self._seen_ns) < _MOST_TOPICS:
                self._seen_ns.setdefault(message.topic, now_ns)
            first_ns = self._seen_ns.get(message.topic)
            if first_ns is None or now_ns - first_ns > _SOON_S * NS_PER_S:
                return False  # somebody has just said it again
        return session.obeyed.heard(lying(message))
