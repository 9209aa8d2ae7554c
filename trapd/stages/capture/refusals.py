"""Refused triggers on their way into the store: by reason, so that any number of them takes no room.

The sensor's thread and Capture's add; Capture writes them down at every turn, but no more than once a second,
and tells the log once a minute: a pin that hums gives a thousand edges a second for weeks, each a write to
the card and a line in the journal.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter

from trapd.errors import StoreFull
from trapd.ports import Clock
from trapd.records import Refusal
from trapd.rules import NS_PER_S
from trapd.store import Session

log = logging.getLogger("trapd.capture")

_RETRY_S = 5.0
_EVERY_S = 1.0
_TELL_EVERY_S = 60.0


class Refusals:
    """What was refused and is not in the store yet."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: Counter[Refusal] = Counter()
        self._due_ns = 0
        self._untold: Counter[Refusal] = Counter()
        self._tell_ns = 0

    def add(self, why: Refusal) -> None:
        """One trigger was refused. Any thread."""
        with self._lock:
            self._waiting[why] += 1

    def store(self, session: Session, *, last: bool = False) -> None:
        """Write down what waits, once a second; the `last` time at once.

        While the store is full it adds up here, tried again every 5 s.
        """
        now_ns = self._clock.boot_ns()
        if self._waiting and (last or now_ns >= self._due_ns):
            self._count(session, now_ns)
        if self._untold and (last or now_ns >= self._tell_ns):
            self._tell_ns = now_ns + int(_TELL_EVERY_S * NS_PER_S)
            told, self._untold = self._untold, Counter()
            for why, count in told.items():
                log.info("%d refused: %s", count, why)

    def _count(self, session: Session, now_ns: int) -> None:
        self._due_ns = now_ns + int(_EVERY_S * NS_PER_S)
        with self._lock:
            refused, self._waiting = self._waiting, Counter()
        try:
            for why in tuple(refused):
                session.counters.add(f"refused.{why}", refused[why])
                self._untold[why] += refused.pop(why)
        except StoreFull:
            log.warning("%d refused triggers are not counted yet: no space", refused.total())
            self._due_ns = self._clock.boot_ns() + int(_RETRY_S * NS_PER_S)
        finally:
            with self._lock:
                self._waiting.update(refused)
