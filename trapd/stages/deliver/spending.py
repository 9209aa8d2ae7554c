"""The byte budget as Deliver keeps it: on running time, across restarts, without a sync of its own.

What was sent is remembered by commits that do not sync: kill -9 forgets seconds of it, a power cut what was
sent since the last durable commit of anybody. Deliver's thread.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable

from trapd.errors import StoreCorrupt, StoreError
from trapd.ports import Clock
from trapd.records import Message, Priority
from trapd.rules import NS_PER_S, Allowance, Budget
from trapd.store import Session
from trapd.wire.topics import OWN, PROOF
from trapd.wire.window import PING_BYTES, PUBACK_BYTES, link_bytes

log = logging.getLogger("trapd.deliver")

_KEY = "budget"
_REMEMBER_EVERY_S = 10.0
_PROOFS, _PROOF_EVERY_S = 8, 900.0  # of links, when all is spent: one that comes and goes must not pay


class Spending:
    """`budget` None: there is no limit, and nothing is kept."""

    def __init__(self, budget: Budget | None, clock: Clock, *, keepalive_s: float) -> None:
        self._budget = budget
        self._clock = clock
        self._keepalive_s = keepalive_s
        self._pinged_s = 0.0
        self._proofs = Allowance(_PROOFS, _PROOF_EVERY_S)
        self._began_ns = clock.boot_ns()
        self._earlier_s = 0.0
        self._remembered_s = 0.0

    def load(self, session: Session) -> None:
        """What earlier processes have sent, and how long they ran. Damaged: as if they had sent nothing."""
        if self._budget is None or (text := session.meta.get(_KEY)) is None:
            return
        try:
            found = json.loads(text)
            self._budget.restore(found["spent"])
            self._earlier_s = float(found["running_s"])
        except (ValueError, TypeError, KeyError) as error:
            log.warning("what was spent of publish.bytes_per_day is not known any more: %s", error)
        self._remembered_s = self._earlier_s

    def allows(self, message: Message, size_bytes: int) -> bool:
        """Whether this publish may go now. What proves the link may, also when all is spent, now and then."""
        if self._budget is None:
            return True
        now_s, size_bytes, alert = (
            self._now_s(),
            size_bytes + PUBACK_BYTES,
            message.priority is Priority.ALERT,
        )
        if self._budget.allows(size_bytes, now_s, alert=alert):
            return True
        if message.leaf not in OWN:
            return False
        if not self._budget.allows(size_bytes, now_s, alert=alert, own=True):
            self._budget.owe(size_bytes)
            return False
        return message.leaf not in PROOF or self._proofs.take(now_s)

    @property
    def most_bytes(self) -> int | None:
        """What is larger than this never goes; None for no limit."""
        return None if self._budget is None else self._budget.per_day_bytes - PUBACK_BYTES

    def sent(self, message: Message, size_bytes: int) -> None:
        """It went."""
        if self._budget is not None:
            alert, own = message.priority is Priority.ALERT, message.leaf in OWN
            self._budget.spend(size_bytes + PUBACK_BYTES, self._now_s(), alert=alert, own=own)

    def link_began(self, filters: Iterable[str]) -> None:
        """A link costs what opens it; one that comes and goes uses up no reserve."""
        self._pinged_s = self._now_s()
        if self._budget is not None:
            self._budget.spend_beside(link_bytes(filters), self._pinged_s)

    def answered(self) -> None:
        """A message to us has its answer."""
        if self._budget is not None:
            self._budget.spend_beside(PUBACK_BYTES, self._now_s())

    def link_stands(self) -> None:
        """And a ping with each keep-alive; where other packets go, fewer are sent than are counted."""
        pings = int((self._now_s() - self._pinged_s) // self._keepalive_s)
        self._pinged_s += pings * self._keepalive_s
        if self._budget is not None and pings:
            self._budget.spend_beside(pings * PING_BYTES, self._now_s())

    def remember(self, session: Session, *, now: bool = False) -> None:
        """Write it down, now or every few seconds."""
        if self._budget is None or (not now and self._now_s() - self._remembered_s < _REMEMBER_EVERY_S):
            return
        self._remembered_s = self._now_s()
        text = json.dumps({"running_s": round(self._now_s(), 1), "spent": self._budget.slots()})
        try:
            session.counters.remember(_KEY, text)
        except StoreCorrupt:
            raise
        except StoreError as error:
            log.warning("what was sent is not written down: %s", error)

    def _now_s(self) -> float:
        return self._earlier_s + (self._clock.boot_ns() - self._began_ns) / NS_PER_S
