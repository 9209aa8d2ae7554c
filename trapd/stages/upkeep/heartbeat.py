"""Heartbeat: what the unit says of itself, at its own pace and whenever it has connected.

One thread; writes only to the outbox.

A heartbeat is a retained leaf with one row in the outbox: an outage queues one, not thousands. One that
cannot be made or stored is left out; the next one tells more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping

from trapd.errors import BadInput, StoreCorrupt, StoreError
from trapd.ports import Clock
from trapd.records import Kind
from trapd.rules import NS_PER_S
from trapd.stages.base import Stage
from trapd.store import Session, Store

log = logging.getLogger("trapd.heartbeat")

_TURN_S = 1.0

Reading = int | float | str | bool


class Heartbeat(Stage):
    """`read` gathers the flat facts, `encode` makes their payload, `each` is told them (status line).

    `mark` is looked at every second: when it is another than before, `each` is told between heartbeats too.
    """

    name = "heartbeat"

    def __init__(
        self,
        *,
        every_s: float,
        store: Store,
        clock: Clock,
        read: Callable[[Session], Mapping[str, Reading]],
        encode: Callable[[Mapping[str, Reading]], bytes],
        each: Callable[[Mapping[str, Reading]], None],
        online: Callable[[], bool],
        mark: Callable[[], Hashable] = lambda: None,
    ) -> None:
        super().__init__()
        self._every_s = every_s
        self._store = store
        self._clock = clock
        self._read = read
        self._encode = encode
        self._each = each
        self._online = online
        self._mark = mark

    def run(self) -> None:
        """Until told to stop. The first heartbeat comes at once."""
        due_ns = self._clock.boot_ns()
        was_online = False
        marked: Hashable = None
        with self._store.session() as session:
            while not self.stop.is_set():
                self.beat()
                is_online = self._online()
                mark = self._mark()
                # What was queued before the link came says, for as long as it stands, that there is none.
                if self._clock.boot_ns() >= due_ns or (is_online and not was_online):
                    due_ns = self._clock.boot_ns() + int(self._every_s * NS_PER_S)
                    self._once(session)
                elif mark != marked:
                    marked = mark
                    self._tell(session)
                was_online = is_online
                self._clock.wait(self.stop, _TURN_S)

    def _once(self, session: Session) -> None:
        try:
            facts = self._read(session)
            session.outbox.put(Kind.STATE, "state", self._encode(facts), retain=True)
        except StoreCorrupt:
            raise
        except (BadInput, StoreError) as error:
            log.warning("no heartbeat: %s", error)
        else:
            self._each(facts)

    def _tell(self, session: Session) -> None:
        try:
            self._each(self._read(session))
        except StoreCorrupt:
            raise
        except StoreError as error:
            log.debug("no status: %s", error)
