"""From the outbox to the socket: in order, within window, pace and budget. Deliver's thread."""

from __future__ import annotations

import logging
from collections import deque
from enum import Enum, auto

from trapd.errors import BadInput, LinkUnavailable, StoreCorrupt, StoreError
from trapd.frozen import Frozen
from trapd.ports import Clock
from trapd.records import Message, Priority
from trapd.rules import NS_PER_S
from trapd.stages.deliver.connection import ENDS_LINK, REFUSED, TOO_LARGE, UNSENDABLE, Connection
from trapd.stages.deliver.declined import Declined
from trapd.stages.deliver.payloads import Payloads
from trapd.stages.deliver.spending import Spending
from trapd.stages.deliver.suspicion import Stand, Suspicion
from trapd.store import Session
from trapd.wire.topics import CONFIGURED, Topics
from trapd.wire.window import PROPERTY_BYTES, publish_bytes

log = logging.getLogger("trapd.deliver")

_LEAST_AHEAD, _MOST_AHEAD = 100, 800
_AHEAD_FOR_S = 0.2  # a kind whose rest is over need not wait longer for its turn


class _Went(Enum):
    SENT = auto()
    STALE = auto()  # it was chosen too long ago, and may not go any more
    NOT_NOW = auto()  # this one; others may go
    FULL = auto()  # nothing may go


class _Packet(Frozen):
    topic: str
    payload: bytes
    size_bytes: int


class Sending:
    """Hands over what may go now. Alerts go first and do not wait for the pace, only for the window."""

    def __init__(
        self,
        *,
        topics: Topics,
        payloads: Payloads,
        spending: Spending,
        declined: Declined,
        suspicion: Suspicion,
        clock: Clock,
    ) -> None:
        self._topics = topics
        self._payloads = payloads
        self._spending = spending
        self._declined = declined
        self._suspicion = suspicion
        self._clock = clock
        self._ahead: deque[Message] = deque()
        self._look_ahead = _LEAST_AHEAD
        self._nothing_lower = False
        self._as_of = (0, 0)  # when, and the store's version then

    def forget_order(self) -> None:
        """Rows have come or gone by this thread's own doing: look again before the next is sent."""
        self._ahead.clear()
        self._nothing_lower = False

    def pump(self, session: Session, connection: Connection) -> None:
        """Hand rows to the socket while there is room, and send them."""
        if not connection.up or connection.room <= 0:
            return
        now_ns = self._clock.boot_ns()
        connection.release_held(now_ns)
        connection.count_anew()
        connection.kinds_that_end_it = self._suspicion.kinds
        self._forget_what_is_old(session, now_ns)
        if not (self._suspicion.active and self._send_alone(session, connection, now_ns)):
            self._hand_over(session, connection, now_ns)
        connection.link.flush()

    def _send_alone(self, session: Session, connection: Connection, now_ns: int) -> bool:
        """One that is suspected to end the link, with nothing beside it; True while nothing else may go."""
        if connection.leaving or self._suspicion.has_one_alone:
            return not connection.leaving
        which = self._suspicion.next_alone(now_ns)
        if which is None or connection.in_flight:
            return which is not None
        connection.release(ENDS_LINK)
        found = self._next(session, connection, 1, only=which)
        if not found:
            self._suspicion.gone(which)
            return False
        went = self._send(session, connection, found[0], now_ns, alone=True)
        if went is _Went.SENT:
            self._suspicion.sent_alone(found[0])
        elif went is not _Went.FULL:
            self._suspicion.cannot_try(which, now_ns)
        return True

    def _hand_over(self, session: Session, connection: Connection, now_ns: int) -> None:
        in_vain = False
        while connection.room > 0 and not (in_vain and not self._ahead):
            if not self._ahead:
                self._ahead.extend(self._next(session, connection, self._look_ahead))
                self._look_ahead = min(_MOST_AHEAD, 2 * self._look_ahead)
                in_vain = True  # until one of them says otherwise: looking again would find the same
            if not self._ahead:
                connection.all_looked_at()
                return
            message = self._ahead.popleft()
            went = self._send_in_turn(session, connection, message, now_ns)
            if went is _Went.FULL:
                self._ahead.appendleft(message)
                return
            in_vain = in_vain and went is _Went.STALE

    def _forget_what_is_old(self, session: Session, now_ns: int) -> None:
        """What another thread has put counts at once."""
        version = session.outbox.version()
        if self._as_of[1] != version or now_ns - self._as_of[0] > _AHEAD_FOR_S * NS_PER_S:
            # As much as goes in such a time is worth a look-up; what is left over was one too many.
            self._look_ahead = max(_LEAST_AHEAD, self._look_ahead // (2 if self._ahead else 1))
            self.forget_order()
            self._as_of = (now_ns, version)

    def _next(
        self,
        session: Session,
        connection: Connection,
        limit: int,
        *,
        below: Priority | None = None,
        only: int | str | None = None,
    ) -> list[Message]:
        choice = connection.choice(self._clock.boot_ns())
        if only is None and self._suspicion.active:
            choice["exclude"] |= self._suspicion.aside()
            choice["resting"] = frozenset(choice["resting"]) | self._suspicion.resting
        most_bytes = connection.window.limit.bytes
        return session.outbox.next(limit, max_bytes=most_bytes, below=below, only=only, **choice)

    def _send_in_turn(self, session: Session, connection: Connection, message: Message, now_ns: int) -> _Went:
        turns = connection.turns
        if turns.lower and message.priority is not Priority.ALERT and not self._nothing_lower:
            lower = self._next(session, connection, 1, below=message.priority)
            for other in lower:
                if self._send(session, connection, other, now_ns) is _Went.FULL:
                    return _Went.FULL
                self._take_out(other)
            self._nothing_lower = not lower
            turns.sent(lower=True)
        went = self._send(session, connection, message, now_ns)
        if went is _Went.SENT and message.priority is not Priority.ALERT:
            turns.sent(lower=False)
        return went

    def _take_out(self, sent: Message) -> None:
        """What went in its turn does not wait any more. All else does: in a mixed backlog one send in ten is
        such a turn, and to look all of it up again each time would cost more than the sending.
        """
        which = (sent.row, sent.part)
        self._ahead = deque(message for message in self._ahead if (message.row, message.part) != which)

    def _send(
        self,
        session: Session,
        connection: Connection,
        message: Message,
        now_ns: int,
        *,
        alone: bool = False,
    ) -> _Went:
        barred = self._barred(connection, message, now_ns, alone=alone)
        if barred is not None:
            return barred
        packet = self._packet(session, connection, message)
        if packet is None:
            return _Went.NOT_NOW
        if not connection.window.fits(packet.size_bytes, urgent=message.priority is Priority.ALERT):
            return _Went.FULL
        if not self._spending.allows(message, packet.size_bytes):
            connection.too_dear(message)
            return _Went.NOT_NOW
        connection.paid(message)
        return self._publish(session, connection, message, packet, now_ns)

    def _barred(self, connection: Connection, message: Message, now_ns: int, *, alone: bool) -> _Went | None:
        """Whether something speaks against this row, whatever it holds."""
        if not connection.may_go(message, now_ns):
            return _Went.STALE
        if connection.rests_alone(message.leaf, now_ns):
            connection.hold(message, REFUSED, now_ns)
            return _Went.NOT_NOW
        if alone or not self._suspicion.active:
            return None
        if message.kind in self._suspicion.resting:
            return _Went.STALE
        stand = self._suspicion.stand(message)
        if stand is Stand.HELD:
            connection.hold(message, ENDS_LINK, now_ns)
        return None if stand is Stand.FREE else _Went.NOT_NOW

    def _publish(
        self, session: Session, connection: Connection, message: Message, packet: _Packet, now_ns: int
    ) -> _Went:
        try:
            token = connection.link.publish(
                packet.topic, packet.payload, retain=message.retain, correlation=message.correlation
            )
        except LinkUnavailable as error:
            log.info("%s waits: %s", message.leaf, error)
            return _Went.FULL
        except BadInput as error:
            self._cannot_send(session, connection, message, error)
            return _Went.NOT_NOW
        connection.sent(token, message, packet.size_bytes, now_ns)
        self._spending.sent(message, packet.size_bytes)
        return _Went.SENT

    def _packet(self, session: Session, connection: Connection, message: Message) -> _Packet | None:
        """Topic and payload of a row. None for one that cannot go now: it is held, the others go on."""
        largest_bytes = connection.largest_bytes
        try:
            topic = self._topics.full(self._payloads.leaf(message))
            payload = message.payload
            if payload is None:
                room_bytes = (
                    None if largest_bytes is None else 2 * largest_bytes - publish_bytes(topic, largest_bytes)
                )
                payload = self._payloads.make(session, message, room_bytes)
        except StoreCorrupt:
            raise
        except (BadInput, StoreError, OSError) as error:
            self._cannot_send(session, connection, message, error)
            return None
        if payload is None:
            log.error("%s is gone: nothing to send", message.leaf)
            session.counters.add("gone")
            session.outbox.acknowledge([message.row])
            self.forget_order()
            return None
        beside_bytes = 0 if message.correlation is None else len(message.correlation) + PROPERTY_BYTES
        size_bytes = publish_bytes(topic, len(payload) + beside_bytes)
        most_bytes = min((most for most in (largest_bytes, self._spending.most_bytes) if most), default=None)
        if most_bytes is not None and size_bytes > most_bytes and message.leaf in CONFIGURED:
            from trapd.wire.short import shortened  # with the first that is too large

            payload = shortened(payload, most_bytes - size_bytes + len(payload))
            size_bytes = publish_bytes(topic, len(payload) + beside_bytes)
        if largest_bytes is not None and size_bytes > largest_bytes:
            # The broker would end the link over it, and the next link again.
            connection.hold(message, TOO_LARGE, self._clock.boot_ns())
            self._declined.too_large(message.leaf, size_bytes, largest_bytes)
            return None
        return _Packet(topic, payload, size_bytes)

    def _cannot_send(
        self, session: Session, connection: Connection, message: Message, error: Exception
    ) -> None:
        """One damaged row must not stop the others."""
        log.error("cannot send %s (row %d): %s", message.leaf, message.row, error)
        connection.hold(message, UNSENDABLE, self._clock.boot_ns())
        session.counters.add("unsendable")
