"""What arrives: receipts are seen to at once, all else is passed on to Control. Deliver's thread.

Nothing that arrives is fatal: what cannot be used is named in the log, counted, and passed over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from trapd.errors import BadDocument
from trapd.ports import Received
from trapd.records import Kind
from trapd.stages.connection import Connection
from trapd.store import Session
from trapd.wire import inbound
from trapd.wire.topics import AVAILABILITY, RECEIPT, Asks, Topics

log = logging.getLogger("trapd.deliver")

_SHOWN = 80
_ONLINE, _OFFLINE = b"online", b"offline"


class Inbound:
    """`pass_on` takes what the operator says; False where it has no room. None: the unit does not listen.

    `groups`: whose commands are heard as well.
    """

    def __init__(
        self, topics: Topics, *, pass_on: Callable[[Received], bool] | None, groups: Iterable[str] = ()
    ) -> None:
        self._topics = topics
        self._pass_on = pass_on
        self._groups = tuple(groups)
        self.echo: bytes | None = None  # the unit's own probe, as it came back last

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
                log.info("message on %r: not understood by this version", message.topic[:_SHOWN])

    def _hand_on(self, session: Session, message: Received) -> None:
        if self._pass_on is not None and not self._pass_on(message):
            log.warning("%r is passed over: too much waits already", message.topic[:_SHOWN])
            session.counters.add("commands_dropped")

    def _availability(self, session: Session, connection: Connection, message: Received) -> None:
        """An earlier link's will may come when this one is up already."""
        if message.payload == _OFFLINE and connection.up and not connection.leaving:
            session.outbox.put(Kind.CONTROL, AVAILABILITY, _ONLINE, retain=True)

    def _receipt(self, session: Session, connection: Connection, message: Received) -> None:
        try:
            receipt = inbound.receipt(message.payload)
        except BadDocument as error:
            log.warning("a receipt that cannot be used: %s", error)
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
