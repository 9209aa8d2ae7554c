"""The hour of the trail: how many records it has, and how many attempts were too many for one of their own.

An hour begins with its first record and is noted in the transaction of each: it goes on from process to
process and from boot to boot, where a process that ends again and again would else begin it anew each time.
Only running time counts. Within the caller's transaction; called by Obeyed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable

from trapd.frozen import Frozen, asdict, replace
from trapd.records import Moment
from trapd.rules import NS_PER_S
from trapd.store.sqlite.rows import put_meta

KEY = "trail_hour"
MOST_PER_HOUR = 60

_HOUR_NS = 3600 * NS_PER_S


class Hour(Frozen):
    """Since `began_ns` of boot `boot_id`, last noted at `seen_ns`. `more`: attempts without a record."""

    boot_id: str
    began_ns: int
    seen_ns: int
    written: int = 0
    more: int = 0

    def in_boot(self, now: Moment) -> Hour:
        """The same on this boot's clock: what it ran before lies before the boot."""
        if self.boot_id == now.boot_id:
            return self
        return replace(self, boot_id=now.boot_id, began_ns=self.began_ns - self.seen_ns, seen_ns=0)

    @property
    def ends_ns(self) -> int:
        """On the clock of its boot."""
        return self.began_ns + _HOUR_NS


def noted(value: str | None, now: Moment) -> Hour | None:
    """What stands under KEY of `meta`: the hour that is not told yet; None where none has begun."""
    return None if value is None else Hour(**json.loads(value)).in_boot(now)


def take_turn(connection: sqlite3.Connection, now: Moment) -> bool:
    """Whether another attempt gets a record; it is counted either way."""
    hour = _under_way(connection, now) or Hour(now.boot_id, now.boot_ns, now.boot_ns)
    has_room = hour.written < MOST_PER_HOUR
    hour = replace(
        hour, seen_ns=now.boot_ns, written=hour.written + has_room, more=hour.more + (not has_room)
    )
    put_meta(connection, KEY, json.dumps(asdict(hour)))
    return has_room


def pass_over(connection: sqlite3.Connection, now: Moment, attempts: int) -> None:
    """Attempts that get no record of their own."""
    hour = _under_way(connection, now) or Hour(now.boot_id, now.boot_ns, now.boot_ns)
    hour = replace(hour, seen_ns=now.boot_ns, more=hour.more + attempts)
    put_meta(connection, KEY, json.dumps(asdict(hour)))


def end(connection: sqlite3.Connection, now: Moment, tell: Callable[[int], None]) -> None:
    """It is over: `tell` is given how many were too many, if any were."""
    hour = _under_way(connection, now)
    connection.execute("DELETE FROM meta WHERE key = ?", (KEY,))
    if hour is not None and hour.more:
        tell(hour.more)


def _under_way(connection: sqlite3.Connection, now: Moment) -> Hour | None:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (KEY,)).fetchone()
    return noted(None if row is None else row["value"], now)
