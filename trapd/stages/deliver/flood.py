"""Messages too large for this unit: the link ends over each, and must not end over it again and again.

With MQTT 5 the broker is told what the unit takes, and keeps the rest to itself. With 3.1.1 it gives whatever
lies there: the uplink ends the link before a byte of it is kept. It would come again with the next link: in
the session, or as a retained one with the subscription. So the next link begins a session anew, and does not
listen to that topic for a while, or to nothing where the topic cannot be known; alert `flooded` names it.
Deliver's thread; one object for a process.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress

from trapd.errors import StoreFull
from trapd.frozen import Slotted
from trapd.ports import Clock, TooLarge
from trapd.rules import NS_PER_S
from trapd.stages.alerts import Alerts
from trapd.stages.control.commands import COMMANDS
from trapd.store import Session
from trapd.wire import authority, codec
from trapd.wire.topics import GROUP_COMMANDS, Topics

log = logging.getLogger("trapd.deliver")

_AGAIN_S, _AGAIN_MOST_S = 3600.0, 24 * 3600.0
_OVER_S = 60.0  # a topic that was listened to for so long is in order
_PAUSE_S, _PAUSE_MOST_S = 5.0, 600.0
_SHOWN = 200
_MOST_TOPICS = 100


class _Avoided(Slotted):
    """A topic that is not listened to until `due_ns`; `since_ns`: it is again, since then."""

    again_s: float
    due_ns: int
    since_ns: int | None = None


class Flood:
    """`fresh`: the next link has to clear what the broker keeps for us."""

    def __init__(self, topics: Topics, alerts: Alerts, clock: Clock) -> None:
        self.fresh = False
        self._topics = topics
        self._alerts = alerts
        self._clock = clock
        self._avoided: dict[str | None, _Avoided] = {}  # None: all there is
        self._unasked = 0  # of what is not listened to; since a link lived for long

    def ended(self, session: Session, found: TooLarge) -> float:
        """A link ended over such a message; seconds to wait at least before the next. Raises nothing."""
        now_ns = self._clock.boot_ns()
        self.fresh = True
        topic = found.topic if len(self._avoided) < _MOST_TOPICS else None
        earlier = self._avoided.get(topic)
        if earlier is not None and earlier.since_ns is None:
            self._unasked += 1
        again_s = _AGAIN_S if earlier is None else min(_AGAIN_MOST_S, 2 * earlier.again_s)
        self._avoided[topic] = _Avoided(again_s, now_ns + int(again_s * NS_PER_S))
        self._tell(found)
        with suppress(StoreFull):
            session.counters.add("inbound_too_large")
            leaf = "?" if found.topic is None else self._topics.leaf(found.topic)[:_SHOWN]
            message = f"{found.size_bytes} bytes: the link was ended over it"
            record = codec.trail(
                self._clock.now(),
                leaf=leaf,
                txn=None,
                code=authority.TOO_LARGE,
                kid=None,
                version=None,
                message=message,
            )
            session.obeyed.tell((), record)
        return min(_PAUSE_MOST_S, _PAUSE_S * 2.0 ** min(self._unasked - 1, 10)) if self._unasked else 0.0

    def link_begins(self) -> None:
        """The broker took us: what it kept is cleared."""
        self.fresh = False
        for avoided in self._avoided.values():
            avoided.since_ns = None

    def filters(self, patterns: Iterable[str]) -> tuple[str, ...]:
        """What to subscribe to now; topics whose time has come are among it again."""
        now_ns = self._clock.boot_ns()
        for avoided in self._avoided.values():
            if avoided.due_ns <= now_ns and avoided.since_ns is None:
                avoided.since_ns = now_ns
        if (all_ := self._avoided.get(None)) is not None and all_.since_ns is None:
            return ()
        without = {
            topic for topic, one in self._avoided.items() if topic is not None and one.since_ns is None
        }
        if not without:
            return tuple(patterns)
        return tuple(
            topic
            for pattern in patterns
            for topic in self._topics.left_of(
                pattern, without, GROUP_COMMANDS if "/_group/" in pattern else COMMANDS
            )
        )

    def look(self, lived_s: float) -> bool:
        """Called every turn of a link that has lived so long; True when it is time to subscribe anew."""
        if self._unasked and lived_s > _PAUSE_MOST_S:
            self._unasked = 0
        if not self._avoided:
            self._alerts.clear("flooded")
            return False
        now_ns = self._clock.boot_ns()
        over = [
            topic
            for topic, avoided in self._avoided.items()
            if avoided.since_ns is not None and now_ns - avoided.since_ns > _OVER_S * NS_PER_S
        ]
        for topic in over:
            log.info("%r is listened to again", (topic or "everything")[:_SHOWN])
            del self._avoided[topic]
        return any(
            avoided.since_ns is None and avoided.due_ns <= now_ns for avoided in self._avoided.values()
        )

    def try_all(self) -> None:
        """The operator says that something is put right."""
        now_ns = self._clock.boot_ns()
        for avoided in self._avoided.values():
            avoided.due_ns = min(avoided.due_ns, now_ns)

    def _tell(self, found: TooLarge) -> None:
        topic, there = "a topic that cannot be known", "to anything"
        if found.topic is not None:
            topic, there = found.topic[:_SHOWN], "there"
        self._alerts.raise_(
            "flooded",
            f"a message of {found.size_bytes} bytes on {topic} is too large for this unit: it does not listen"
            f" {there} for now, and what else waited at the broker is gone",
            "clear what is retained there (mosquitto_pub -r -n -t TOPIC); the unit listens again within a"
            " day, with `rebirth` at once",
        )
