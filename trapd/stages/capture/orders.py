"""Standing orders: whether the unit is armed, and bursts that the operator asks for. Any thread.

Armed or not outlasts the process. A burst that is asked for is answered with its event, or with why there is
none.
"""

from __future__ import annotations

import queue
from contextlib import suppress

from trapd.frozen import Frozen
from trapd.records import Refusal, Trigger
from trapd.store import Session

_DISARMED = "disarmed"
_MOST_ASKED = 4

REMOTE = "remote"
"""The source of a trigger that the operator gave."""


class Taken(Frozen):
    """What became of a burst that was asked for: its event, or the reason why there is none."""

    trigger: Trigger
    event_id: str | None = None
    refusal: Refusal | None = None


class Orders:
    """Any thread."""

    def __init__(self) -> None:
        self._armed = True
        self._asked: queue.Queue[Trigger] = queue.Queue(_MOST_ASKED)
        self._taken: queue.SimpleQueue[Taken] = queue.SimpleQueue()

    @property
    def armed(self) -> bool:
        """Whether triggers become bursts."""
        return self._armed

    def recall(self, session: Session) -> None:
        """At start: what an earlier process was told."""
        self._armed = session.meta.get(_DISARMED) is None

    def arm(self, session: Session, armed: bool) -> None:
        """Durable when it returns. Raises StoreFull, StoreError: then nothing has changed."""
        session.meta.put_or_forget(_DISARMED, None if armed else "1")
        self._armed = armed

    def ask(self, trigger: Trigger) -> bool:
        """Ask for a burst; False where too many are asked for already."""
        try:
            self._asked.put_nowait(trigger)
        except queue.Full:
            return False
        return True

    def next(self) -> Trigger | None:
        """What is asked for; Capture's."""
        with suppress(queue.Empty):
            return self._asked.get_nowait()
        return None

    def done(self, taken: Taken) -> None:
        """What became of it; Capture's."""
        self._taken.put(taken)

    def taken(self) -> Taken | None:
        """The next answer; Control's."""
        with suppress(queue.Empty):
            return self._taken.get_nowait()
        return None
