"""The trail: one record for every attempt at remote control, at most 60 an hour, the rest as one count.

Control's thread. The store counts, in the transaction that takes the record: hours are of running time, and
go on over restarts.
"""

from __future__ import annotations

from trapd.ports import Clock
from trapd.records import Note
from trapd.store import Session
from trapd.wire import codec


class Trail:
    """Makes the records; who asks for one queues it with what it tells of."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._is_new = True  # a record was made, or an earlier process's hour may be under way
        self._ends_ns: int | None = None  # of the hour under way

    def record(
        self,
        leaf: str,
        code: int,
        *,
        txn: str | None = None,
        kid: str | None = None,
        version: int | None = None,
        message: str = "",
    ) -> bytes:
        """The record of an attempt."""
        self.is_under_way()
        return codec.trail(
            self._clock.now(), leaf=leaf, txn=txn, code=code, kid=kid, version=version, message=message
        )

    def is_under_way(self) -> None:
        """An hour has begun, or may have."""
        self._is_new = True

    def of(self, note: Note) -> bytes:
        """The record of an attempt that the configuration's files have noted."""
        return self.record(
            note.leaf,
            note.code,
            txn=note.txn or None,
            kid=note.kid,
            version=note.version,
            message=note.message,
        )

    def look(self, session: Session) -> None:
        """Called every turn: when an hour is over, tell how many were too many in it. Raises StoreFull."""
        if self._ends_ns is None and self._is_new:
            self._is_new = False
            self._ends_ns = session.obeyed.trail_hour_ends_ns()
        if self._ends_ns is None or self._clock.boot_ns() < self._ends_ns:
            return
        session.obeyed.end_trail_hour(lambda more: codec.trail_more(self._clock.now(), more))
        self._ends_ns = None
