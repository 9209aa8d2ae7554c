"""What the broker answers: which rows the store lets go of, which rest, which are held. Deliver's thread."""

from __future__ import annotations

import logging

from trapd.ports import Acknowledged, Clock
from trapd.records import Kind, Message
from trapd.rules import NOBODY_SUBSCRIBED, NS_PER_S, acknowledged
from trapd.stages.deliver.connection import REFUSED, UNHEARD, Connection
from trapd.stages.deliver.declined import Declined
from trapd.stages.deliver.suspicion import Suspicion
from trapd.store import Session
from trapd.wire.window import Backoff

log = logging.getLogger("trapd.deliver")

_REPLY_WAITS_S = 24 * 3600.0
_FORGET_EVERY_S = 600.0
_REFUSED = 0x80  # reason codes from here on


class Answers:
    """`receipts`: an event stays until its receiver has confirmed it; the broker's word only marks it."""

    def __init__(
        self, *, receipts: bool, declined: Declined, suspicion: Suspicion, backoff: Backoff, clock: Clock
    ) -> None:
        self._receipts = receipts
        self._suspicion = suspicion
        self._declined = declined
        self._backoff = backoff
        self._clock = clock
        self._forget_ns = 0

    def take(self, connection: Connection, answer: Acknowledged) -> None:
        """One answer. The store hears of it later, with others."""
        message = connection.answered(answer.token, self._clock.boot_ns())
        if message is None:
            return
        self._backoff.proved()
        self._suspicion.answered(message)
        connection.proved = connection.proved or answer.reason < _REFUSED
        if acknowledged(message.kind, message.retain, answer.reason):
            connection.heard(message)
            connection.taken(message)
            self._declined.taken(message.leaf)
        else:
            self._not_taken(connection, message, answer.reason)

    def ask_disk(self, session: Session, connection: Connection) -> None:
        """Whether what the store has noted is durable by now. Raises what the disk said against it."""
        if connection.unsynced and session.late_sync.ended():
            connection.unsynced = 0

    def tell_store(
        self, session: Session, connection: Connection, *, all_of_it: bool, at_once: bool = False
    ) -> None:
        """Let go of what the broker has: one transaction for all answers that came together.

        It is synced while the link goes on. What comes before that has ended shares the next one, unless it
        has to be known `at_once`.
        """
        if connection.unsynced and not at_once:
            return
        rows: list[int] = []
        awaiting: list[int] = []
        parts: dict[tuple[int, int], list[int]] = {}
        for message in connection.to_note(all_of_it=all_of_it):
            if message.chunk_bytes:
                parts.setdefault((message.row, message.chunk_bytes), []).append(message.part)
            elif self._receipts and message.kind is Kind.EVENT:
                awaiting.append(message.row)
            else:
                rows.append(message.row)
        if rows or parts or awaiting:
            mark = connection.mark(self._clock.boot_ns())
            session.outbox.acknowledge(rows, parts=parts, awaiting=awaiting, mark=mark, sync=False)
            session.late_sync.begin()

    def forget_replies(self, session: Session, connection: Connection) -> None:
        """Every turn: an answer that its response topic has not taken for a day goes; `res/` has it too."""
        now_ns = self._clock.boot_ns()
        if now_ns < self._forget_ns:
            return
        self._forget_ns = now_ns + int(_FORGET_EVERY_S * NS_PER_S)
        if not (held := connection.replies_held()):
            return
        if gone := session.outbox.forget_older(held, _REPLY_WAITS_S):
            log.warning("%d answers are given up: their response topics were not to be had", len(gone))
            connection.gone(gone)
            for row in gone:
                self._declined.taken(held[row])

    def _not_taken(self, connection: Connection, message: Message, reason: int) -> None:
        now_ns = self._clock.boot_ns()
        if reason == NOBODY_SUBSCRIBED:
            connection.rest(message.kind, UNHEARD, now_ns)
        else:
            connection.hold(message, REFUSED, now_ns)
            self._declined.refused(message.leaf, reason)
