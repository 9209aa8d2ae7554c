"""A thread's own way into the store: one connection, and the rooms that use it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from trapd.errors import StoreError
from trapd.records import Moment
from trapd.store.bursts.audits import Audits
from trapd.store.bursts.events import Events
from trapd.store.bursts.timeline import Timeline
from trapd.store.photographs.sums import Sums
from trapd.store.queue.obeyed import Obeyed
from trapd.store.queue.outbox import Outbox
from trapd.store.sqlite.counters import Counters
from trapd.store.sqlite.database import FILE, Database
from trapd.store.sqlite.late_sync import LateSync
from trapd.store.sqlite.rows import EPOCH, Meta


class Session:
    """`with store.session() as session:`, used and closed on the thread that opened it."""

    def __init__(
        self, root: Path, database: Database, *, unit: str, now: Callable[[], Moment], writes: bool = True
    ) -> None:
        self.root = root
        self.now = now
        self.database = database
        self.meta = Meta(database)
        self.epoch = self.meta.get(EPOCH) or ""
        self.sums = Sums(root, database)
        self.events = Events(database, unit=unit, epoch=self.epoch, now=now, sums=self.sums)
        self.audits = Audits(root, database)
        self.outbox = Outbox(database, now=now)
        self.obeyed = Obeyed(database, now=now)
        self.timeline = Timeline(database)
        self.late_sync = LateSync(database.log)
        self.counters = Counters(database, root / FILE if writes else None)

    @classmethod
    def reading(cls, root: Path, database: Database) -> Session:
        """A session that only looks."""
        return cls(root, database, unit="", now=_no_clock, writes=False)

    def close(self) -> None:
        """May be called twice."""
        self.late_sync.close()
        self.counters.close()
        self.database.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _no_clock() -> Moment:
    raise StoreError("this session only reads")
