"""Timekeep: notices when true time arrives, and has the events of this boot dated by it. One thread."""

from __future__ import annotations

import logging

from trapd.errors import StoreFull
from trapd.ports import Clock
from trapd.records import Moment
from trapd.rules import NS_PER_S
from trapd.stages.base import Stage
from trapd.store import RANK, TOLERANCE_MS, EncodeClock, Session, Store, offset

log = logging.getLogger("trapd.timekeep")

_TURN_S = 5.0
# The clock's quality is looked up now and then: a clock that was set waits until it is fresh.
_BELIEVED_AFTER_S = 15.0
# A burst that began before the correction is recorded after it.
_LOOK_FOR_S = 180.0


class Timekeep(Stage):
    """Corrects once at start, and after every jump of the wall clock or rise of its quality.

    `encode` makes the payload of `clock`.
    """

    name = "timekeep"

    def __init__(self, *, store: Store, clock: Clock, encode: EncodeClock) -> None:
        super().__init__()
        self._store = store
        self._clock = clock
        self._encode = encode
        self._last: Moment | None = None
        self._from_ns = clock.boot_ns()
        self._until_ns = self._from_ns + int(_LOOK_FOR_S * NS_PER_S)

    def run(self) -> None:
        """Until told to stop."""
        with self._store.session() as session:
            while not self.stop.is_set():
                self.beat()
                self._turn(session)
                self._clock.wait(self.stop, _TURN_S)

    def _turn(self, session: Session) -> None:
        now = self._clock.now()
        self._notice(now)
        if not self._from_ns <= now.boot_ns < self._until_ns:
            return
        try:
            done = session.timeline.correct(now, self._encode)
        except StoreFull as error:
            log.warning("times are put right later: %s", error)
            self._until_ns = now.boot_ns + int(_LOOK_FOR_S * NS_PER_S)
            return
        if done.redated or done.told:
            told = "; the receiver is told" if done.told else ""
            log.info("%d events are dated by the clock, now %s%s", done.redated, now.quality, told)

    def _notice(self, now: Moment) -> None:
        last, self._last = self._last, now
        if last is None:
            return
        rose = RANK[now.quality] > RANK[last.quality]
        jumped_ms = offset(now) - offset(last)
        if not rose and abs(jumped_ms) <= TOLERANCE_MS:
            return
        log.warning("the clock was set by %.1f s; its quality is %s", jumped_ms / 1000, now.quality)
        self._from_ns = now.boot_ns + (0 if rose else int(_BELIEVED_AFTER_S * NS_PER_S))
        self._until_ns = now.boot_ns + int(_LOOK_FOR_S * NS_PER_S)
