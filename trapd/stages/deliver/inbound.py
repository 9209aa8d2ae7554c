"""What arrives: receipts are seen to at once, all else is passed on to Control. Deliver's thread.

Nothing that arrives is fatal: what cannot be used is named in the log, counted, and passed over. The broker
is told that it may forget a message once what came of it is noted, here or by Control; until then it gives it
again with the next link.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Iterable
from contextlib import suppress

from trapd.errors import BadDocument, StoreError, StoreFull
from trapd.frozen import replace
from trapd.ports import Clock, Link, Received
from trapd.records import Kind
from trapd.rules import NS_PER_S
from trapd.stages.control.looking import ENDS_PROCESS, Looking
from trapd.stages.deliver.connection import Connection
from trapd.store import Session
from trapd.wire import codec, inbound
from trapd.wire.topics import AVAILABILITY, RECEIPT, Asks, Topics

log = logging.getLogger("trapd.deliver")

_SHOWN = 80
_TOLD_EVERY_NS = 60 * NS_PER_S
_MOST_UNNOTED = 50
_TOLD_WITH = 500  # so many are not kept waiting
_AGAIN_NS = NS_PER_S
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
        self._passed_over: list[Received] = []  # and not on the trail yet
        self._told_ns: int | None = None
        self._noted: queue.SimpleQueue[Received] = queue.SimpleQueue()
        self._looking = Looking("deliver")
        self._unnoted: list[Received] = []  # the store had no room for what came of them
        self._again_ns = 0

    def filters(self) -> tuple[str, ...]:
        """What to subscribe to."""
        if self._pass_on is None:
            return (self._topics.full(RECEIPT), self._topics.full(AVAILABILITY))
        return self._topics.operator_filters(self._groups)

    def noted(self, message: Received) -> None:
        """What came of it is noted: the broker may forget it. From any thread."""
        self._noted.put(message)

    def link_begins(self, *, new_session: bool) -> None:
        """What was not acknowledged comes again, if the broker knows us."""
        self._unnoted.clear()
        if not new_session:
            self._passed_over = [message for message in self._passed_over if message.number is None]

    def acknowledge(self, link: Link) -> None:
        """Every turn: tell the broker what is noted."""
        with suppress(queue.Empty):
            while True:
                link.acknowledge(self._noted.get_nowait())

    def take(self, session: Session, connection: Connection, message: Received) -> None:
        """One message. Raises StoreError, but for want of room only where much waits for it already."""
        asked = self._topics.parse(message.topic)
        # A receipt is read here, and it may be anybody's. A command or a document is Control's to read; and
        # two kills by chance must not shut the ears for the unit's own word, which is always the same.
        is_read = message.again and asked is not None and asked.asks is Asks.RECEIPT
        try:
            if is_read and not self._looking.begin(session, message):
                self._pass_over(session, message, ENDS_PROCESS)
                return
            self._look_at(session, connection, message, asked.asks if asked is not None else None)
            if is_read:
                self._looking.end(session)
        except StoreFull as error:
            self._looking.failed(session)
            if len(self._unnoted) >= _MOST_UNNOTED:
                raise  # it comes again with the next link
            log.warning("%r waits for space: %s", message.topic[:_SHOWN], error)
            self._unnoted.append(message)
            self._again_ns = self._clock.boot_ns() + _AGAIN_NS
        except StoreError:
            self._looking.failed(session)
            raise

    def look(self, session: Session, connection: Connection) -> None:
        """Every turn: what there was no room for. Raises StoreError."""
        if not self._unnoted or self._clock.boot_ns() < self._again_ns:
            return
        for _ in range(len(self._unnoted)):
            self.take(session, connection, self._unnoted.pop(0))

    def _look_at(
        self, session: Session, connection: Connection, message: Received, asks: Asks | None
    ) -> None:
        match asks:
            case Asks.RECEIPT:
                self._receipt(session, connection, message)
                self.noted(message)
            case Asks.PROBE:
                self.echo = message.payload
                self.noted(message)
            case Asks.AVAILABILITY:
                self._availability(session, connection, message)
                self.noted(message)
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
            count = len(self._passed_over)
            session.obeyed.pass_over(count, codec.trail_more(self._clock.now(), count))
            while self._passed_over:
                self.noted(self._passed_over.pop(0))

    def _hand_on(self, session: Session, message: Received) -> None:
        if self._pass_on is not None and not self._pass_on(message):
            self._pass_over(session, message, "too much waits already; send it again later, and less at once")

    def _pass_over(self, session: Session, message: Received, why: str) -> None:
        log.warning("%r is passed over: %s", message.topic[:_SHOWN], why)
        session.counters.add("commands_dropped")
        self._passed_over.append(replace(message, payload=b""))
        if len(self._passed_over) >= _TOLD_WITH:
            self.tell(session, now=True)

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
