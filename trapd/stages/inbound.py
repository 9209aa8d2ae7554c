"""What operators and receivers send: receipts at work, commands obeyed or refused. Deliver's thread.

Nothing that arrives is fatal: what cannot be used is named in the log, counted, and passed over.
"""

from __future__ import annotations

import logging

from trapd.errors import BadDocument, StoreFull
from trapd.ports import Received
from trapd.records import Kind
from trapd.stages import fetch
from trapd.stages.connection import Connection
from trapd.stages.fetch import Answer
from trapd.store import Session
from trapd.wire import codec, inbound
from trapd.wire.topics import RECEIPT, Asks, Topics, answer, command

log = logging.getLogger("trapd.deliver")

_MEDIA_GET = "media_get"
_SHOWN = 80
_MOST_ANSWERS = 200  # waiting to be sent; what asks faster gets none, and is obeyed all the same


class Inbound:
    """`refusal`: why commands are refused altogether; empty where they are obeyed. `commands` False: the
    unit does not listen for any."""

    def __init__(self, topics: Topics, *, commands: bool, refusal: str) -> None:
        self._topics = topics
        self._commands = commands
        self._refusal = refusal

    def filters(self) -> tuple[str, ...]:
        """What to subscribe to."""
        leaves = (RECEIPT, command(_MEDIA_GET)) if self._commands else (RECEIPT,)
        return tuple(self._topics.full(leaf) for leaf in leaves)

    def take(self, session: Session, connection: Connection, message: Received) -> None:
        """One message. Raises StoreFull, StoreError and nothing else."""
        asked = self._topics.parse(message.topic)
        if asked is not None and asked.asks is Asks.RECEIPT:
            self._receipt(session, connection, message)
        elif asked is not None and asked.asks is Asks.COMMAND and asked.command == _MEDIA_GET:
            if asked.group is None:
                self._command(session, connection, message)
        else:
            log.info("message on %s: not understood by this version", message.topic[:_SHOWN])

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
                    "a receipt for numbers that were never given: %s up to %d",
                    receipt.epoch[:_SHOWN],
                    receipt.upto,
                )
                session.counters.add("receipts_unknown")
        elif unknown := session.outbox.receipt_ids(receipt.ids):
            log.warning("a receipt for %d unknown events, such as %r", len(unknown), unknown[0][:_SHOWN])
            session.counters.add("receipts_unknown", len(unknown))

    def _command(self, session: Session, connection: Connection, message: Received) -> None:
        if message.retained:
            # It would be obeyed again with every connection.
            log.warning("a retained %s is refused; clear it at the broker", _MEDIA_GET)
            session.counters.add("commands_refused")
            return
        txn: str | None = None
        try:
            request = inbound.request(message.payload)
            txn = request.txn
            if self._refusal:
                found = Answer(fetch.UNAUTHORISED, error=self._refusal)
            else:
                found = fetch.media_get(session, request.args, connection.chunk_bytes)
        except inbound.TooLarge as error:
            found = Answer(fetch.TOO_LARGE, error=str(error))
        except BadDocument as error:
            found = Answer(fetch.INVALID, error=error.message)
        if found.error:
            log.warning("%s refused with %d: %s", _MEDIA_GET, found.code, found.error)
            session.counters.add("commands_refused")
        else:
            log.info("%s %s", _MEDIA_GET, found.data)
        self._answer(session, txn, found)

    def _answer(self, session: Session, txn: str | None, found: Answer) -> None:
        if session.outbox.depth().get(Kind.CONTROL.value, 0) >= _MOST_ANSWERS:
            log.warning("%s is not answered: too many answers wait already", _MEDIA_GET)
            return
        payload = codec.answer(txn, found.code, data=found.data, error=found.error)
        try:
            session.outbox.put(Kind.CONTROL, answer(_MEDIA_GET), payload, retain=False)
        except StoreFull as error:
            log.warning("%s is not answered: %s", _MEDIA_GET, error)
