"""Housekeep: make room on the card before it is needed, so that Capture never waits for a deletion.

One thread. Beside that it sums adopted photographs, copies the database once a day, and looks after the
alerts that tell of lost things.
"""

from __future__ import annotations

import logging

from trapd.errors import StoreFull
from trapd.ports import Clock
from trapd.rules import NS_PER_S
from trapd.stages.alerts import Alerts
from trapd.stages.base import Stage
from trapd.stages.upkeep.scarcity import Scarcity
from trapd.store import Session, Store, Tombstones

log = logging.getLogger("trapd.housekeep")

_TURN_S = 5.0
_LOOK_S, _PAUSE_S = 1.0, 0.2
_RETRY_S = 60.0
_BATCH = 50
_SUMS = 20
_CLAIM_WITHIN_S = 600.0  # alerts of an earlier process that nobody has spoken of by then are over
_BACKUP_FIRST_S = 300.0  # after start: there is more urgent work then
_BACKUP_LOOK_S = 3600.0
_STEP_S = 0.01  # between two megabytes of the copy: others write too


class _ToldToStop(Exception):
    """The stop came while the database was copied."""


class Housekeep(Stage):
    """Quota and free-space floor. `tombstones` make what is sent in place of what had to go."""

    name = "housekeep"
    patience_s = 120.0

    def __init__(self, *, store: Store, clock: Clock, alerts: Alerts, tombstones: Tombstones) -> None:
        super().__init__()
        self._store = store
        self._clock = clock
        self._tombstones = tombstones
        self._alerts = alerts
        self._scarcity = Scarcity(alerts, clock)
        self._claimed_ns = clock.boot_ns() + int(_CLAIM_WITHIN_S * NS_PER_S)
        self._backup_ns = clock.boot_ns() + int(_BACKUP_FIRST_S * NS_PER_S)

    def run(self) -> None:
        """Until told to stop."""
        with self._store.session() as session:
            while not self.stop.is_set():
                self.beat()
                self._rest(self._turn(session))

    def _rest(self, rest_s: float) -> None:
        """Until the next look is due, or bursts need room before that."""
        end_ns = self._clock.boot_ns() + int(rest_s * NS_PER_S)
        while not self.stop.is_set() and (left_ns := end_ns - self._clock.boot_ns()) > 0:
            self.beat()
            if self._clock.wait(self._store.space.tight, min(_LOOK_S, left_ns / NS_PER_S)):
                # Not at once: where nothing can go, every burst would ask for it in vain.
                self._clock.wait(self.stop, _PAUSE_S)
                return

    def _turn(self, session: Session) -> float:
        """Evict one batch if space is short; seconds until the next look."""
        try:
            return self._work(session)
        except StoreFull as error:
            # Others may have filled the disk. Ending the process for it would make no room.
            log.warning("no room to make room: %s", error)
            return 0.0 if self._store.space.release_reserve() else _RETRY_S

    def _work(self, session: Session) -> float:
        self._store.check_in_place(session)
        evicted = self._store.space.tidy(session, _BATCH, self._tombstones)
        self._alerts.store_again()
        self._scarcity.look(session)
        if self._clock.boot_ns() >= self._claimed_ns:
            self._alerts.clear_unclaimed()
        if evicted.events:
            log.info("evicted %d files, %d bytes", evicted.files, evicted.bytes)
            return 0.0
        if session.sums.some(_SUMS):
            return 0.0
        if self._clock.boot_ns() >= self._backup_ns:
            self._backup_ns = self._clock.boot_ns() + int(_BACKUP_LOOK_S * NS_PER_S)
            self._back_up(session)
        return _TURN_S

    def _back_up(self, session: Session) -> None:
        try:
            if self._store.back_up(session, self._step):
                log.info("the database is backed up")
        except _ToldToStop:
            log.info("the backup of the database is left for the next start")

    def _step(self) -> None:
        self.beat()
        if self._clock.wait(self.stop, _STEP_S):
            raise _ToldToStop
