"""What lies retained at the broker comes with each connection: that is a copy, and no attempt of its own.

What was refused of it is one record. So its content is noted with the record, and a copy of it is refused
without another one. Control's thread; one object for a process.
"""

from __future__ import annotations

from trapd.ports import Received
from trapd.stages.control.looking import name_of
from trapd.store import Session

_MOST_TOPICS = 500


def lying(message: Received) -> str:
    """What is noted of a message that is refused, and may lie at the broker."""
    return f"lies:{name_of(message)}"


class Copies:
    """A link gives each topic's copy once, before all that is said there while it lasts."""

    def __init__(self) -> None:
        self._link = 0
        self._seen: dict[str, int | None] = {}  # by topic, the number of what came first

    def is_one(self, session: Session, message: Received) -> bool:
        """Whether this is the copy of something that was refused, and is recorded."""
        if not message.retained:
            return False
        if not message.again:
            if message.link != self._link:
                self._link, self._seen = message.link, {}
            if len(self._seen) < _MOST_TOPICS:
                self._seen.setdefault(message.topic, message.number)
            if message.number is None or self._seen.get(message.topic) != message.number:
                return False  # somebody has just said it again
        return session.obeyed.heard(lying(message))
