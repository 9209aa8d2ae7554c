"""The trail: one record for every attempt at remote control, at most 60 an hour, the rest as one count.

Control's thread. Hours are of running time.
"""

from __future__ import annotations

from trapd.ports import Clock
from trapd.rules import NS_PER_S
from trapd.wire import codec

MOST_PER_HOUR = 60
_HOUR_NS = 3600 * NS_PER_S


class Trail:
    """Makes the records; who asks for one queues it with what it tells of."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._hour_ns = clock.boot_ns()
        self._written = 0
        self._more = 0

    def record(
        self,
        leaf: str,
        code: int,
        *,
        txn: str | None = None,
        kid: str | None = None,
        version: int | None = None,
        message: str = "",
    ) -> bytes | None:
        """The record of an attempt; None for one too many, which is counted."""
        if self._written >= MOST_PER_HOUR:
            self._more += 1
            return None
        self._written += 1
        return codec.trail(
            self._clock.now(), leaf=leaf, txn=txn, code=code, kid=kid, version=version, message=message
        )

    def due(self) -> bytes | None:
        """Called every turn: when an hour is over, how many were too many in it."""
        if self._clock.boot_ns() - self._hour_ns < _HOUR_NS:
            return None
        more, self._more, self._written = self._more, 0, 0
        self._hour_ns = self._clock.boot_ns()
        return codec.trail_more(self._clock.now(), more) if more else None

    @property
    def more(self) -> int:
        """How many were too many in this hour so far."""
        return self._more
