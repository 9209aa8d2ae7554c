"""Alerts that stand for a while: what was lost for want of space, and what a rebuild could not bring back.

`disk` (a trigger was refused for space; Capture raises it), `evicted` (something was removed before it was
delivered) and `store` (the database had to be made anew; raised at start) stand until an hour has passed
without the same again, and at least until the broker has them, also across restarts. Housekeep's thread.
"""

from __future__ import annotations

from trapd.ports import Clock
from trapd.rules import NS_PER_S
from trapd.stages.alerts import LASTING, Alerts
from trapd.store import LOSSES, Rebuilt, Session

_QUIET_S = 3600.0
_TOLD = "told_losses"  # how many losses the alert has been raised for
_REFUSED = "refused.disk"


class Scarcity:
    """Looks at the counters once a turn."""

    def __init__(self, alerts: Alerts, clock: Clock) -> None:
        self._alerts = alerts
        self._clock = clock
        self._last_ns = dict.fromkeys(LASTING, clock.boot_ns())
        self._refused: int | None = None

    def look(self, session: Session) -> None:
        """Raise what is new, clear what is over. Raises StoreError."""
        counts = session.counters.all()
        now_ns = self._clock.boot_ns()
        lost = sum(counts.get(name, 0) for name in LOSSES)
        if lost > int(session.meta.get(_TOLD) or 0):
            self._last_ns["evicted"] = now_ns
            self._alerts.raise_(
                "evicted",
                "no room: photographs or events are removed before they were delivered",
                "let the queue drain, raise storage.max_bytes, or free space on the card",
            )
            if "evicted" in self._alerts.names():
                session.counters.remember(_TOLD, str(lost))
        if counts.get(_REFUSED, 0) != self._refused:
            self._refused = counts.get(_REFUSED, 0)
            self._last_ns["disk"] = now_ns
        for name in sorted(LASTING & set(self._alerts.names())):
            is_quiet = now_ns - self._last_ns[name] >= _QUIET_S * NS_PER_S
            if is_quiet and not session.outbox.waits(f"alert/{name}"):
                self._alerts.clear(name)


def words_of(rebuilt: Rebuilt) -> tuple[str, str]:
    """Message and hint of alert `store`: what came back, what did not, and where the rest may be."""
    if rebuilt.is_older:
        message = (
            f"the newest part of the database is lost: {rebuilt.restored} events are as they were before it,"
            f" {rebuilt.adopted} bursts came back from their photographs, to be judged again;"
            f" {rebuilt.lost} bursts at most, and all messages and verdicts since, could not be brought back"
        )
        return message, "the epoch has changed; look at the disk: it may not keep what it says it has kept"
    message = (
        f"the database was damaged or gone and is made anew: {rebuilt.restored} events came back from the"
        f" daily copy, {rebuilt.adopted} bursts from their photographs, to be judged again;"
        f" {rebuilt.lost} bursts at most, and all messages and verdicts since that copy, could not be"
        " brought back"
    )
    kept = f"the damaged one is kept as {rebuilt.set_aside}; " if rebuilt.set_aside else ""
    return message, f"{kept}the epoch has changed; look at the disk"
