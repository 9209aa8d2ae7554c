"""What arrives: receipts are seen to at once, all else is passed on to Control. Deliver's thread.

Nothing that arrives is fatal: what cannot be used is named in the log, counted, and passed over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress

from trapd.errors import BadDocument, StoreFull
from trapd.ports import Clock, Received
from trapd.records import Kind
from trapd.rules import NS_PER_S
from trapd.stages.connection import Connection
from trapd.store import Session
from trapd.wire import codec, inbound
from trapd.wire.topics import AVAILABILITY, RECEIPT, Asks, Topics

log = logging.getLogger("trapd.deliver")

_SHOWN = 80
_TOLD_EVERY_NS = 60 * NS_PER_S
_ONLINE, _OFFLINE = b"online", b"offline"


class Inbound:
    """`pass_on` takes what the operator says; False where it has no room. None: the unit does not listen.

    `groups`: whose commands are heard as well.
    """

    def __init__(
        self,
        topics: Topics,
        *,
        clock: Clock,
        pass_on: Callable[[Received], bool] | None,
        groups: Iterable[str] = (),
    ) -> None:
        self._topics = topics
        self._clock = clock
        self._pass_on = pass_on
        self._groups = tuple(groups)
        self.echo: bytes | None = None  # the unit's own probe, as it came back last
        self._passed_over = 0  # and not on the trail yet
        self._told_ns: int | None = None

    def filters(self) -> tuple[str, ...]:
        """What to subscribe to."""
        if self._pass_on is None:
            return (self._topics.full(RECEIPT), self._topics.full(AVAILABILITY))
        return self._topics.operator_filters(self._groups)

    def take(self, session: Session, connection: Connection, message: Received) -> None:
        """One message. Raises StoreFull, StoreError and nothing else."""
        asked = self._topics.parse(message.topic)
        match asked.asks if asked is not None else None:
            case Asks.RECEIPT:
                self._receipt(session, connection, message)
            case Asks.PROBE:
                self.echo = message.payload
            case Asks.AVAILABILITY:
                self._availability(session, connection, message)
            case Asks.COMMAND | Asks.CONFIG if self._pass_on is not None:
                self._hand_on(session, message)
            case None if self._pass_on is not None and self._topics.is_command(message.topic):
                # A name that no command can have: an attempt all the same, and recorded.
                self._hand_on(session, message)
            case _:
                why = (
                    "the unit takes no commands" if self._pass_on is None else "nothing here has such a name"
                )
                self._pass_over(session, message, f"{why}; see remote.enabled, and the names of the commands")

    def tell(self, session: Session, *, now: bool = False) -> None:
        """What was passed over has its count on the trail: the first at once, all else once a minute."""
        now_ns = self._clock.boot_ns()
        if not self._passed_over:
            return
        if not now and self._told_ns is not None and now_ns - self._told_ns < _TOLD_EVERY_NS:
            return
        self._told_ns = now_ns
        with suppress(StoreFull):  # the next minute has it
            session.obeyed.tell((), codec.trail_more(self._clock.now(), self._passed_over))
            self._passed_over = 0

    def _hand_on(self, session: Session, message: Received) -> None:
        if self._pass_on is not None and not self._pass_on(message):
            self._pass_over(session, message, "too much waits already; send it again later, and less at once")

    def _pass_over(self, session: Session, message: Received, why: str) -> None:
        log.warning("%r is passed over: %s", message.topic[:_SHOWN], why)
        self._passed_over += 1
        session.counters.add("commands_dropped")

    def _availability(self, session: Session, connection: Connection, message: Received) -> None:
        """An earlier link's will may come when this one is up already."""
        if message.payload == _OFFLINE and connection.up and not connection.leaving:
            session.outbox.put(Kind.CONTROL, AVAILABILITY, _ONLINE, retain=True)

    def _receipt(self, session: Session, connection: Connection, message: Received) -> None:
        try:
            receipt = inbound.receipt(message.payload)
        except BadDocument as error:
            log.warning("a receipt that cannot be used: %s (docs/operating.md has its form)", error)
            session.counters.add("receipts_bad")
            return
        connection.rest_no_more()  # the receiver is there
        if receipt.epoch is not None and receipt.upto is not None:
            if not session.outbox.receipt_upto(receipt.epoch, receipt.upto):
                log.warning(
                    "a receipt for numbers that were never given: %r up to %d",
                    receipt.epoch[:_SHOWN],
                    receipt.upto,
                )
                session.counters.add("receipts_unknown")
        elif unknown := session.outbox.receipt_ids(receipt.ids):
            log.warning("a receipt for %d unknown events, such as %r", len(unknown), unknown[0][:_SHOWN])
            session.counters.add("receipts_unknown", len(unknown))
