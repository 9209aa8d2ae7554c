"""What the end of a link tells: of the size of packets and chunks, of a row that ends it.

Deliver's thread.
"""

from __future__ import annotations

import logging
import sys

from trapd.frozen import replace
from trapd.ports import Clock, Connected, Lost
from trapd.rules import NS_PER_S
from trapd.stages.deliver.connection import Connection
from trapd.stages.deliver.packet_limit import PacketLimit
from trapd.stages.deliver.plan import DeliverPlan
from trapd.stages.deliver.suspicion import Suspicion

log = logging.getLogger("trapd.deliver")

_LEAST_CHUNK_BYTES = 1024  # below that, what surrounds a chunk weighs as much
_CHUNKS_GO_WELL = 10


class LinkEnds:
    """`chunk_bytes`: the chunks in which photographs go on the next link."""

    def __init__(self, plan: DeliverPlan, suspicion: Suspicion, clock: Clock) -> None:
        self.chunk_bytes = plan.chunk_bytes
        self.packet_limit = PacketLimit(is_told=plan.limit_is_told)
        self._most_chunk_bytes = plan.chunk_bytes
        self._plan = plan
        self._suspicion = suspicion
        self._clock = clock

    def begun(self, event: Connected) -> Connected:
        """The broker took us: the terms, with what was learnt before."""
        now_ns = self._clock.boot_ns()
        self._suspicion.link_begins(now_ns, new_session=not event.session_present)
        most_bytes = self.packet_limit.link_begins(event.maximum_packet_bytes, now_ns)
        return replace(event, maximum_packet_bytes=most_bytes)

    def ended(self, connection: Connection, lost: Lost) -> None:
        """A link ended of its own accord."""
        now_ns = self._clock.boot_ns()
        if not lost.ended and connection.window.oldest_age_s(now_ns / NS_PER_S) >= self._plan.keepalive_s:
            # Nobody has ended it: with a publish unanswered for so long, what was too slow ended it.
            self.dead(connection)
            return
        self._grow_chunks(connection)
        if not connection.up:
            return
        if self.packet_limit.link_ended(connection.window, lost.code, now_ns):
            self._suspicion.explained()
            return
        can_split = connection.chunk_bytes > _LEAST_CHUNK_BYTES
        too_large_bytes = self._suspicion.link_ended(
            connection.under_way(now_ns),
            lost,
            now_ns,
            lived_s=(now_ns - connection.up_ns) / NS_PER_S,
            answered=connection.window.largest_answered_bytes > 0,
            taken_bytes=self.packet_limit.taken_bytes if can_split else sys.maxsize,
        )
        if too_large_bytes is not None:
            self._smaller_chunks(min(too_large_bytes, connection.chunk_bytes) // 2)

    def dead(self, connection: Connection) -> None:
        """A publish was not answered in time: a chunk that takes longer than that would do so for ever."""
        oldest = next(iter(connection.in_flight.values()), None)
        if self._grow_chunks(connection) or oldest is None or not oldest.part:
            return
        if not connection.chunks_through:
            self._smaller_chunks(oldest.chunk_bytes // 2)

    def _grow_chunks(self, connection: Connection) -> bool:
        if connection.chunks_through < _CHUNKS_GO_WELL:
            return False
        self.chunk_bytes = min(self._most_chunk_bytes, 2 * self.chunk_bytes)
        return True

    def _smaller_chunks(self, chunk_bytes: int) -> None:
        self.chunk_bytes = max(_LEAST_CHUNK_BYTES, chunk_bytes)
        log.warning("photographs go in chunks of %d bytes from now on", self.chunk_bytes)
