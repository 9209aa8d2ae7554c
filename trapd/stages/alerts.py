"""Alerts: what the operator should know now, as retained leaves that are raised and cleared.

Any stage raises and clears; only a change is written. Each call opens a session of its own on the calling
thread, so an alert costs its stage one short transaction. An alert is one stage's: no two threads raise or
clear the same name, but for `disk`, which Capture raises whenever it holds and Housekeep clears in the end.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable

from trapd.errors import StoreFull
from trapd.records import Alert, Kind
from trapd.store import Store

log = logging.getLogger("trapd.alerts")

_PREFIX = "alert/"
_STORED = object()

LASTING = frozenset({"disk", "evicted", "store"})
"""Alerts of what is over as soon as it has happened: they stand on, also across restarts (see Scarcity)."""


class Alerts:
    """The alerts in force. `encode` turns one into its payload; `now_iso` gives the time it began.

    What finds no room in the store is not in force, or still is: `store_again` and the next call with it try
    again.
    """

    def __init__(self, store: Store, encode: Callable[[Alert], bytes], now_iso: Callable[[], str]) -> None:
        self._store = store
        self._encode = encode
        self._now_iso = now_iso
        self._lock = threading.Lock()
        self._putting = threading.Lock()  # what is tried again does not come behind what is newer
        self._standing: dict[str, Alert] = {}
        self._unclaimed: set[str] = set()
        self._unstored: dict[str, Alert | None] = {}  # None: it is over

    def raise_(self, name: str, message: str, hint: str) -> None:
        """Raise alert `name`, or change what it says; it stands since it was first raised."""
        earlier = self._claim(name)
        if earlier is not None and (earlier.message, earlier.hint) == (message, hint):
            return
        since = self._now_iso() if earlier is None else earlier.since
        alert = Alert(name, since, message, hint)
        log.log(self._level(name), "alert %s: %s (%s)", name, message, hint)
        self._put(name, alert)

    def clear(self, name: str) -> None:
        """Clear alert `name` if it stands."""
        if self._claim(name) is None:
            with self._lock:
                self._unstored.pop(name, None)  # nobody has heard of it
            return
        log.info("alert %s is over", name)
        self._put(name, None)

    def store_again(self) -> None:
        """What found no room: it may be over before the next occasion, and the operator is to know of it."""
        with self._lock:
            unstored = tuple(self._unstored.items())
        for name, alert in unstored:
            with self._putting:
                if self._unstored.get(name, _STORED) is alert:
                    self._put_now(name, alert)

    def names(self) -> tuple[str, ...]:
        """What stands now."""
        with self._lock:
            return tuple(sorted(self._standing))

    def take_over(self) -> None:
        """At start: what an earlier process had raised stands on, since when it did.

        Whoever raised it raises it again or clears it, as soon as it has looked. LASTING ones may not have
        been delivered yet.
        """
        with self._store.session() as session:
            leaves = session.outbox.retained(_PREFIX)
        with self._lock:
            for leaf, payload in leaves.items():
                name = leaf.removeprefix(_PREFIX)
                self._standing[name] = _decoded(name, payload, self._now_iso())
                if name not in LASTING:
                    self._unclaimed.add(name)

    def clear_unclaimed(self) -> None:
        """Clear what an earlier process had raised and nobody in this one has spoken of."""
        with self._lock:
            names = sorted(self._unclaimed)
        for name in names:
            self.clear(name)

    def _level(self, name: str) -> int:
        """One that finds no room is tried again at every occasion: it is said once."""
        with self._lock:
            return logging.DEBUG if name in self._unstored else logging.WARNING

    def _claim(self, name: str) -> Alert | None:
        """The alert as it stands; from now on it is this process's."""
        with self._lock:
            self._unclaimed.discard(name)
            return self._standing.get(name)

    def _put(self, name: str, alert: Alert | None) -> None:
        with self._putting:
            self._put_now(name, alert)

    def _put_now(self, name: str, alert: Alert | None) -> None:
        """Into the store, and in force as soon as it is there; None: it is over."""
        try:
            with self._store.session() as session:
                payload = b"" if alert is None else self._encode(alert)
                session.outbox.put(Kind.ALERT, f"{_PREFIX}{name}", payload, retain=True)
        except StoreFull:
            log.log(self._level(name), "alert %s not stored: no space; it is tried again", name)
            with self._lock:
                self._unstored[name] = alert
            return
        with self._lock:
            self._unstored.pop(name, None)
            if alert is None:
                self._standing.pop(name, None)
            else:
                self._standing[name] = alert


def _decoded(name: str, payload: bytes, now_iso: str) -> Alert:
    try:
        found = json.loads(payload)
        return Alert(name, str(found["since"]), str(found["message"]), str(found["hint"]))
    except (ValueError, TypeError, KeyError):
        return Alert(name, now_iso, "raised by an earlier process", "")
